"""A fleet: kinds of VMs by what they use, and the nodes they run on, in bytes and seconds; nothing is computed of it here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.errors import FreepageError
from freepage.fpr.mechanics import USUAL_PASSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from freepage.fpr.mechanics import Passes

    Whole = NDArray[np.int64]
    Bytes = NDArray[np.float64]


class FleetError(FreepageError):
    """A fleet, or what one is to be made of, is wrong or does not suffice."""

    exit_status = 2


class Case(StrEnum):
    """Whether what a VM no longer uses goes back to its host: never, by FPR's passes, or at once and whole."""

    WITHOUT = "without_fpr"
    WITH = "with_fpr"
    IDEAL = "ideal"


@dataclass(frozen=True)
class Steps:
    """Values minimum, minimum + step, ... up to maximum, all as likely; a single one where minimum and maximum are equal."""

    minimum: float
    maximum: float
    step: float

    @property
    def count(self) -> int:
        if self.step <= 0 or self.maximum <= self.minimum:
            return 1
        return int((self.maximum - self.minimum) / self.step + 1e-9) + 1

    @property
    def mean(self) -> float:
        return self.minimum + self.step * (self.count - 1) / 2


@dataclass(frozen=True)
class Schedule:
    """Processes of which each allocates a block, holds it, frees it and idles, as it draws: the workload of our studies."""

    size_bytes: Steps
    hold_s: Steps
    idle_s: Steps
    processes: int

    @property
    def cycle_s(self) -> float:
        """Return the seconds of a block and what is idle after it, in the mean."""
        return self.hold_s.mean + self.idle_s.mean


@dataclass(frozen=True)
class Lognormal:
    """Bytes whose logarithm has a normal distribution with this standard deviation."""

    median_bytes: float
    sigma: float


@dataclass(frozen=True)
class Quantiles:
    """Bytes by their quantiles at equal steps of probability, the least and the most among them; linear between them."""

    bytes: tuple[float, ...]


@dataclass(frozen=True)
class Distribution:
    """Memory drawn anew at random times, `correlation_s` apart in the mean: its autocorrelation is exp(-t / correlation_s)."""

    values: Lognormal | Quantiles
    correlation_s: float


@dataclass(frozen=True, eq=False)
class Replay:
    """Recorded memory of VMs in pieces, of which a VM's time is put together at random: a block bootstrap.

    at_s, of shape (pieces, levels): when each level begins, in seconds after the piece's beginning, padded with the
    piece's length. levels: the same for each case that is known, in bytes. lengths_s: of each piece. tracks, of shape
    (tracks, 2): the first piece and how many of each VM that was recorded; a VM keeps to one of them.
    """

    at_s: Whole
    levels: Mapping[Case, Bytes]
    lengths_s: Whole
    tracks: Whole


Demand = Schedule | Distribution | Replay


@dataclass(frozen=True)
class VmKind:
    """VMs that are alike.

    memory_bytes: of the guest. base_bytes: what it uses always. overhead_bytes: what its host needs beside it.
    stranded_fraction: the share of what it has freed that FPR cannot return, in blocks below the reporting order.
    cache_bytes: what its page cache grows to, by cache_bytes_per_s from its start on (None: at once). count: such VMs on
    each node already. passes: those of its guests; None where what is recorded of it with FPR has them already.
    """

    name: str
    memory_bytes: float
    demand: Demand
    overhead_bytes: float
    base_bytes: float = 0.0
    stranded_fraction: float = 0.0
    cache_bytes: float = 0.0
    cache_bytes_per_s: float | None = None
    count: int = 0
    passes: Passes | None = USUAL_PASSES

    @property
    def steady_bytes(self) -> float:
        """Return what a guest uses always: its base, and a page cache that does not grow."""
        return self.base_bytes + (self.cache_bytes if self.cache_bytes_per_s is None else 0.0)

    @property
    def cases(self) -> tuple[Case, ...]:
        """Return the cases of which something is known."""
        return tuple(c for c in Case if not isinstance(self.demand, Replay) or c in self.demand.levels)


@dataclass(frozen=True)
class Node:
    """The memory of a node: what it reserves for itself, its swap, and the overcommit that its scheduler is told (1.5: 150 %).

    With an overcommit a VM's pod requests guest memory / overcommit + overhead, as in KubeVirt
    (developerConfiguration.memoryOvercommit); None: the scheduler admits as many as are asked for.
    """

    name: str
    memory_bytes: float
    reserved_bytes: float = 0.0
    swap_bytes: float = 0.0
    overcommit: float | None = None

    @property
    def usable_bytes(self) -> float:
        """Return the memory that is left for VMs."""
        return self.memory_bytes - self.reserved_bytes

    @property
    def limit_bytes(self) -> float:
        """Return what VMs can use together before the node runs out: its memory and its swap."""
        return self.usable_bytes + self.swap_bytes


@dataclass(frozen=True)
class Window:
    """Seconds since all VMs have started: those that are counted, from start_s up to end_s."""

    start_s: int
    end_s: int


@dataclass(frozen=True)
class Fleet:
    """Kinds of VMs on nodes, each by itself. window: when seconds are counted. notes: what its making has left open."""

    title: str
    kinds: tuple[VmKind, ...]
    nodes: tuple[Node, ...]
    window: Window
    seed: int = 1
    notes: tuple[str, ...] = field(default=())

"""A scale on a host: docs/decisions/014-counts-stay.md. Of a smoke run it also bounds what a trial takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.study.values import Share
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.study.study import Conditions, Sizing

# Below this no study is scaled by itself: a block of the article's 60 GiB is 240 MiB then.
LEAST_FACTOR = 1 / 256
# The factor of a smoke run, whose limits bound the rest.
SMOKE_FACTOR = 0.01
# Of several instances at least so many stay, and of several iterations: of allocations one that is first, and four later ones.
LEAST_INSTANCES = 2
LEAST_ITERATIONS = 5


@dataclass(frozen=True)
class SmokeLimits:
    """The bounds of a trial; outside of a smoke run only the shortest times are bounded.

    interval_s: between samples. count: of instances, processes and iterations. block_bytes: of one allocation, and of
    the test file on a shared node. duration_s: of drawn schedules. last_idle_s: of a cyclic schedule.
    lead_s: that memory is used before fio starts on the same node. shortest_hold_s, shortest_runtime_s: below which no
    scale shrinks them.
    """

    interval_s: float = math.inf
    count: float = math.inf
    block_bytes: float = math.inf
    duration_s: float = math.inf
    last_idle_s: float = math.inf
    lead_s: float = math.inf
    shortest_hold_s: float = 1.0
    shortest_runtime_s: float = 1.0


NO_LIMITS = SmokeLimits()
SMOKE_LIMITS = SmokeLimits(
    interval_s=0.5,
    count=2,
    block_bytes=512 * MIB,
    duration_s=11.0,
    # Too short to be a release, so none is measured.
    last_idle_s=1.0,
    lead_s=3.0,
    shortest_hold_s=0.5,
    shortest_runtime_s=0.5,
)


@dataclass(frozen=True)
class Scale:
    """The sizing of one experiment, on the host or nodes it runs on.

    smoke: it only shows that it runs. sketch: for a plan's memory and time only: what needs schedules is bounded from above.
    """

    sizing: Sizing
    conditions: Conditions
    smoke: bool = False
    sketch: bool = False

    @property
    def factor(self) -> float:
        return self.sizing.factor

    @property
    def limits(self) -> SmokeLimits:
        return SMOKE_LIMITS if self.smoke else NO_LIMITS

    @property
    def shrinks(self) -> bool:
        return self.factor < 1

    def count_instances(self, count: int) -> int:
        """Return how many instances there are: all, unless memory makes them give way."""
        kept = max(min(count, LEAST_INSTANCES), math.floor(count * self.sizing.instances + 1e-9))
        return int(min(kept, self.limits.count))

    def count_processes(self, count: int) -> int:
        return int(min(count, self.limits.count))

    def count_iterations(self, count: int) -> int:
        """Return how many iterations there are: all, unless time makes them give way."""
        kept = max(min(count, LEAST_ITERATIONS), math.floor(count * self.sizing.iterations + 1e-9))
        return int(min(kept, self.limits.count))

    def scaled_bytes(self, size: int | Share) -> int:
        """Return a size at this scale, in bytes; a share of the node follows the node, not the scale."""
        return self.in_bytes(size, self.factor)

    def in_bytes(self, size: int | Share, factor: float = 1.0) -> int:
        if isinstance(size, Share):
            return round(size * self.conditions.node_memory_bytes)
        return round(size * factor)

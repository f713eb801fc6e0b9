"""A request for the history of VMs, and what it becomes: a grid of times, cut with the VMs into what one query may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.prometheus.exporters import METRICS, Grid, Vm
from freepage.prometheus.series import MOST_POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# One query: so many points, which take some 100 MB while they are read, of so many VMs, for whose names an address has room.
POINTS_PER_QUERY = 240_000
VMS_PER_QUERY = 50
CHARACTERS_PER_QUERY = 3000
# How long a server goes on telling the last number of what is gone: pieces begin so much earlier, to know who came last.
LOOK_BACK_S = 300
# The step that is chosen: the first with which a VM has no more points than these.
STEPS_S = (30, 60, 120, 300, 600, 900, 1800, 3600)
POINTS_PER_VM = 10_000
# What a step may ask for at most: all points of VMS_PER_QUERY VMs are in memory when they are read, 240 MB.
MOST_POINTS_PER_VM = 100_000


@dataclass(frozen=True)
class HistoryRequest:
    """The request: how far back to ask (s), at which step (s; None: chosen by how far back), and for which namespace (None: for all)."""

    since_s: float
    step_s: int | None = None
    namespace: str | None = None

    @property
    def chosen_step_s(self) -> int:
        """Return the step asked for, else the smallest of STEPS_S that keeps a VM's points few."""
        fitting = (step for step in STEPS_S if self.since_s / step <= POINTS_PER_VM)
        return self.step_s or next(fitting, STEPS_S[-1])


@dataclass(frozen=True)
class Piece:
    """Some VMs for some times of a plan, from the one of index `first` on: one query, one file."""

    file: str
    vms: tuple[Vm, ...]
    first: int
    count: int


@dataclass(frozen=True)
class HistoryPlan:
    """A request with what it became: the address, the times, and every VM there was (label: where its namespace stands)."""

    url: str
    request: HistoryRequest
    start_s: int
    step_s: int
    count: int
    label: str
    vms: tuple[Vm, ...]

    @property
    def end_s(self) -> int:
        return self.start_s + (self.count - 1) * self.step_s

    @property
    def look_back(self) -> int:
        """Return how many times before its own a piece asks for."""
        return -(-LOOK_BACK_S // self.step_s)

    def batches(self) -> Iterator[list[Piece]]:
        """Yield the pieces of some VMs at a time, in the order of their times."""
        for number, vms in enumerate(_cut(self.vms)):
            length = max(1, min(MOST_POINTS - self.look_back, POINTS_PER_QUERY // (len(METRICS) * len(vms))))
            yield [
                Piece(f"piece-{number}-{first}.npz", vms, first, min(length, self.count - first))
                for first in range(0, self.count, length)
            ]

    def grid(self, piece: Piece) -> Grid:
        """Return the times to ask for: those of a piece, and those before it."""
        start_s = self.start_s + (piece.first - self.look_back) * self.step_s
        return Grid(start_s, self.step_s, piece.count + self.look_back)


def _cut(vms: Sequence[Vm]) -> Iterator[tuple[Vm, ...]]:
    """Cut VMs, in their order, into as many at a time as one query has room for."""
    batch: list[Vm] = []
    for vm in vms:
        characters = sum(len(word) for each in (*batch, vm) for word in each)
        if batch and (len(batch) == VMS_PER_QUERY or characters > CHARACTERS_PER_QUERY):
            yield tuple(batch)
            batch = []
        batch.append(vm)
    if batch:
        yield tuple(batch)

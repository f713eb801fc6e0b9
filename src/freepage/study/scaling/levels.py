"""The memory that instances are expected to hold of a node, from their schedules alone: docs/decisions/006-groups.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from freepage.fpr.mechanics import PASS_DELAY_S
from freepage.records import Action
from freepage.study.schedule import build_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.records import ProcessSchedule
    from freepage.study.study import MemoryGroup

STEP_S = 0.5


@dataclass(frozen=True)
class Levels:
    """Mean bytes that VMs with FPR, and without, hold of the node; the VMs' own overhead is not in it."""

    with_fpr_bytes: float
    without_bytes: float


@dataclass(frozen=True)
class BlockLevels:
    """The levels of every block of an experiment, whose schedules differ."""

    blocks: tuple[Levels, ...]

    @property
    def most_without_bytes(self) -> float:
        """Return what VMs without FPR hold in the block in which they hold most."""
        return max(levels.without_bytes for levels in self.blocks)

    @property
    def middle_bytes(self) -> float:
        """Return the middle of what VMs hold with FPR and without, in the blocks in which these are closest."""
        return (self._most_with_bytes + self._least_without_bytes) / 2

    def lies_between(self, memory_bytes: float) -> bool:
        """Return whether VMs with FPR fit that much memory in every block, and VMs without do not, both clearly.

        Clearly: by a tenth of the way from one level to the other.
        """
        apart = self._least_without_bytes - self._most_with_bytes
        return abs(memory_bytes - self.middle_bytes) <= 0.4 * apart

    @property
    def _most_with_bytes(self) -> float:
        return max(levels.with_fpr_bytes for levels in self.blocks)

    @property
    def _least_without_bytes(self) -> float:
        return min(levels.without_bytes for levels in self.blocks)


@lru_cache(maxsize=64)
def expected_levels(
    experiment: str, groups: tuple[MemoryGroup, ...], seed: int, start_s: float, end_s: float
) -> Levels:
    """Return the levels from `start_s` to `end_s`.

    With FPR an instance keeps what it held at most within the last two passes, without FPR what it ever held at most.
    """
    times = [n * STEP_S for n in range(math.ceil(end_s / STEP_S) + 1)]
    lag = round(2 * PASS_DELAY_S / STEP_S)
    with_fpr = without = 0.0
    count = sum(t >= start_s for t in times) or 1
    for processes in _schedules_of(experiment, groups, seed):
        held = _held_at(processes, times)
        highest = 0.0
        for n, t in enumerate(times):
            highest = max(highest, held[n])
            if t >= start_s:
                without += highest / count
                with_fpr += max(held[max(0, n - lag) : n + 1]) / count
    return Levels(with_fpr, without)


def _schedules_of(
    experiment: str, groups: tuple[MemoryGroup, ...], seed: int
) -> Iterator[list[ProcessSchedule]]:
    """Yield the schedules of every instance."""
    for group in groups:
        for number in range(group.instances):
            name = group.instance_name(experiment, number)
            yield [build_schedule(group, seed, name, p) for p in range(group.processes)]


def _held_at(processes: list[ProcessSchedule], times: list[float]) -> list[float]:
    """Return the bytes held at each time."""
    changes = sorted(
        (s.at_s, float(s.bytes) if s.action == Action.ALLOCATE else -float(s.bytes))
        for p in processes
        for s in p.steps
    )
    held, total, index = [], 0.0, 0
    for t in times:
        while index < len(changes) and changes[index][0] <= t:
            total += changes[index][1]
            index += 1
        held.append(total)
    return held

"""A scale on a host: docs/decisions/003-scaling.md. Of a smoke run it also bounds what a trial takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.study.values import Share
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.study.study import Conditions

# Below this a run is a smoke run, which only shows that experiments run: each is cut to a few seconds a trial.
SMOKE_SCALE = 0.015


@dataclass(frozen=True)
class SmokeLimits:
    """The bounds of a trial; outside of a smoke run only the shortest times are bounded.

    interval_s: between samples. block_bytes: of one allocation, and of test files on a node that could not be made
    smaller. duration_s: of drawn schedules. last_idle_s: of a cyclic schedule. lead_s: that memory is used before fio
    starts on the same node. shortest_hold_s, shortest_runtime_s: below which no scale shrinks them.
    """

    interval_s: float = math.inf
    block_bytes: float = math.inf
    duration_s: float = math.inf
    last_idle_s: float = math.inf
    lead_s: float = math.inf
    shortest_hold_s: float = 2.0
    shortest_runtime_s: float = 1.0


NO_LIMITS = SmokeLimits()
SMOKE_LIMITS = SmokeLimits(
    interval_s=0.5,
    block_bytes=512 * MIB,
    duration_s=11.0,
    # Too short to be a release, so none is measured.
    last_idle_s=1.0,
    lead_s=4.0,
    shortest_hold_s=0.5,
    shortest_runtime_s=0.5,
)


def is_smoke(factor: float) -> bool:
    return factor < SMOKE_SCALE


@dataclass(frozen=True)
class Scale:
    """The factor that a study is scaled by, and the host or nodes it is scaled for."""

    factor: float
    conditions: Conditions

    @property
    def smoke(self) -> bool:
        return is_smoke(self.factor)

    @property
    def limits(self) -> SmokeLimits:
        return SMOKE_LIMITS if self.smoke else NO_LIMITS

    @property
    def shrinks(self) -> bool:
        return self.factor < 1

    def count(self, count: int) -> int:
        """Return a number of instances, processes or iterations, which shrinks by the root: at least 2 of several."""
        return max(min(count, 2), round(count * math.sqrt(self.factor))) if self.shrinks else count

    def scaled_bytes(self, size: int | Share) -> int:
        """Return a size at this scale, in bytes; a share of the node follows the node, not the scale."""
        return self.in_bytes(size, self.factor)

    def in_bytes(self, size: int | Share, factor: float = 1.0) -> int:
        if isinstance(size, Share):
            return round(size * self.conditions.node_memory_bytes)
        return round(size * factor)

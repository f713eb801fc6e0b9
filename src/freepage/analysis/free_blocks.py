"""The free blocks of one guest over a trial, by their orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.series import metric_series
from freepage.metrics import BUDDY_ORDERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freepage.store import TrialData


@dataclass(frozen=True)
class FreeBlocks:
    """The number of free blocks of each order at the times at which all of them are known: arrays of shape (n,)."""

    t_s: NDArray[np.float64]
    by_order: dict[int, NDArray[np.float64]]

    def before(self, t_s: float) -> dict[int, float] | None:
        """Return the counts of the last sample at or before a time; None without one."""
        return self._at(int(np.searchsorted(self.t_s, t_s, side="right")) - 1)

    def after(self, t_s: float) -> dict[int, float] | None:
        """Return the counts of the first sample at or after a time; None without one."""
        return self._at(int(np.searchsorted(self.t_s, t_s, side="left")))

    def _at(self, index: int) -> dict[int, float] | None:
        if not 0 <= index < len(self.t_s):
            return None
        return {order: float(counts[index]) for order, counts in self.by_order.items()}


def find_free_blocks(trial: TrialData, instance: str) -> FreeBlocks:
    """Return a guest's free blocks, of the orders its kernel has; without any sample where it shows none."""
    series = {
        order: metric_series(trial, instance, f"guest_free_order_{order}_blocks") for order in BUDDY_ORDERS
    }
    seen = {order: each for order, each in series.items() if len(each.known().t_s)}
    if not seen:
        return FreeBlocks(np.array([]), {})
    t_s = next(iter(seen.values())).t_s
    known = ~np.any([np.isnan(each.values) for each in seen.values()], axis=0)
    return FreeBlocks(t_s[known], {order: each.values[known] for order, each in seen.items()})

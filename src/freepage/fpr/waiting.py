"""What is free in a guest over time and still waits to be reported, from its lists of free blocks at each sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from freepage.fpr.release import add_running_s, blocks_per_pass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.fpr.footprint import Array
    from freepage.fpr.release import Pause, Reporting


def find_waiting_bytes(
    t_s: Array, free_blocks_by_order: Mapping[int, Array], reporting: Reporting, pauses: Sequence[Pause] = ()
) -> Array:
    """Return the bytes in blocks that FPR can report and has not yet, at each time: shape (n,), as t_s and each order's blocks.

    Nothing waits at the first time. The blocks of all zones and migratetypes are taken as one list an order, which is slowest.
    What is taken from a list is what waits, as long as something does: what has been reported lies at its end. A change between
    two samples counts in the middle of them. No value may be missing.
    """
    import numpy as np

    orders = [order for order in sorted(free_blocks_by_order) if order >= reporting.order]
    counts = np.array([free_blocks_by_order[order] for order in orders]).T.tolist()
    queue = _Queue(reporting, orders, pauses)
    waiting = np.zeros(len(t_s))
    times = t_s.tolist()
    for n in range(1, len(times) if orders else 0):
        middle_s = (times[n - 1] + times[n]) / 2
        queue.report(middle_s, counts[n - 1])
        queue.change(middle_s, counts[n - 1], counts[n])
        queue.report(times[n], counts[n])
        waiting[n] = sum(queue.waiting)
    return waiting


class _Queue:
    """The bytes of each order that wait, and when the next pass comes."""

    def __init__(self, reporting: Reporting, orders: Sequence[int], pauses: Sequence[Pause]) -> None:
        self.sizes = [reporting.block_bytes(order) for order in orders]
        self.waiting = [0.0] * len(orders)
        self._reporting = reporting
        self._pauses = pauses
        self._next_s = math.inf

    def report(self, until_s: float, counts: Sequence[float]) -> None:
        """Run the passes until a time; counts: all free blocks of each order then, by which a pass has its budgets."""
        while self._next_s <= until_s:
            budgets = [blocks_per_pass(count, self._reporting.capacity) for count in counts]
            queued = zip(self.waiting, budgets, self.sizes, strict=True)
            self.waiting = [max(0.0, waits - budget * size) for waits, budget, size in queued]
            self._next_s = self._after_delay(self._next_s) if any(self.waiting) else math.inf

    def change(self, at_s: float, before: Sequence[float], after: Sequence[float]) -> None:
        """Take what was freed between two samples into the queue, and what was allocated out of it."""
        if before == after:
            return
        changes = [(new - old) * size for old, new, size in zip(before, after, self.sizes, strict=True)]
        left = max(0.0, sum(self.waiting) + sum(changes))
        # Blocks that join or split change their order: the sum counts, and each order has its part of what grew.
        grown = [max(0.0, waits + change) for waits, change in zip(self.waiting, changes, strict=True)]
        self.waiting = [left * part / sum(grown) for part in grown] if left else [0.0] * len(grown)
        if left and math.isinf(self._next_s):
            self._next_s = self._after_delay(at_s)

    def _after_delay(self, t_s: float) -> float:
        return add_running_s(t_s, self._reporting.passes.delay_s, self._pauses)

"""Memory that a guest has freed and not reported yet: it waits for the kernel's next passes, and is on the host so long."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from freepage.fpr.mechanics import LARGEST_BLOCK_BYTES, MOST_PASSES, PASS_DELAY_S, blocks_per_pass

if TYPE_CHECKING:
    from freepage.forecast.trace import Array


def waiting_bytes(t_s: Array, reportable_bytes: Array) -> Array:
    """Return what of the reportable memory had not been reported yet at each sample, in bytes.

    One list of the largest blocks, worked through by a pass every 2 s, the first one that long after a free, which is taken
    to come halfway between two samples. Memory freed last is taken first again. 0 where samples are further apart than all
    passes take, and at the start.
    """
    waiting = np.zeros(len(t_s))
    if len(t_s) < 2 or np.median(np.diff(t_s)) >= PASS_DELAY_S * MOST_PASSES:
        return waiting
    left, pass_s = 0.0, math.inf
    times, sizes = t_s.tolist(), reportable_bytes.tolist()
    for index in range(1, len(times)):
        before_s, now_s, size = times[index - 1], times[index], sizes[index]
        change = size - sizes[index - 1]
        if math.isnan(change):
            left, pass_s = 0.0, math.inf
            continue
        left, pass_s = _run_passes(left, pass_s, now_s, size)
        left = min(max(0.0, left + change), size)
        if left and pass_s == math.inf:
            pass_s = (before_s + now_s) / 2 + PASS_DELAY_S
        waiting[index] = left
    return waiting


def _run_passes(left: float, pass_s: float, now_s: float, listed_bytes: float) -> tuple[float, float]:
    """Return what is left after the passes that were due until now, and when the next one is due (never: infinity)."""
    while left > 0 and pass_s <= now_s:
        left -= blocks_per_pass(math.ceil(listed_bytes / LARGEST_BLOCK_BYTES)) * LARGEST_BLOCK_BYTES
        pass_s += PASS_DELAY_S
    return (left, pass_s) if left > 0 else (0.0, math.inf)

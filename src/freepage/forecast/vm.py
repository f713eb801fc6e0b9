"""The forecast of one VM: what the host would hold for it with FPR, at each moment at which enough is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.assumptions import MODEL_ERROR, describe_assumptions, describe_unknown
from freepage.forecast.timeline import highest_so_far
from freepage.forecast.waiting import waiting_bytes
from freepage.fpr.footprint import OVERHEAD_RANGE_BYTES, footprint_bytes
from freepage.fpr.stranded import WORST_UNREPORTABLE_FRACTION

if TYPE_CHECKING:
    from freepage.forecast.trace import Array, VmTrace


@dataclass(frozen=True)
class VmForecast:
    """With FPR: bytes on the host at least, most likely and at most; arrays of the trace's shape, NaN where unknown.

    likely is NaN where only a range can be told. stranded_bytes: free in the guest in blocks below the reporting order,
    which FPR leaves on the host; NaN where blocks are not known. assumptions: what this forecast rests on, one sentence
    each, as docs/forecast.md states them. unknown: what could not be told, and why.
    """

    trace: VmTrace
    low_bytes: Array
    likely_bytes: Array
    high_bytes: Array
    stranded_bytes: Array
    assumptions: tuple[str, ...]
    unknown: tuple[str, ...]


def forecast_vm(trace: VmTrace, overhead: tuple[float, float, float] = OVERHEAD_RANGE_BYTES) -> VmForecast:
    """Return what the host would hold with FPR; overhead: what the VMM needs beside the guest's memory (bytes).

    By blocks where they are known of most samples; samples without are a gap then. By the sum of free memory else, which only
    tells a range. Never more than was touched since the trace or its last gap began.
    """
    has_blocks = knows_blocks(trace)
    low, likely, high = (_by_blocks if has_blocks else _by_sum)(trace, overhead, touched_bytes(trace))
    return VmForecast(
        trace,
        low,
        likely,
        high,
        np.maximum(trace.free_bytes - trace.reportable_bytes, 0.0),
        describe_assumptions(overhead, has_blocks=has_blocks) if np.any(~np.isnan(low)) else (),
        describe_unknown(trace, has_blocks=has_blocks),
    )


def knows_blocks(trace: VmTrace) -> bool:
    """Return whether at least half of the samples that tell anything of free memory tell of its blocks."""
    blocks = np.count_nonzero(~np.isnan(trace.reportable_bytes))
    anything = np.count_nonzero(~np.isnan(trace.reportable_bytes) | ~np.isnan(trace.free_bytes))
    return bool(blocks > 0 and 2 * blocks >= anything)


def touched_bytes(trace: VmTrace) -> Array:
    """Return the highest resident memory since the last gap: the rest was never on the host; NaN where it is not known now."""
    highest = highest_so_far(trace.resident_bytes, trace.gaps)
    return np.where(np.isnan(trace.resident_bytes), np.nan, highest)


def _by_blocks(
    trace: VmTrace, overhead: tuple[float, float, float], touched: Array
) -> tuple[Array, Array, Array]:
    """Return the footprint, with less and more given back than it says; never less held than with every free page reported."""
    free, total = trace.free_bytes, trace.total_bytes
    reported = trace.reportable_bytes - waiting_bytes(trace.t_s, trace.reportable_bytes)
    low, likely, high = (np.minimum(footprint_bytes(total, reported, each), touched) for each in overhead)
    least = footprint_bytes(total, np.maximum(free, reported), overhead[0])
    least = np.minimum(np.where(np.isnan(free), overhead[0], least), low)
    low = np.maximum(low - MODEL_ERROR * (touched - low), least)
    return low, likely, np.minimum(high + MODEL_ERROR * (touched - high), touched)


def _by_sum(
    trace: VmTrace, overhead: tuple[float, float, float], touched: Array
) -> tuple[Array, Array, Array]:
    """Return the footprint as if every free page were reported, and as if free memory were as fragmented as the worst published."""
    free, worst = trace.free_bytes, trace.free_bytes * (1 - WORST_UNREPORTABLE_FRACTION)
    low = np.minimum(footprint_bytes(trace.total_bytes, free, overhead[0]), touched)
    high = np.minimum(footprint_bytes(trace.total_bytes, worst, overhead[2]), touched)
    return low, np.full(len(trace), np.nan), high

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
    low, likely, high = _by_blocks(trace, overhead) if has_blocks else _by_sum(trace, overhead)
    touched = touched_bytes(trace)
    return VmForecast(
        trace,
        np.minimum(low, touched),
        np.minimum(likely, touched),
        np.minimum(high, touched),
        np.maximum(trace.free_bytes - trace.reportable_bytes, 0.0),
        describe_assumptions(overhead, has_blocks=has_blocks) if np.any(~np.isnan(low + touched)) else (),
        describe_unknown(trace, has_blocks=has_blocks),
    )


def knows_blocks(trace: VmTrace) -> bool:
    """Return whether at least half of the samples that tell anything of free memory tell of its blocks."""
    blocks = np.count_nonzero(~np.isnan(trace.reportable_bytes))
    anything = np.count_nonzero(~np.isnan(trace.reportable_bytes) | ~np.isnan(trace.free_bytes))
    return bool(blocks) and 2 * blocks >= anything


def touched_bytes(trace: VmTrace) -> Array:
    """Return the highest resident memory since the last gap: the rest was never on the host; NaN where it is not known now."""
    highest = highest_so_far(trace.resident_bytes, trace.gaps)
    return np.where(np.isnan(trace.resident_bytes), np.nan, highest)


def _by_blocks(trace: VmTrace, overhead: tuple[float, float, float]) -> tuple[Array, Array, Array]:
    reported = trace.reportable_bytes - waiting_bytes(trace.t_s, trace.reportable_bytes)
    low, likely, high = (footprint_bytes(trace.total_bytes, reported, each) for each in overhead)
    return low * (1 - MODEL_ERROR), likely, high * (1 + MODEL_ERROR)


def _by_sum(trace: VmTrace, overhead: tuple[float, float, float]) -> tuple[Array, Array, Array]:
    """Return the footprint as if every free page were reported, and as if free memory were as fragmented as the worst published."""
    free, worst = trace.free_bytes, trace.free_bytes * (1 - WORST_UNREPORTABLE_FRACTION)
    low = footprint_bytes(trace.total_bytes, free, overhead[0])
    high = footprint_bytes(trace.total_bytes, worst, overhead[2])
    return low, np.full(len(trace), np.nan), high

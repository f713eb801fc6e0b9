"""The idle time from which on FPR saves more GiB x s of a block than are waited for, by the points of one line of a map."""

from __future__ import annotations

from math import inf
from statistics import fmean, median
from typing import TYPE_CHECKING

from freepage.analysis.stats import LEAST_TRIALS, Estimate, Method
from freepage.fpr.paying import break_even_s, share_back
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.analysis.map_points import MeasuredPoint
    from freepage.fpr.mechanics import Passes

# Between which idle times FPR begins to pay; to infinity where it does not.
Span = tuple[float, float]


def find_prices(line: Sequence[MeasuredPoint], passes: Passes | None) -> dict[int, float]:
    """Return by repeat how many seconds longer it took to allocate a GiB that had left the host by the kernel's passes.

    All waits of the line over all that they were for. Empty where the guests' passes are not known, or nothing comes back.
    """
    if passes is None:
        return {}
    waits: dict[int, list[tuple[float, float]]] = {}
    for point in line:
        size = point.shape.block_bytes
        back_gib = share_back(point.shape.idle_s, size, passes) * size / GIB
        for repeat, wait_s in point.wait_s.items() if back_gib else ():
            waits.setdefault(repeat, []).append((wait_s, back_gib))
    return {repeat: sum(s for s, _ in seen) / sum(gib for _, gib in seen) for repeat, seen in waits.items()}


def find_spans(line: Sequence[MeasuredPoint], passes: Passes | None) -> dict[int, Span]:
    """Return by repeat the span in which FPR begins to pay: it does at its end and at all longer idle times of the line.

    line: in the order of idle times. Before the first pass nothing can come back, so there FPR does not pay.
    """
    gains = [(point.shape.idle_s, point.gain_s) for point in line]
    repeats = sorted({repeat for _, gain in gains for repeat in gain})
    first_s = 0.0 if passes is None else passes.delay_s
    return {
        repeat: _find_span([(idle_s, gain[repeat]) for idle_s, gain in gains if repeat in gain], first_s)
        for repeat in repeats
    }


def _find_span(gains: Sequence[tuple[float, float]], first_s: float) -> Span:
    low, high = first_s, inf
    for idle_s, gain_s in gains:
        if idle_s <= first_s or gain_s <= 0:
            low, high = max(first_s, idle_s), inf
        else:
            high = min(high, idle_s)
    return low, high


def estimate_break_even(line: Sequence[MeasuredPoint], passes: Passes | None) -> Estimate | None:
    """Return the median of the repeats' break-even idle times (s), with the range of the spans they lie in.

    None where half of the repeats, or more, do not get there, and where none tells.
    """
    spans, prices = find_spans(line, passes), find_prices(line, passes)
    if not spans:
        return None
    places = [
        _place(span, line[0].shape.block_bytes, prices.get(repeat), passes) for repeat, span in spans.items()
    ]
    middle = median(places)
    if middle == inf:
        return None
    low, high = min(low for low, _ in spans.values()), max(high for _, high in spans.values())
    few = len(spans) < LEAST_TRIALS
    reached = None if few or high == inf else high
    return Estimate(middle, None if few else low, reached, "s", len(spans), Method.CENSORED)


def _place(span: Span, block_bytes: float, price: float | None, passes: Passes | None) -> float:
    """Return where in its span a break-even lies: by the kernel's pace and the measured price, else its middle."""
    low, high = span
    if high == inf or passes is None or price is None:
        return fmean(span)
    return min(high, max(low, break_even_s(block_bytes, price, passes)))

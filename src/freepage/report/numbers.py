"""Numbers as they are shown: people's units, as many digits as the number carries, the interval and its method beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.stats import Method
from freepage.units import GIB, format_bytes

if TYPE_CHECKING:
    from freepage.analysis.stats import Estimate

MISSING = "–"
SMALL = 0.1

# The methods of intervals: as a table has them, and in words.
_METHODS = {
    Method.STUDENT_LOG: ("log-t", "t on logs"),
    Method.STUDENT: ("t", "Student's t"),
    Method.RANGE: ("range", "least to greatest"),
    Method.CENSORED: ("range", "least to greatest"),
    Method.CLOPPER_PEARSON: ("exact", "exact for counts"),
}
METHOD_NOTE = (
    "Below each number: its 95 % interval, the trials it comes from (n), and the method. log-t: geometric mean with Student's "
    "t on logarithms; t: mean with Student's t; range: median, with the least and the greatest of all trials; exact: a count "
    "with the interval of Clopper and Pearson. Fewer than three trials have no interval and decide nothing, fewer than five no range that decides."
)

# Unit in results.json: (factor, decimals, what stands behind the number).
_SHOWN = {
    "fraction": (100.0, 1, " %"),
    "bytes": (1 / GIB, 2, " GiB"),
    "s": (1.0, 2, " s"),
    "s/GiB": (1.0, 2, " s/GiB"),
    "GiB/s": (1.0, 2, " GiB/s"),
    "cores": (1.0, 2, " cores"),
    "cells": (1.0, 0, " cells"),
    "runs": (1.0, 1, " runs"),
    "passes": (1.0, 1, " passes"),
    "ratio": (1.0, 2, "×"),
    "GiB x s": (1.0, 1, " GiB·s"),
}


def show_value(estimate: Estimate | None) -> str:
    """Return an estimate's value with its unit: "95.3 %", "1.20 GiB"."""
    if estimate is None:
        return MISSING
    if estimate.unit == "bytes/s":
        return f"{format_bytes(estimate.value)}/s"
    factor, _, unit = _SHOWN[estimate.unit]
    is_share = estimate.unit == "fraction" and estimate.method == Method.RANGE
    value = min(max(estimate.value, 0.0), 1.0) if is_share else estimate.value
    text = _number(value * factor, _decimals(estimate))
    return f"{text}{unit.removesuffix('s') if (text, unit) == ('1', ' cells') else unit}"


def show_interval(estimate: Estimate | None) -> str:
    """Return an estimate's interval: "94.1 to 96.4", "at least 3.00" where it is open; "" without one."""
    if estimate is None or estimate.low is None:
        return ""
    low, high = (_show_end(end, estimate) for end in (estimate.low, estimate.high))
    return f"{low} to {high}" if high else f"at least {low}"


def show_basis(estimate: Estimate | None) -> str:
    """Return what an estimate rests on, as a table has it: "94.1 to 96.4 · n 5 · log-t", "n 1"; "" without one."""
    if estimate is None:
        return ""
    interval = show_interval(estimate)
    method = _METHODS[Method(estimate.method)][0] if interval and estimate.method else ""
    return " · ".join(filter(None, (interval, f"n {estimate.n}", method)))


def describe_basis(estimate: Estimate) -> str:
    """Return what an estimate rests on, in words: "95 %: 94.1 to 96.4, 5 trials, t on logs"."""
    interval = show_interval(estimate)
    trials = "one trial" if estimate.n == 1 else f"{estimate.n} trials"
    if not interval:
        return f"{trials}, no interval"
    if not estimate.method:
        return f"95 %: {interval}, {trials}"
    words = _METHODS[Method(estimate.method)][1]
    if estimate.method in {Method.RANGE, Method.CENSORED}:
        return f"{interval}, {words} of {trials}"
    return f"95 %: {interval}, {trials}, {words}"


def _show_end(end: float | None, estimate: Estimate) -> str:
    """Return one end of an interval; a share lies between 0 and 1, whatever noise made of it."""
    if end is None:
        return ""
    if estimate.unit == "bytes/s":
        return format_bytes(max(end, 0))
    is_share = estimate.unit == "fraction" and estimate.method == Method.RANGE
    shown = min(max(end, 0.0), 1.0) if is_share else end
    return _number(shown * _SHOWN[estimate.unit][0], _decimals(estimate))


def _decimals(estimate: Estimate) -> int:
    """Return one more decimal for times and CPU that would hardly show otherwise, such as a skew of 11 ms."""
    decimals = _SHOWN[estimate.unit][1]
    sizes = [abs(v) for v in (estimate.value, estimate.low, estimate.high) if v is not None]
    return decimals + 1 if estimate.unit in {"s", "cores"} and 0 < max(sizes) < SMALL else decimals


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return "0" + text[2:] if text.startswith("-0") and float(text) == 0 else text.replace("-", "−")

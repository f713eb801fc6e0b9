"""The words where nothing is decided: why, what the run could have seen, and how many repeats would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.bounds import IntervalPosition, format_bound
from freepage.analysis.significance import MOST_REPEATS, find_repeats, find_smallest_effect
from freepage.analysis.stats import Method

if TYPE_CHECKING:
    from freepage.analysis.bounds import Bounds
    from freepage.analysis.stats import Estimate


def explain_undecided(estimate: Estimate, bounds: Bounds, least: int = 0) -> str:
    """Return why an estimate does not decide on its bounds, in one or two sentences, and what would.

    least: how many trials are asked for, where it is more than the estimate needs by itself.
    """
    if estimate.n < estimate.least_to_decide:
        least = max(least, estimate.least_to_decide)
        return f"{_describe_seen(estimate, bounds)}; nothing is decided from fewer than {least} (--repeats {least})."
    if estimate.method in {Method.RANGE, Method.CENSORED}:
        return f"Its {estimate.n} trials, {describe_interval(estimate)}, lie on both sides of the bound."
    if estimate.method == Method.CLOPPER_PEARSON:
        return f"The exact interval, {describe_interval(estimate)}, lies on both sides of the bound; more repeats narrow it."
    sentence = f"The interval, {describe_interval(estimate)}, lies on both sides of the bound"
    return f"{sentence}{_describe_power(estimate, bounds, least)}."


def describe_interval(estimate: Estimate) -> str:
    """Return an interval as a sentence has it: "1.5 to 2.5 times", "at least 3 s" where it is open; the value without one."""
    if estimate.low is None:
        return format_rounded(estimate.value, estimate.unit)
    if estimate.high is None:
        return f"at least {format_rounded(estimate.low, estimate.unit)}"
    low, high = (format_rounded(end, estimate.unit) for end in (estimate.low, estimate.high))
    number, unit = _part_unit(low)
    return f"{number if unit == _part_unit(high)[1] else low} to {high}"


def _part_unit(text: str) -> tuple[str, str]:
    """Part a number from its unit: both ends of an interval need it but once."""
    number = text.partition("\u00a0")[0].partition(" ")[0]
    return number, text.removeprefix(number)


def format_rounded(value: float, unit: str) -> str:
    """Return a number as a sentence has it, with two significant digits; a percentage without decimals."""
    if unit == "fraction":
        return f"{round(value * 100)}\u00a0%"
    rounded = value if unit == "bytes" else float(f"{value:.2g}")
    return format_bound(rounded, unit)


def lower_first(text: str) -> str:
    """Return a sentence as the end of another one."""
    return text if text.startswith(("VMs", "FPR", "I/O")) else text[:1].lower() + text[1:]


def _describe_seen(estimate: Estimate, bounds: Bounds) -> str:
    """Return on which side of the bounds few trials lie, whose range is all there is to tell."""
    one = estimate.n == 1
    trials = "One trial" if one else f"{estimate.n} trials"
    ends = [end for end in (estimate.low, estimate.high, estimate.value) if end is not None]
    sides = {bounds.locate_value(end) for end in ends}
    if len(sides) > 1:
        return f"{trials} lie on both sides of the bound"
    meets = IntervalPosition.WITHIN in sides
    return f"{trials} {'meet' if meets else 'miss'}{('s' if meets else 'es') if one else ''} the rule"


def _describe_power(estimate: Estimate, bounds: Bounds, least: int) -> str:
    """Return what such a run could have seen, and how many repeats would decide, `least` of them at least."""
    seen = find_smallest_effect(estimate)
    if seen is None:
        return ""
    is_log = estimate.method == Method.STUDENT_LOG
    effect = f"{seen * 100:.2g}\u00a0%" if is_log else format_rounded(seen, estimate.unit)
    repeats = find_repeats(estimate, bounds.find_nearest(estimate.value))
    would = (
        f"{max(repeats, least)} repeats would do"
        if repeats
        else f"it is too near the bound for {MOST_REPEATS} repeats to do"
    )
    return f"; {estimate.n} trials like these see differences from {effect} on, and {would}"

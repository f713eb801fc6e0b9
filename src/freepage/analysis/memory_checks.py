"""Checks of what came back, against the rule of the verdict: with FPR, without it, and of the node's memory in use."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.reach import describe_no_time, leaves_time
from freepage.analysis.sentences import PEAK, POSSIBLE, format_percent, format_share, format_with_interval
from freepage.analysis.significance import ONE_SIDED, RANGE_ERROR, correct_by_holm, find_range_error
from freepage.analysis.stats import LEAST_FOR_RANGE
from freepage.analysis.undecided import explain_undecided, lower_first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freepage.analysis.limits import ExperimentOutcome
    from freepage.analysis.stats import Estimate
    from freepage.records import VerdictRule


@dataclass(frozen=True)
class MemoryCheck:
    """One number of memory in a sentence, and where it lies against the rule.

    short: the same as words of an exception ("they gave back only 30 %"). few: whether only more trials are missing.
    error: the probability of such a number, were the truth at the limit; None where nothing was tested. level: what that may be
    where nothing else is decided with it.
    """

    about: str
    position: IntervalPosition
    text: str
    short: str = ""
    few: Estimate | None = None
    error: float | None = None
    level: float = ONE_SIDED


def check_given_back(outcome: ExperimentOutcome, rule: VerdictRule) -> MemoryCheck:
    """Check what VMs with FPR gave back of what they freed."""
    about, given = f"given back in {outcome.experiment}", outcome.given_back
    if outcome.obstacle:
        return _open(about, outcome.obstacle)
    if given is None:
        return _open(about, "No trial with FPR measured a release.")
    bounds = Bounds(at_least=rule.min_given_back_fraction)
    return _check(about, given, bounds, "VMs with FPR gave back {} of what they freed", "they gave back {}")


def check_without(outcome: ExperimentOutcome, rule: VerdictRule) -> MemoryCheck:
    """Check that VMs without FPR gave nothing back: else something other than FPR is at work, and nothing is decided."""
    about, without = "given back without FPR", outcome.given_back_without
    if without is None:
        return _open(about, "No trial without FPR shows what would have happened otherwise.")
    bounds = Bounds(at_most=rule.max_given_back_fraction_without)
    check = _check(about, without, bounds, "VMs without FPR gave back {} of what they freed")
    if check.position is IntervalPosition.BEYOND:
        return _open(about, f"VMs without FPR gave back {format_percent(without)}, which FPR cannot explain.")
    return check


def check_saved(outcome: ExperimentOutcome, rule: VerdictRule) -> MemoryCheck:
    """Check how much less of the node's memory VMs with FPR take, on average."""
    about, saved = "node memory saved", outcome.saved_mean
    if saved is None:
        return _open(about, "How much of the node's memory FPR saves was not measured.")
    if outcome.node_obstacle:
        return _open(about, outcome.node_obstacle)
    bounds = Bounds(at_least=rule.min_saved_mean_fraction)
    return _check(about, saved, bounds, "VMs with FPR took {} less of the node's memory on average")


def check_possible(outcome: ExperimentOutcome, rule: VerdictRule) -> MemoryCheck | None:
    """Check how much FPR saves of what a pod shows to be possible; None where the rule has no limit on it.

    Where the idle windows of the schedules are too short for the kernel's own pace to save so much, too little shows what such
    windows allow, and nothing of longer ones.
    """
    least, possible = rule.min_saved_of_possible_fraction, outcome.saved_of_possible
    if least is None:
        return None
    if not outcome.has_pods:
        text = "No pod was to show what is possible, so how much of that FPR saves is no part of the answer."
        return MemoryCheck(POSSIBLE.about, IntervalPosition.WITHIN, text)
    if outcome.obstacle:
        return _open(POSSIBLE.about, outcome.obstacle)
    if possible is None:
        return _open(
            POSSIBLE.about,
            "How much FPR saves of what a pod shows to be possible was not measured, or is nothing.",
        )
    bounds = Bounds(at_least=least)
    check = _check(POSSIBLE.about, possible, bounds, POSSIBLE.sentence, show=format_with_interval)
    in_time = outcome.saved_in_time
    has_time = in_time is not None and leaves_time(in_time, least)
    if check.position is IntervalPosition.WITHIN or possible.value >= least or has_time:
        return check
    seen = POSSIBLE.sentence.format(f"only {format_share(possible.value)}")
    if in_time is None:
        why = (
            "whether idle windows are too short is not known, since guests do not show their kernels' passes."
        )
    else:
        why = f"idle windows are too short. {describe_no_time(in_time)}"
    return _open(POSSIBLE.about, f"{seen}, too little of it: {why}")


def check_peak(outcome: ExperimentOutcome, rule: VerdictRule) -> MemoryCheck | None:
    """Check that the node's memory peaks hardly higher with FPR than without; None where the rule has no limit on it.

    That it peaks as high is nothing against FPR, which cannot lower what VMs hold at the same time.
    """
    most, saved = rule.max_added_peak_fraction, outcome.saved_max
    if most is None:
        return None
    if saved is None:
        return _open(
            PEAK.about, "How high the node's memory in use peaks with FPR, and without, was not measured."
        )
    if outcome.node_obstacle:
        return _open(PEAK.about, outcome.node_obstacle)
    check = _check(PEAK.about, saved, Bounds(at_least=-most), PEAK.sentence, show=format_with_interval)
    if check.position is not IntervalPosition.BEYOND:
        return check
    text = f"At its peak the node's memory in use was {format_share(-saved.value)} higher with FPR."
    return replace(check, text=text)


def correct_together(checks: Mapping[str, MemoryCheck]) -> dict[str, MemoryCheck]:
    """Return what VMs of several experiments gave back, with what does not stand among so many left open (Holm).

    Costs have a table of their own: they are asked for only where none of these is open (serial gatekeeping: Maurer, Hothorn and
    Lehmacher, 1995).
    """
    found = checks.values()
    stands = correct_by_holm([c.error for c in found], [c.level for c in found])
    tested = sum(c.error is not None for c in found)
    return {
        name: check if stand else _leave_open(check, tested)
        for (name, check), stand in zip(checks.items(), stands, strict=True)
    }


def _leave_open(check: MemoryCheck, tested: int) -> MemoryCheck:
    """Return a check that does not stand among those tested; one that is not beyond its limit excepts nobody and stays."""
    if check.position is not IntervalPosition.BEYOND:
        return check
    repeats = LEAST_FOR_RANGE + math.ceil(math.log2(tested))
    why = f"of {tested} experiments one would seem so by chance; {repeats} trials that all do would tell (--repeats {repeats})."
    return _open(check.about, f"{check.text.removesuffix('.')}: {why}")


def _open(about: str, text: str) -> MemoryCheck:
    return MemoryCheck(about, IntervalPosition.STRADDLING, text)


def _check(
    about: str,
    estimate: Estimate,
    bounds: Bounds,
    sentence: str,
    short: str = "",
    *,
    show: Callable[[Estimate], str] | None = None,
) -> MemoryCheck:
    """Return a check with its sentence, in which {} is the value; `show`: with what it is shown where it meets the rule."""
    position, value = bounds.locate(estimate), format_percent(estimate)
    error, level = _find_error(estimate, bounds)
    check = MemoryCheck(about, position, "", error=error, level=level)
    if position is IntervalPosition.BEYOND:
        words = f"only {value}" if bounds.at_least is not None else value
        return replace(check, text=f"{sentence.format(words)}.", short=short.format(words))
    if position is IntervalPosition.WITHIN:
        return replace(check, text=f"{sentence.format((show or format_percent)(estimate))}.")
    seen = sentence.format(value if show is None else format_share(estimate.value))
    few = estimate if estimate.n < estimate.least_to_decide and _meets(estimate, bounds) else None
    return replace(check, text=f"{seen}: {lower_first(explain_undecided(estimate, bounds))}", few=few)


def _find_error(estimate: Estimate, bounds: Bounds) -> tuple[float | None, float]:
    """Return the probability of such an estimate, were the truth at the bound it is nearest to, and what it may be alone."""
    by_range = find_range_error(estimate, bounds.find_nearest(estimate.value))
    if by_range is not None:
        return by_range, RANGE_ERROR
    return bounds.find_error(estimate), ONE_SIDED


def _meets(estimate: Estimate, bounds: Bounds) -> bool:
    ends = (end for end in (estimate.low, estimate.high, estimate.value) if end is not None)
    return all(bounds.locate_value(end) is IntervalPosition.WITHIN for end in ends)

"""Checks of what came back, against the rule of the verdict: with FPR, without it, and of the node's memory in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.sentences import format_percent
from freepage.analysis.undecided import explain_undecided, lower_first

if TYPE_CHECKING:
    from freepage.analysis.limits import ExperimentOutcome
    from freepage.analysis.stats import Estimate
    from freepage.records import VerdictRule


@dataclass(frozen=True)
class MemoryCheck:
    """One number of memory in a sentence, and where it lies against the rule.

    short: the same as words of an exception ("they gave back only 30 %"). few: whether only more trials are missing.
    """

    about: str
    position: IntervalPosition
    text: str
    short: str = ""
    few: Estimate | None = None


def check_given_back(outcome: ExperimentOutcome, rule: VerdictRule) -> MemoryCheck:
    """Check what VMs with FPR gave back of what they freed."""
    about, given = f"given back in {outcome.experiment}", outcome.given_back
    if outcome.obstacle:
        return _open(about, outcome.obstacle)
    if given is None:
        return _open(about, "No trial with FPR measured a release.")
    bounds = Bounds(at_least=rule.min_given_back_fraction)
    return _check(about, given, bounds, "VMs with FPR gave back", "of what they freed", "they gave back")


def check_without(outcome: ExperimentOutcome, rule: VerdictRule) -> MemoryCheck:
    """Check that VMs without FPR gave nothing back: else something other than FPR is at work, and nothing is decided."""
    about, without = "given back without FPR", outcome.given_back_without
    if without is None:
        return _open(about, "No trial without FPR shows what would have happened otherwise.")
    bounds = Bounds(at_most=rule.max_given_back_fraction_without)
    check = _check(about, without, bounds, "VMs without FPR gave back", "of what they freed", "")
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
    return _check(
        about, saved, bounds, "VMs with FPR took", "less of the node's memory on average", "they saved"
    )


def _open(about: str, text: str) -> MemoryCheck:
    return MemoryCheck(about, IntervalPosition.STRADDLING, text)


def _check(about: str, estimate: Estimate, bounds: Bounds, what: str, of: str, short: str) -> MemoryCheck:
    position, value = bounds.locate(estimate), format_percent(estimate)
    if position is IntervalPosition.BEYOND:
        only = "only " if bounds.at_least is not None else ""
        return MemoryCheck(about, position, f"{what} {only}{value} {of}.", f"{short} {only}{value}")
    if position is IntervalPosition.WITHIN:
        return MemoryCheck(about, position, f"{what} {value} {of}.")
    text = f"{what} {value} {of}: {lower_first(explain_undecided(estimate, bounds))}"
    few = estimate if estimate.n < estimate.least_to_decide and _meets(estimate, bounds) else None
    return MemoryCheck(about, position, text, few=few)


def _meets(estimate: Estimate, bounds: Bounds) -> bool:
    ends = (end for end in (estimate.low, estimate.high, estimate.value) if end is not None)
    return all(bounds.locate_value(end) is IntervalPosition.WITHIN for end in ends)

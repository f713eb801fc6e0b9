"""The answer, with the rule it follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.limits import CostReport, ExperimentOutcome, check_limits
from freepage.analysis.sentences import (
    as_sentence,
    describe_gains,
    describe_rule,
    format_interval,
    format_percent,
    lower_first,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.stats import Estimate
    from freepage.records import VerdictRule


class Decision(StrEnum):
    """The decision on FPR for this host or cluster."""

    ENABLE = "enable"
    ENABLE_EXCEPT = "enable-except"
    NO_BENEFIT = "no-benefit"
    INCONCLUSIVE = "inconclusive"


# How many times as fast I/O on the host must be beside VMs with FPR to be named in the answer.
WORTH_NAMING = Bounds(at_least=1.1)
_SHORT_OF = {
    IntervalPosition.BEYOND: "which does not meet the rule",
    IntervalPosition.STRADDLING: "on both sides of the threshold",
}
SWITCH_OFF = (
    'For the exceptions, set the annotation kubevirt.io/free-page-reporting-disabled: "true" (in QEMU: free-page-reporting=off) '
    "and restart them."
)
WHERE_TO_SWITCH = (
    "On KubeVirt the annotation belongs in the VM's spec.template.metadata.annotations; in QEMU the property is the "
    "balloon device's. Either way a running VM stays as it is until it is stopped and started."
)


@dataclass(frozen=True)
class Verdict:
    """A decision, the sentence a manager reads, the rule with its thresholds, and why."""

    decision: Decision
    sentence: str
    rule: str
    thresholds: dict[str, float]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class VerdictInput:
    """The input of the verdict: the headline experiment, then the others.

    times_count: whether times, CPU and throughput are those of real hardware. smoke: whether the experiments were cut
    short, which shows that they run and no more.
    """

    headline: ExperimentOutcome
    others: tuple[ExperimentOutcome, ...]
    times_count: bool
    smoke: bool = False

    @property
    def outcomes(self) -> tuple[ExperimentOutcome, ...]:
        return (self.headline, *self.others)


@dataclass(frozen=True)
class Reason:
    """One sentence of why; about: what it tells of, by which two of them are known to be the same."""

    about: str
    text: str


@dataclass(frozen=True)
class _Conclusion:
    """A decision and why; the experiments whose VMs are excepted, and the one that shows what FPR gives."""

    decision: Decision
    reason: Reason = Reason("", "")
    excepted: tuple[CostReport, ...] = ()
    shown: ExperimentOutcome | None = None


_SMOKE_RUN = Reason("smoke", "It was a smoke run: leave out --scale to measure.")


def decide(found: VerdictInput, rule: VerdictRule) -> Verdict:
    """Decide by the rule: memory must come back with FPR and not without; costs count only on real hardware."""
    reports = tuple(check_limits(outcome, rule) for outcome in found.outcomes)
    conclusion = _conclude(found, reports, rule)
    reasons = list(_find_reasons(found, reports, conclusion, rule))
    told = {reason.about for reason in reasons}
    if conclusion.decision is Decision.INCONCLUSIVE and conclusion.reason.about not in told:
        reasons.append(conclusion.reason)
    return Verdict(
        conclusion.decision,
        _write_sentence(conclusion, found),
        describe_rule(rule, found.times_count),
        asdict(rule),
        tuple(reason.text for reason in reasons),
    )


def _conclude(found: VerdictInput, reports: tuple[CostReport, ...], rule: VerdictRule) -> _Conclusion:
    by_memory = _conclude_by_memory(found.headline, rule)
    if found.smoke and (by_memory is None or by_memory.decision is not Decision.INCONCLUSIVE):
        return _Conclusion(Decision.INCONCLUSIVE, _SMOKE_RUN)
    if by_memory is not None:
        return by_memory
    by_costs = _conclude_by_costs(reports, rule) if found.times_count else None
    return by_costs or _Conclusion(Decision.ENABLE, shown=found.headline)


def _conclude_by_memory(headline: ExperimentOutcome, rule: VerdictRule) -> _Conclusion | None:
    """Return the conclusion where memory alone settles it; None where costs have a say."""
    given, without = headline.given_back, headline.given_back_without
    undecided = Decision.INCONCLUSIVE
    if given is None:
        return _Conclusion(undecided, Reason("no-release", "No trial with FPR measured a release."))
    position = _locate_memory(given, rule)
    if position is IntervalPosition.BEYOND:
        text = f"VMs with FPR gave back only {format_percent(given)} of what they freed."
        return _Conclusion(Decision.NO_BENEFIT, Reason("too-little", text))
    if position is IntervalPosition.STRADDLING:
        text = f"The interval for memory given back, {format_interval(given)}, lies on both sides of the threshold."
        return _Conclusion(undecided, Reason("interval", text))
    if without is None:
        text = "No trial without FPR shows what would have happened otherwise."
        return _Conclusion(undecided, Reason("nothing-without", text))
    if without.value > rule.max_given_back_fraction_without:
        text = f"VMs without FPR gave back {format_percent(without)}, which FPR cannot explain."
        return _Conclusion(undecided, Reason("unexplained", text))
    return None


def _conclude_by_costs(reports: tuple[CostReport, ...], rule: VerdictRule) -> _Conclusion | None:
    """Return the conclusion where a cost settles it: the headline's straddles a limit, or some VMs pay too much."""
    headline = reports[0]
    if headline.position is IntervalPosition.STRADDLING:
        check = headline.at(IntervalPosition.STRADDLING)[0]
        about = f"{check.cost} of {headline.outcome.experiment}"
        return _Conclusion(Decision.INCONCLUSIVE, Reason(about, as_sentence(check.words)))
    paying = tuple(r for r in reports if r.position is IntervalPosition.BEYOND)
    gaining = [r.outcome for r in reports if r not in paying and _gains(r, rule)]
    if paying and gaining:
        return _Conclusion(Decision.ENABLE_EXCEPT, excepted=paying, shown=gaining[0])
    if paying:
        text = as_sentence("; ".join(r.too_high for r in paying))
        return _Conclusion(Decision.NO_BENEFIT, Reason("costs", text))
    return None


def _gains(report: CostReport, rule: VerdictRule) -> bool:
    """Return whether an experiment measured a cost, and its VMs gave back what the rule asks for."""
    given = report.outcome.given_back
    if report.position is None or given is None:
        return False
    return _locate_memory(given, rule) is IntervalPosition.WITHIN


def _locate_memory(given: Estimate, rule: VerdictRule) -> IntervalPosition:
    return Bounds(at_least=rule.min_given_back_fraction).locate(given)


def _find_reasons(
    found: VerdictInput, reports: tuple[CostReport, ...], conclusion: _Conclusion, rule: VerdictRule
) -> Iterator[Reason]:
    """Yield how the run meets the rule: memory, costs, gains, and how to act on it."""
    yield from _memory_reasons(found, rule)
    for report in reports:
        where = f"In {report.outcome.experiment}, " if found.others else ""
        for check in report.checks:
            words = check.words if found.times_count else check.text
            yield Reason(f"{check.cost} of {report.outcome.experiment}", as_sentence(where + words))
    if not any(report.checks for report in reports):
        yield Reason("costs", "The price of FPR was not measured.")
    elif not found.times_count:
        yield Reason("emulation", "Times, CPU and throughput under emulation do not decide.")
    for ratio in (o.host_io for o in found.outcomes if o.host_io is not None):
        text = (
            f"I/O on the host ran {ratio.value:.2g} times as fast beside VMs with FPR as beside VMs without."
        )
        yield Reason("host-io", text)
    if conclusion.excepted:
        yield Reason("switching", WHERE_TO_SWITCH)


def _memory_reasons(found: VerdictInput, rule: VerdictRule) -> Iterator[Reason]:
    given, without = found.headline.given_back, found.headline.given_back_without
    if given is not None:
        only = "only " if _locate_memory(given, rule) is IntervalPosition.BEYOND else ""
        text = f"VMs with FPR gave back {only}{format_percent(given)} of what they freed."
        yield Reason("given back", text)
    if without is not None:
        yield Reason("given back without FPR", f"VMs without FPR gave back {format_percent(without)}.")
    for other in found.others:
        position = None if other.given_back is None else _locate_memory(other.given_back, rule)
        if other.given_back is not None and position in _SHORT_OF:
            text = f"In {other.experiment} they gave back {format_interval(other.given_back)}, {_SHORT_OF[position]}."
            yield Reason(f"given back in {other.experiment}", text)


def _write_sentence(conclusion: _Conclusion, found: VerdictInput) -> str:
    if conclusion.decision is Decision.INCONCLUSIVE:
        return f"This run does not decide. {conclusion.reason.text}"
    if conclusion.decision is Decision.NO_BENEFIT or conclusion.shown is None:
        return f"Leave it off: {lower_first(conclusion.reason.text)}"
    parts = (
        _open_sentence(conclusion),
        *describe_gains(conclusion.shown, times_count=found.times_count),
        _describe_host_io(found),
        "That is one trial: repeat it before you rely on it." if _rests_on_one_trial(conclusion) else "",
        SWITCH_OFF if conclusion.excepted else "",
    )
    return " ".join(filter(None, parts))


def _open_sentence(conclusion: _Conclusion) -> str:
    if not conclusion.excepted:
        return "Turn it on:"
    outcomes = ((r.outcome, r.too_high) for r in conclusion.excepted)
    vms = " and ".join(f"{outcome.experiment} ({outcome.vms}: {costs})" for outcome, costs in outcomes)
    return f"Turn it on, except for the VMs of {vms}. Elsewhere"


def _describe_host_io(found: VerdictInput) -> str:
    """Return the gain of I/O on the host, where the whole interval shows one."""
    ratios = [o.host_io for o in found.outcomes if o.host_io is not None]
    gains = [r for r in ratios if WORTH_NAMING.locate(r) is IntervalPosition.WITHIN]
    return f"I/O on the host ran {gains[0].value:.2g} times as fast beside them." if gains else ""


def _rests_on_one_trial(conclusion: _Conclusion) -> bool:
    given = conclusion.shown.given_back if conclusion.shown else None
    counts = [check.n for r in conclusion.excepted for check in r.at(IntervalPosition.BEYOND)]
    return 1 in counts or (given is not None and given.n == 1)

"""The conclusion of a run: every check of the verdict's rule, and the decision that follows from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.analysis.bounds import IntervalPosition
from freepage.analysis.limits import CostReport, ExperimentOutcome, check_limits
from freepage.analysis.memory_checks import (
    MemoryCheck,
    check_given_back,
    check_peak,
    check_possible,
    check_saved,
    check_without,
    correct_together,
)
from freepage.analysis.sentences import as_sentence, place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.analysis.past_strain import PastStrain
    from freepage.analysis.paying import PayingMap
    from freepage.analysis.strain import Strain
    from freepage.records import Arm, VerdictRule


class Decision(StrEnum):
    """The decision on FPR for this host or cluster.

    MEMORY_ONLY: memory comes back, and the price is open. EQUAL_ARMS: an A/A test, which decides nothing about FPR.
    """

    ENABLE = "enable"
    ENABLE_EXCEPT = "enable-except"
    MEMORY_ONLY = "memory-only"
    NO_BENEFIT = "no-benefit"
    INCONCLUSIVE = "inconclusive"
    EQUAL_ARMS = "equal-arms"


@dataclass(frozen=True)
class VerdictInput:
    """The input of the verdict: the headline experiment, then the others.

    times_count: whether times, CPU and throughput are those of real hardware. smoke: whether the experiments were cut
    short, which shows that they run and no more. strains: whether the node was short of memory, by arm. past: and before the
    run; None where nobody was asked. paying: what a map shows.
    """

    headline: ExperimentOutcome
    others: tuple[ExperimentOutcome, ...]
    times_count: bool
    smoke: bool = False
    strains: Mapping[Arm, Strain] = field(default_factory=dict)
    past: PastStrain | None = None
    paying: PayingMap | None = None

    @property
    def outcomes(self) -> tuple[ExperimentOutcome, ...]:
        return (self.headline, *self.others)


@dataclass(frozen=True)
class Reason:
    """One sentence of why; about: what it tells of, by which two of them are known to be the same."""

    about: str
    text: str


@dataclass(frozen=True)
class Exempt:
    """An experiment whose VMs should not have FPR, and why."""

    outcome: ExperimentOutcome
    words: str


@dataclass(frozen=True)
class FewTrials:
    """Trials that all meet the rule, and more of which would decide: how many were seen, and decide; of which other experiment.

    where: "" where those of the headline are too few.
    """

    seen: int
    least: int
    where: str = ""


@dataclass(frozen=True)
class Conclusion:
    """A decision and why; the experiments whose VMs are excepted, and the one that shows what FPR gives.

    few: what was seen, where only more trials are missing to decide.
    """

    decision: Decision
    reason: Reason = Reason("", "")
    excepted: tuple[Exempt, ...] = ()
    shown: ExperimentOutcome | None = None
    few: FewTrials | None = None


@dataclass(frozen=True)
class Checks:
    """Everything checked against the rule.

    gains: what FPR brings in the headline; without: what came back there without FPR. others: what those of other experiments
    gave back. costs: of all.
    """

    gains: tuple[MemoryCheck, ...]
    without: MemoryCheck
    others: dict[str, MemoryCheck]
    costs: tuple[CostReport, ...]

    @property
    def headline(self) -> tuple[MemoryCheck, ...]:
        return (*self.gains, self.without)


_SMOKE_RUN = Reason("smoke", "It was a smoke run, which measures nothing: leave out --smoke.")


def check_all(found: VerdictInput, rule: VerdictRule) -> Checks:
    """Check everything against the rule."""
    first = found.headline
    gains = (
        check_given_back(first, rule),
        check_saved(first, rule),
        check_possible(first, rule),
        check_peak(first, rule),
    )
    kept = {o.experiment: check_given_back(o, rule) for o in found.others if o.about_releases}
    return Checks(
        tuple(check for check in gains if check is not None),
        check_without(first, rule),
        correct_together(kept),
        check_limits(found.outcomes, rule),
    )


def conclude(found: VerdictInput, checks: Checks) -> Conclusion:
    """Return the decision: memory first, then its price; costs count only on real hardware."""
    by_memory = _conclude_by_memory(found, checks)
    measured = by_memory is None or by_memory.decision is not Decision.INCONCLUSIVE or by_memory.few
    if found.smoke and measured:
        return Conclusion(Decision.INCONCLUSIVE, _SMOKE_RUN)
    return by_memory or _conclude_by_costs(found, checks)


def _conclude_by_memory(found: VerdictInput, checks: Checks) -> Conclusion | None:
    """Return the conclusion where memory alone settles it; None where costs have a say.

    Nothing is settled where VMs without FPR gave memory back as well, or nobody knows: then it is not FPR that was seen.
    """
    beyond = next((c for c in checks.gains if c.position is IntervalPosition.BEYOND), None)
    if beyond is not None and checks.without.position is IntervalPosition.WITHIN:
        return Conclusion(Decision.NO_BENEFIT, Reason(beyond.about, beyond.text))
    every = [("", check) for check in checks.headline] + list(checks.others.items())
    is_open = [(where, c) for where, c in every if c.position is IntervalPosition.STRADDLING]
    if not is_open:
        return None
    where, check = is_open[0]
    reason = Reason(check.about, place(where, check.text))
    return Conclusion(Decision.INCONCLUSIVE, reason, shown=found.headline, few=_find_few(is_open))


def _find_few(is_open: list[tuple[str, MemoryCheck]]) -> FewTrials | None:
    """Return how few trials of the headline were seen, else of the first other; None where more alone would not decide."""
    few = [(where, check.few) for where, check in is_open if check.few is not None]
    if len(few) < len(is_open):
        return None
    first = few[0][0]
    seen = min(estimate.n for where, estimate in few if where == first)
    return FewTrials(seen, max(estimate.least_to_decide for _, estimate in few), first)


def _conclude_by_costs(found: VerdictInput, checks: Checks) -> Conclusion:
    """Return the conclusion where memory comes back in the headline: by its price, and by the memory of the others."""
    keeping = tuple(
        Exempt(o, checks.others[o.experiment].short)
        for o in found.others
        if o.about_releases and checks.others[o.experiment].position is IntervalPosition.BEYOND
    )
    paying = tuple(
        Exempt(r.outcome, r.too_high)
        for r in checks.costs
        if found.times_count and r.position is IntervalPosition.BEYOND
    )
    excepted = {e.outcome.experiment for e in (*keeping, *paying)}
    left = [
        r
        for r in checks.costs
        if (r.outcome.about_releases or r.outcome is found.headline) and r.outcome.experiment not in excepted
    ]
    if paying and not left:
        text = as_sentence("; ".join(e.words for e in paying))
        return Conclusion(Decision.NO_BENEFIT, Reason("costs", text))
    unknown = _find_unknown_price(
        found, [r for r in checks.costs if r.outcome.experiment not in excepted], left
    )
    if unknown is not None:
        return Conclusion(Decision.MEMORY_ONLY, unknown, (*keeping, *paying), found.headline)
    decision = Decision.ENABLE_EXCEPT if keeping or paying else Decision.ENABLE
    return Conclusion(decision, excepted=(*keeping, *paying), shown=left[0].outcome)


def _find_unknown_price(
    found: VerdictInput, costs: list[CostReport], left: list[CostReport]
) -> Reason | None:
    """Return why the price is not known: emulation, a cost that is open, or none measured where memory comes back.

    costs: of all experiments whose VMs are not excepted anyway; left: of those among them that gain.
    """
    if not found.times_count:
        return Reason("emulation", "Times, CPU and throughput under emulation do not decide.")
    for report in costs:
        for check in report.at(IntervalPosition.STRADDLING):
            about = f"{check.cost} of {report.outcome.experiment}"
            return Reason(about, place(report.outcome.experiment if found.others else "", check.words))
    if left[0].position is None:
        return Reason("costs", "The price of FPR was not measured.")
    return None

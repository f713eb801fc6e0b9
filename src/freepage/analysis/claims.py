"""The article's claims, each decided from this run's own estimates."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.analysis.bounds import IntervalPosition
from freepage.analysis.claim import explain_pace, load_claims
from freepage.analysis.definition import Area
from freepage.analysis.reach import explain_too_small
from freepage.analysis.significance import correct_by_holm
from freepage.analysis.stats import Method
from freepage.analysis.undecided import explain_undecided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.analysis.claim import Claim
    from freepage.analysis.experiments import ExperimentResults, Experiments
    from freepage.analysis.stats import Estimate
    from freepage.fpr.pace import Pace


class ClaimDecision(StrEnum):
    """The decision on a claim, in the order in which one outweighs the others where several experiments must agree."""

    CONTRADICTED = "contradicted"
    NOT_DECIDABLE = "not-decidable"
    CONFIRMED = "confirmed"


_DECISIONS = {
    IntervalPosition.WITHIN: (ClaimDecision.CONFIRMED, "meets the rule"),
    IntervalPosition.BEYOND: (ClaimDecision.CONTRADICTED, "misses the rule"),
}
# Fewer trials show what was seen, and neither confirm nor contradict what somebody else found.
LEAST_FOR_CLAIM = 5


@dataclass(frozen=True)
class ClaimConditions:
    """Conditions under which numbers decide: how guests were executed, how far apart samples are, whether it is a smoke run.

    moved: experiments during which other work moved the node's memory; voided: those whose controls failed, by what is said of
    them; roomy: those in which fio's file fits beside VMs without FPR, likewise. paces, scales: by experiment.
    """

    accelerator: str
    interval_s: float
    smoke: bool = False
    moved: frozenset[str] = frozenset()
    voided: Mapping[str, str] = field(default_factory=dict)
    roomy: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1.0
    paces: Mapping[str, Pace] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)

    def scale_of(self, experiment: str) -> float:
        """Return the scale of an experiment: its own, where experiments have them."""
        return self.scales.get(experiment, self.scale)


@dataclass(frozen=True)
class ClaimNumber:
    """An estimate that a claim rests on, or that is shown beside it; name: its path."""

    name: str
    label: str
    estimate: Estimate

    def as_json(self) -> dict[str, object]:
        return {"name": self.name, "label": self.label} | asdict(self.estimate)


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its decision and the numbers behind it; experiment: None where no experiment can decide it."""

    id: str
    text: str
    article: str
    decision: ClaimDecision
    reason: str
    rule: str
    experiment: str | None
    number: str
    numbers: tuple[ClaimNumber, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"numbers": [number.as_json() for number in self.numbers]}


@dataclass(frozen=True)
class _Outcome:
    """The decision of one experiment on a claim; error: its probability, were the truth at the bound, None where there is none."""

    decision: ClaimDecision
    reason: str
    experiment: str | None = None
    error: float | None = None


def decide_claims(experiments: Experiments, conditions: ClaimConditions) -> tuple[ClaimResult, ...]:
    """Decide every claim from the experiments of a run; what is decided is corrected for how many are decided at once."""
    claims = load_claims()
    outcomes = [_find_outcome(claim, experiments, conditions) for claim in claims]
    stands = correct_by_holm([o.error for o in outcomes], [(1 - claim.confidence) / 2 for claim in claims])
    return tuple(
        _build_result(claim, outcome if stand else _leave_open(outcome), experiments)
        for claim, outcome, stand in zip(claims, outcomes, stands, strict=True)
    )


def _leave_open(outcome: _Outcome) -> _Outcome:
    """Return an outcome that does not stand among so many claims."""
    if outcome.decision is ClaimDecision.NOT_DECIDABLE:
        return outcome
    reason = "Alone its interval would decide; among so many claims one such would come by chance (Holm)."
    return replace(outcome, decision=ClaimDecision.NOT_DECIDABLE, reason=reason)


def _build_result(claim: Claim, outcome: _Outcome, experiments: Experiments) -> ClaimResult:
    found: list[ClaimNumber] = []
    if outcome.experiment is not None:
        found = _find_numbers(claim, experiments[outcome.experiment])
    return ClaimResult(
        claim.id,
        claim.text,
        claim.article,
        outcome.decision,
        outcome.reason,
        claim.rule,
        outcome.experiment,
        str(claim.number),
        tuple(found),
    )


def _find_outcome(claim: Claim, experiments: Experiments, conditions: ClaimConditions) -> _Outcome:
    """Return what the experiment says that decides; of several that must agree, the worst."""
    able = {name: e for name, e in experiments.items() if claim.id in e.traits.claims}
    if not able:
        kinds = " or ".join(f"'{kind}'" for kind in claim.kinds)
        return _Outcome(ClaimDecision.NOT_DECIDABLE, f"This run has no experiment of kind {kinds}.")
    measured = [name for name, e in able.items() if claim.number.find(e) is not None]
    chosen = (list(able) if claim.every else measured[:1]) or list(able)[:1]
    outcomes = [_decide_by(claim, name, able[name], conditions) for name in chosen]
    return min(outcomes, key=lambda outcome: list(ClaimDecision).index(outcome.decision))


def _decide_by(
    claim: Claim, name: str, experiment: ExperimentResults, conditions: ClaimConditions
) -> _Outcome:
    estimate = claim.number.find(experiment)
    if estimate is None:
        return _Outcome(ClaimDecision.NOT_DECIDABLE, "This run did not measure it.", name)
    obstacle = _find_obstacle(claim, name, experiment, conditions)
    if obstacle:
        return _Outcome(ClaimDecision.NOT_DECIDABLE, obstacle, name)
    position, error = claim.bounds.locate(estimate), claim.bounds.find_error(estimate)
    if claim.same and claim.bounds.locate(estimate, claim.confidence) is IntervalPosition.WITHIN:
        position = IntervalPosition.WITHIN
    if position is IntervalPosition.STRADDLING:
        reason = explain_undecided(estimate, claim.bounds, LEAST_FOR_CLAIM)
        return _Outcome(ClaimDecision.NOT_DECIDABLE, reason, name, error)
    decision, words = _DECISIONS[position]
    if estimate.n < LEAST_FOR_CLAIM:
        reason = (
            f"Seen in {estimate.n} trials, whose interval {words}; a claim is decided from {LEAST_FOR_CLAIM} on "
            f"(--repeats {LEAST_FOR_CLAIM})."
        )
        return _Outcome(ClaimDecision.NOT_DECIDABLE, reason, name, error)
    narrowed = claim.same and position is IntervalPosition.WITHIN
    return _Outcome(decision, f"{_name_interval(estimate, narrowed=narrowed)} {words}.", name, error)


def _name_interval(estimate: Estimate, *, narrowed: bool) -> str:
    if estimate.method in {Method.RANGE, Method.CENSORED}:
        return f"Each of {estimate.n} trials"
    if estimate.method == Method.CLOPPER_PEARSON:
        return "The exact interval"
    return "The 90\u00a0% interval" if narrowed else "The interval"


def _find_obstacle(
    claim: Claim, name: str, experiment: ExperimentResults, conditions: ClaimConditions
) -> str:
    """Return why a number that was measured does not decide; "" where it does."""
    area = claim.number.number.area
    provided = claim.provided.find(experiment) if claim.provided else None
    obstacles = (
        "This was a smoke run: its blocks, files and times are too small." if conditions.smoke else "",
        conditions.voided.get(name, "") if area is Area.MEMORY else "",
        "Times, CPU and throughput under emulation are not those of hardware."
        if area is Area.TIME and conditions.accelerator != "kvm"
        else "",
        "Other work on the host moved the node's memory meanwhile."
        if area is Area.NODE and name in conditions.moved
        else "",
        f"Samples {conditions.interval_s:g} s apart are too coarse; {claim.finest_s:g} s would do."
        if claim.finest_s is not None and conditions.interval_s > claim.finest_s
        else "",
        conditions.roomy.get(name, "") if claim.crowded else "",
        claim.otherwise if claim.provided and (provided is None or provided.value <= 0) else "",
    )
    return next(filter(None, obstacles), "") or _explain_reach(claim, name, experiment, conditions)


def _explain_reach(
    claim: Claim, name: str, experiment: ExperimentResults, conditions: ClaimConditions
) -> str:
    """Return why a claim could not have failed at this scale; "" where it could."""
    if claim.control is not None:
        unit = claim.number.number.unit
        return explain_too_small(
            claim.control.find(experiment), claim.bounds, conditions.scale_of(name), unit
        )
    pace = conditions.paces.get(name)
    return "" if pace is None else explain_pace(claim, pace, conditions.scale_of(name))


def _find_numbers(claim: Claim, experiment: ExperimentResults) -> list[ClaimNumber]:
    """Return what was measured of the deciding number, then of those beside it."""
    wanted = {claim.measure: claim.number} | claim.beside
    found = ((label, path, path.find(experiment)) for label, path in wanted.items())
    return [ClaimNumber(str(path), label, e) for label, path, e in found if e is not None]

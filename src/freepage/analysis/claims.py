"""The article's claims, each decided from this run's own estimates. claims.toml is the list."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import resources
from typing import TYPE_CHECKING, Any

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.definition import Area
from freepage.analysis.paths import EstimatePath, parse_path
from freepage.kinds import KINDS

if TYPE_CHECKING:
    from freepage.analysis.experiments import ExperimentResults, Experiments
    from freepage.analysis.stats import Estimate


class ClaimDecision(StrEnum):
    """The decision on a claim, in the order in which one outweighs the others where several experiments must agree."""

    CONTRADICTED = "contradicted"
    NOT_DECIDABLE = "not-decidable"
    CONFIRMED = "confirmed"


_DECISIONS = {
    IntervalPosition.WITHIN: (ClaimDecision.CONFIRMED, "meets the rule"),
    IntervalPosition.BEYOND: (ClaimDecision.CONTRADICTED, "misses the rule"),
}


@dataclass(frozen=True)
class Claim:
    """One finding of the article and the rule that decides it; claims.toml explains the fields."""

    id: str
    text: str
    article: str
    number: EstimatePath
    measure: str
    bounds: Bounds
    beside: dict[str, EstimatePath]
    every: bool = False
    finest_s: float | None = None
    provided: EstimatePath | None = None
    otherwise: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of experiment it can be decided from."""
        return tuple(kind.name for kind in KINDS.values() if self.id in kind.claims)

    @property
    def rule(self) -> str:
        """The rule in words."""
        return f"{self.measure}: {self.bounds.describe(self.number.number.unit)}"


@dataclass(frozen=True)
class ClaimConditions:
    """Conditions under which numbers decide: how guests were executed, how far apart samples are, whether it is a smoke run.

    moved: experiments during which other work moved the node's memory.
    """

    accelerator: str
    interval_s: float
    smoke: bool = False
    moved: frozenset[str] = frozenset()


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
    """The decision of one experiment on a claim."""

    decision: ClaimDecision
    reason: str
    experiment: str | None = None


def load_claims() -> tuple[Claim, ...]:
    """Read the article's claims, in the article's order."""
    text = (resources.files("freepage.analysis") / "claims.toml").read_text(encoding="utf-8")
    return tuple(_parse(table) for table in tomllib.loads(text)["claim"])


def decide_claims(experiments: Experiments, conditions: ClaimConditions) -> tuple[ClaimResult, ...]:
    """Decide every claim from the experiments of a run."""
    return tuple(_decide(claim, experiments, conditions) for claim in load_claims())


def _parse(table: dict[str, Any]) -> Claim:
    bounds = Bounds(**{key: table.pop(key, None) for key in ("at_least", "at_most", "above")})
    beside = {label: parse_path(path) for label, path in table.pop("beside", {}).items()}
    number = parse_path(table.pop("number"))
    provided = parse_path(table.pop("provided")) if "provided" in table else None
    return Claim(number=number, provided=provided, beside=beside, bounds=bounds, **table)


def _decide(claim: Claim, experiments: Experiments, conditions: ClaimConditions) -> ClaimResult:
    outcome = _find_outcome(claim, experiments, conditions)
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
    position = claim.bounds.locate(estimate)
    if position is IntervalPosition.STRADDLING:
        reason = "The interval lies on both sides of the rule's bound."
        return _Outcome(ClaimDecision.NOT_DECIDABLE, reason, name)
    decision, words = _DECISIONS[position]
    one = estimate.low is None
    return _Outcome(decision, f"One trial {words}; no interval." if one else f"The interval {words}.", name)


def _find_obstacle(
    claim: Claim, name: str, experiment: ExperimentResults, conditions: ClaimConditions
) -> str:
    """Return why a number that was measured does not decide; "" where it does."""
    area = claim.number.number.area
    if conditions.smoke:
        return "This was a smoke run: its blocks, files and times are too small."
    if area is Area.TIME and conditions.accelerator != "kvm":
        return "Times, CPU and throughput under emulation are not those of hardware."
    if area is Area.NODE and name in conditions.moved:
        return "Other work on the host moved the node's memory meanwhile."
    if claim.finest_s is not None and conditions.interval_s > claim.finest_s:
        return f"Samples {conditions.interval_s:g} s apart are too coarse; {claim.finest_s:g} s would do."
    provided = claim.provided.find(experiment) if claim.provided else None
    if claim.provided and (provided is None or provided.value <= 0):
        return claim.otherwise
    return ""


def _find_numbers(claim: Claim, experiment: ExperimentResults) -> list[ClaimNumber]:
    """Return what was measured of the deciding number, then of those beside it."""
    wanted = {claim.measure: claim.number} | claim.beside
    found = ((label, path, path.find(experiment)) for label, path in wanted.items())
    return [ClaimNumber(str(path), label, e) for label, path, e in found if e is not None]

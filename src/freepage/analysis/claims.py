"""What the article found, each claim decided from this run's own estimates. claims.toml is the list."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from freepage.analysis.bounds import Bounds, Side
from freepage.analysis.stats import Estimate
from freepage.kinds import KINDS, find_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIRMED = "confirmed"
CONTRADICTED = "contradicted"
NOT_DECIDABLE = "not-decidable"

_SEVERITY = (CONTRADICTED, NOT_DECIDABLE, CONFIRMED)
_WORDS = {
    Side.WITHIN: (CONFIRMED, "meets the rule"),
    Side.BEYOND: (CONTRADICTED, "misses the rule"),
}


@dataclass(frozen=True)
class Claim:
    """One finding of the article and the rule that decides it; claims.toml explains the fields.

    number, provided and the values of beside are paths below one experiment of results.json.
    """

    id: str
    text: str
    article: str
    number: str
    measure: str
    unit: str
    bounds: Bounds
    needs: str
    beside: dict[str, str]
    every: bool = False
    finest_s: float | None = None
    provided: str | None = None
    otherwise: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of experiment it can be decided from."""
        return tuple(kind.name for kind in KINDS.values() if self.id in kind.claims)

    @property
    def rule(self) -> str:
        """The rule in words."""
        return f"{self.measure}: {self.bounds.describe(self.unit)}"


@dataclass(frozen=True)
class Conditions:
    """What the run's numbers can decide: how guests were executed, how far apart samples are, whether it is a smoke run.

    moved: experiments during which other work moved the node's memory.
    """

    accelerator: str
    interval_s: float
    smoke: bool = False
    moved: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Finding:
    """What one experiment says of a claim."""

    experiment: str
    decision: str
    reason: str


def load_claims() -> tuple[Claim, ...]:
    """Read the article's claims, in the article's order."""
    text = (resources.files("freepage.analysis") / "claims.toml").read_text(encoding="utf-8")
    return tuple(_parse(table) for table in tomllib.loads(text)["claim"])


def decide_claims(experiments: Mapping[str, Any], conditions: Conditions) -> list[dict[str, Any]]:
    """Decide every claim from results.json's `experiments`, and give what `claims` there holds."""
    return [_as_json(claim, _decide(claim, experiments, conditions), experiments) for claim in load_claims()]


def _parse(table: dict[str, Any]) -> Claim:
    bounds = Bounds(**{key: table.pop(key, None) for key in ("at_least", "at_most", "above")})
    beside = table.pop("beside", {})
    return Claim(beside=beside, bounds=bounds, **table)


def _decide(claim: Claim, experiments: Mapping[str, Any], conditions: Conditions) -> Finding:
    of_kind = {name: e for name, e in experiments.items() if claim.id in find_kind(e["kind"]).claims}
    if not of_kind:
        kinds = " or ".join(f"'{kind}'" for kind in claim.kinds)
        return Finding("", NOT_DECIDABLE, f"This run has no experiment of kind {kinds}.")
    measured = [name for name, e in of_kind.items() if find_estimate(e, claim.number) is not None]
    chosen = (list(of_kind) if claim.every else measured[:1]) or list(of_kind)[:1]
    findings = [_find(claim, name, of_kind[name], conditions) for name in chosen]
    return min(findings, key=lambda f: _SEVERITY.index(f.decision))


def _find(claim: Claim, name: str, experiment: Mapping[str, Any], conditions: Conditions) -> Finding:
    estimate = find_estimate(experiment, claim.number)
    if estimate is None:
        return Finding(name, NOT_DECIDABLE, "This run did not measure it.")
    doubt = _why_undecidable(claim, name, experiment, conditions)
    if doubt:
        return Finding(name, NOT_DECIDABLE, doubt)
    side = claim.bounds.judge(estimate)
    if side is Side.BOTH:
        return Finding(name, NOT_DECIDABLE, "The interval lies on both sides of the rule's bound.")
    decision, words = _WORDS[side]
    one = estimate.low is None
    return Finding(name, decision, f"One trial {words}; no interval." if one else f"The interval {words}.")


def _why_undecidable(claim: Claim, name: str, experiment: Mapping[str, Any], conditions: Conditions) -> str:
    """Say why a number that was measured does not decide; "" where it does."""
    if conditions.smoke:
        return "At this scale an experiment is only tried: blocks, files and times are too small."
    if claim.needs == "time" and conditions.accelerator != "kvm":
        return "Times, CPU and throughput under emulation are not those of hardware."
    if claim.needs == "node" and name in conditions.moved:
        return "Other work on the host moved the node's memory meanwhile."
    if claim.finest_s is not None and conditions.interval_s > claim.finest_s:
        return f"Samples {conditions.interval_s:g} s apart are too coarse; {claim.finest_s:g} s would do."
    provided = find_estimate(experiment, claim.provided) if claim.provided else None
    if claim.provided and (provided is None or provided.value <= 0):
        return claim.otherwise
    return ""


def _as_json(claim: Claim, finding: Finding, experiments: Mapping[str, Any]) -> dict[str, Any]:
    experiment = experiments.get(finding.experiment, {})
    wanted = {claim.measure: claim.number} | claim.beside
    found = {label: (path, find_estimate(experiment, path)) for label, path in wanted.items()}
    return {
        "id": claim.id,
        "text": claim.text,
        "article": claim.article,
        "decision": finding.decision,
        "reason": finding.reason,
        "rule": claim.rule,
        "experiment": finding.experiment or None,
        "number": claim.number,
        "numbers": [
            {"name": path, "label": label} | estimate.as_json()
            for label, (path, estimate) in found.items()
            if estimate is not None
        ],
    }


def find_estimate(experiment: Mapping[str, Any], path: str) -> Estimate | None:
    """Follow a path such as "arms.vm-fpr.release_t90_s" below an experiment; None where nothing was measured."""
    found: Any = experiment
    for key in path.split("."):
        found = (found or {}).get(key)
    return Estimate(**found) if found else None

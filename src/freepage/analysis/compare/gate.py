"""A gate: a run held against rules, by itself and against a baseline. A whole interval decides, or it cannot be told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.analysis.bounds import IntervalPosition
from freepage.analysis.compare.change import Side, measure_change
from freepage.analysis.compare.conditions import check_alike, find_unlike
from freepage.analysis.compare.margins import margin_of
from freepage.analysis.compare.measured import MeasuredRun
from freepage.analysis.compare.notes import find_notes
from freepage.analysis.compare.rules import RulesError, guess
from freepage.analysis.compare.runs import build_sides
from freepage.analysis.compare.words import explain_open

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from freepage.analysis.bounds import Bounds
    from freepage.analysis.compare.rules import Rule
    from freepage.analysis.stats import Estimate
    from freepage.store import Run

GATE_SCHEMA = 1


class GateOutcome(StrEnum):
    """The outcome of one rule, and of a gate: its worst one."""

    PASSED = "passed"
    CANNOT_TELL = "cannot-tell"
    FAILED = "failed"


EXIT_STATUS = {GateOutcome.PASSED: 0, GateOutcome.FAILED: 1, GateOutcome.CANNOT_TELL: 2}
_OUTCOMES = {
    IntervalPosition.WITHIN: GateOutcome.PASSED,
    IntervalPosition.BEYOND: GateOutcome.FAILED,
    IntervalPosition.STRADDLING: GateOutcome.CANNOT_TELL,
}
_ORDER = tuple(GateOutcome)


@dataclass(frozen=True)
class Check:
    """One bound of a rule against one estimate: against the baseline or of the run itself."""

    outcome: GateOutcome
    estimate: Estimate | None
    of_baseline: bool
    reason: str = ""


@dataclass(frozen=True)
class RuleResult:
    """One rule with its checks."""

    rule: Rule
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> GateOutcome:
        return max((check.outcome for check in self.checks), key=_ORDER.index)


@dataclass(frozen=True)
class GateResult:
    """Every rule with its outcome; unlike, notes: as of a comparison."""

    rules: tuple[RuleResult, ...]
    unlike: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> GateOutcome:
        """The worst outcome: one rule that failed fails the gate."""
        return max((rule.outcome for rule in self.rules), key=_ORDER.index)

    @property
    def exit_status(self) -> int:
        return EXIT_STATUS[self.outcome]

    def as_json(self) -> dict[str, object]:
        """Return the content of its JSON: no NaN, null where nothing is known."""
        return {
            "schema": GATE_SCHEMA,
            "outcome": self.outcome,
            "rules": [_as_json(result) for result in self.rules],
            "unlike": list(self.unlike),
            "notes": list(self.notes),
        }


def check_names(rules: Sequence[Rule], source: str, run: MeasuredRun) -> None:
    """Raise RulesError for a rule about an experiment, or an arm, that the run does not have."""
    for rule in rules:
        where = f"{source}, line {rule.line}"
        if rule.experiment not in run.experiments:
            raise RulesError(
                f"{where}: {run.run.folder.name} has no experiment {rule.experiment!r}",
                hint=guess(rule.experiment, run.experiments),
            )
        arms = run.run.arms_of(rule.experiment)
        if rule.path.arm is not None and rule.path.arm not in arms:
            raise RulesError(
                f"{where}: {rule.experiment} of {run.run.folder.name} did not run on {rule.path.arm}",
                hint=f"its arms: {', '.join(arms)}",
            )


def judge(
    rules: Sequence[Rule], source: str, run: Run, baseline: Run | None, *, across: Collection[str] = ()
) -> GateResult:
    """Hold a run against every rule; `source` is what errors call the rules.

    Raises RulesError for rules that do not fit the run, UnlikeRunsError for a baseline measured under other conditions.
    """
    if baseline is None:
        new = Side("RUN", (MeasuredRun(run),))
        check_names(rules, source, new.runs[0])
        needing = [rule for rule in rules if rule.needs_baseline]
        if needing:
            raise RulesError(
                f"{source}, line {needing[0].line}: the rule compares with a baseline, and none was given",
                hint="--baseline RUN",
            )
        return GateResult(_hold(rules, new, None))
    base, new = build_sides([baseline], [run])
    check_names(rules, source, new.runs[0])
    unlike = find_unlike([baseline], [run])
    check_alike(unlike, across)
    return GateResult(_hold(rules, new, base), tuple(map(str, unlike)), tuple(find_notes(base, new)))


def _hold(rules: Sequence[Rule], new: Side, base: Side | None) -> tuple[RuleResult, ...]:
    return tuple(RuleResult(rule, tuple(_check(rule, new, base))) for rule in rules)


def _check(rule: Rule, new: Side, base: Side | None) -> list[Check]:
    checks = []
    against = rule.ratio or rule.change
    if against is not None and base is not None:
        checks.append(_check_change(rule, against, base, new))
    if rule.absolute is not None:
        checks.append(_check_run(rule, rule.absolute, new))
    return checks


def _check_change(rule: Rule, bounds: Bounds, base: Side, new: Side) -> Check:
    """Return where the change from the baseline lies; the rule's bound stands for the margin."""
    if not all(rule.experiment in run.experiments for run in base.runs):
        return Check(
            GateOutcome.CANNOT_TELL, None, of_baseline=True, reason="the baseline has no such experiment"
        )
    margin = abs((bounds.at_most or bounds.at_least or 0.0) - (1.0 if rule.ratio else 0.0)) or margin_of(
        rule.path
    )
    change = measure_change(base, new, rule.experiment, rule.path, margin)
    return _locate(bounds, change.change, of_baseline=True, obstacle=change.reason, why=explain_open(change))


def _check_run(rule: Rule, bounds: Bounds, new: Side) -> Check:
    """Return where a number of the run itself lies."""
    estimate = rule.path.find(new.runs[0].results[rule.experiment])
    obstacle = ""
    if estimate is None:
        obstacle = "not measured"
    elif estimate.n < estimate.least_to_decide:
        obstacle = f"{estimate.n} of the {estimate.least_to_decide} trials that decide"
    elif new.smoke:
        obstacle = "a smoke run decides nothing"
    return _locate(bounds, estimate, of_baseline=False, obstacle=obstacle)


def _locate(
    bounds: Bounds, estimate: Estimate | None, *, of_baseline: bool, obstacle: str, why: str = ""
) -> Check:
    if obstacle or estimate is None or estimate.low is None:
        return Check(GateOutcome.CANNOT_TELL, estimate, of_baseline, why or obstacle or "it has no interval")
    outcome = _OUTCOMES[bounds.locate(estimate)]
    straddles = outcome is GateOutcome.CANNOT_TELL
    words = (
        "; ".join(filter(None, ("the interval lies on both sides of the bound", why))) if straddles else ""
    )
    return Check(outcome, estimate, of_baseline, words)


def _as_json(result: RuleResult) -> dict[str, object]:
    return {
        "name": result.rule.name,
        "rule": result.rule.describe(),
        "experiment": result.rule.experiment,
        "number": str(result.rule.path),
        "outcome": result.outcome,
        "checks": [
            {
                "outcome": check.outcome,
                "of": "baseline" if check.of_baseline else "run",
                "estimate": None if check.estimate is None else asdict(check.estimate),
                "reason": check.reason or None,
            }
            for check in result.checks
        ],
    }

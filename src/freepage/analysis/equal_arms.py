"""The answer of an A/A test: how often equal arms are called different, and how small a difference this host can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.compared import Comparison
from freepage.analysis.comparisons import DIFFERENCES, RATIOS, find_margin
from freepage.analysis.conclusion import Decision
from freepage.analysis.significance import Difference, find_interval, find_smallest_effect, judge_difference
from freepage.analysis.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.experiments import ExperimentResults, Experiments
    from freepage.analysis.stats import Estimate

RULE = (
    "In an A/A test one arm runs under two names, so every difference is a false alarm: numbers called different by the rule of "
    "all runs (beyond their margin with the whole interval), and intervals at 95 % that leave out no difference, which chance alone "
    "does in 1 of 20."
)
# What says most about times, and about memory.
_TOLD = {Comparison.REALLOCATION: "allocating again", Comparison.NODE_MEAN_RATIO: "the node's memory"}


@dataclass(frozen=True)
class EqualNumber:
    """One number of both arms compared; whether its interval leaves out no difference, and whether it is called different."""

    comparison: Comparison
    estimate: Estimate
    excludes: bool
    different: bool


def judge_equal_arms(experiments: Experiments) -> Verdict | None:
    """Return the answer of a run in which every experiment is an A/A test; None of any other run."""
    if not experiments or not all(e.traits.repeats_arm for e in experiments.values()):
        return None
    found = [number for experiment in experiments.values() for number in _compare(experiment)]
    sentence = (
        _write_sentence(found) if found else "This run does not decide. It has fewer than three blocks."
    )
    return Verdict(
        Decision.EQUAL_ARMS, sentence, RULE, {}, tuple(_find_reasons(found)), next(iter(experiments))
    )


def _compare(experiment: ExperimentResults) -> Iterator[EqualNumber]:
    """Yield each number of the two arms that has an interval."""
    for comparison in (*RATIOS, *DIFFERENCES):
        estimate = experiment.compared(comparison)
        interval = None if estimate is None else find_interval(estimate)
        if estimate is None or interval is None:
            continue
        neutral = 1.0 if comparison.unit == "ratio" else 0.0
        low, high = interval
        margin = find_margin(comparison, comparison.margin, experiment.find_size)
        yield EqualNumber(
            comparison,
            estimate,
            not (low is None or low <= neutral) or not (high is None or high >= neutral),
            margin is not None
            and judge_difference(estimate, margin, neutral=neutral) is Difference.DIFFERENT,
        )


def _write_sentence(found: list[EqualNumber]) -> str:
    different = [n.comparison for n in found if n.different]
    names = f" ({', '.join(different)})" if different else ""
    seen = [words for n in found if n.comparison in _TOLD and (words := _describe_reach(n))]
    reach = f" This host tells arms apart from {' and '.join(seen)} on." if seen else ""
    return f"Of {len(found)} numbers of equal arms {len(different) or 'none'} would be called different{names}.{reach}"


def _find_reasons(found: list[EqualNumber]) -> Iterator[str]:
    excludes = [n.comparison for n in found if n.excludes]
    names = f": {', '.join(excludes)}" if excludes else ""
    if found:
        trials = min(n.estimate.n for n in found)
        yield f"{len(excludes)} of {len(found)} intervals at 95 % leave out no difference{names}; from {trials} pairs of trials."


def _describe_reach(number: EqualNumber) -> str:
    """Return the smallest ratio that so many trials, varying as these do, would show in four of five cases."""
    effect = find_smallest_effect(number.estimate)
    return "" if effect is None else f"{effect * 100:.2g}\u00a0% ({_TOLD[number.comparison]})"

"""The four numbers that stand on top of a report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freepage.analysis.compared import Comparison
from freepage.analysis.conclusion import Decision
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.paths import EstimatePath
from freepage.records import Arm
from freepage.report.numbers import describe_basis, show_value

if TYPE_CHECKING:
    from freepage.analysis.doubts.base import Doubt
    from freepage.analysis.results import Results
    from freepage.analysis.stats import Estimate

HEADLINES = (
    EstimatePath(Quantity.GIVEN_BACK, Arm.VM_FPR),
    EstimatePath(Quantity.RELEASE_T90, Arm.VM_FPR),
    EstimatePath(Comparison.REALLOCATION),
    EstimatePath(Comparison.EXTRA_CPU),
)
# The same where a run measured fio and no release.
IO_HEADLINES = (
    EstimatePath(Comparison.IO_RATIO),
    EstimatePath(Quantity.CACHED_READS, Arm.VM_FPR),
    EstimatePath(Comparison.CACHED_LOST),
    EstimatePath(Comparison.NODE_MEAN_RATIO),
)
# The same of an A/A test.
EQUAL_ARMS_HEADLINES = (
    EstimatePath(Comparison.REALLOCATION),
    EstimatePath(Comparison.EXTRA_CPU),
    EstimatePath(Comparison.NODE_MEAN_RATIO),
)
EQUAL_ARMS_WORDS = "the control against the arm that it repeats"


@dataclass(frozen=True)
class Headline:
    """One number on top: its label and value as text, how many trials it comes from, and words below it.

    basis: what it rests on (interval, trials, method), or why there is no value. doubts: those that touch it.
    """

    label: str
    value: str
    n: int
    words: str
    basis: str
    doubts: tuple[Doubt, ...]


def find_headlines(results: Results) -> list[Headline]:
    """Return the numbers of the experiment that measured releases best, or of an A/A test."""
    name = results.headline
    if results.verdict.decision is Decision.EQUAL_ARMS:
        found = [_build_headline(results, results.verdict.headline, path) for path in EQUAL_ARMS_HEADLINES]
        return [replace(number, words=EQUAL_ARMS_WORDS) for number in found]
    experiment = results.experiments[name] if name is not None else None
    given_back = HEADLINES[0].find(experiment) if experiment else None
    paths = IO_HEADLINES if experiment and given_back is None and experiment.cells else HEADLINES
    return [_build_headline(results, name, path) for path in paths]


def _build_headline(results: Results, experiment: str | None, path: EstimatePath) -> Headline:
    found = path.find(results.experiments[experiment]) if experiment is not None else None
    label, words = path.number.definition.headline
    return Headline(
        label,
        show_value(found),
        found.n if found else 0,
        words,
        _describe(results, experiment, path, found),
        results.doubts_touching(path.number.area, experiment),
    )


def _describe(results: Results, experiment: str | None, path: EstimatePath, found: Estimate | None) -> str:
    """Return what a number rests on, or why it is missing; of a release time how many releases got that far."""
    reached = _count_reached(results, experiment) if path.number is Quantity.RELEASE_T90 else ""
    if found is None:
        return reached or "not measured"
    return f"{describe_basis(found)}; {reached}" if reached else describe_basis(found)


def _count_reached(results: Results, experiment: str | None) -> str:
    """Return how many releases got 90 % back, where some did not; "" where all did, or none was measured."""
    mine = (t for t in results.trials if t.experiment == experiment and t.arm is Arm.VM_FPR)
    values = [t.values for t in mine if t.values]
    releases = sum(v[TrialOnly.RELEASES] or 0.0 for v in values)
    reached = sum(v[TrialOnly.RELEASE_T90_COUNT] or 0.0 for v in values)
    if reached == releases:
        return ""
    return f"reached in {reached:.0f} of {releases:.0f} releases"

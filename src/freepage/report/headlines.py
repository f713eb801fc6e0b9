"""The four numbers that stand on top of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.paths import EstimatePath
from freepage.records import Arm
from freepage.report.numbers import show_interval, show_value

if TYPE_CHECKING:
    from freepage.analysis.doubts.base import Doubt
    from freepage.analysis.results import Results

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


@dataclass(frozen=True)
class Headline:
    """One number on top: its label, value and interval as text, how many trials it comes from, and words below it.

    missing: why there is no value. doubts: those that touch it.
    """

    label: str
    value: str
    interval: str
    n: int
    words: str
    missing: str
    doubts: tuple[Doubt, ...]


def find_headlines(results: Results) -> list[Headline]:
    """Return the four numbers of the experiment that measured releases best."""
    name = results.headline
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
        show_interval(found),
        found.n if found else 0,
        words,
        _why_missing(results, experiment, path),
        results.doubts_touching(path.number.area, experiment),
    )


def _why_missing(results: Results, experiment: str | None, path: EstimatePath) -> str:
    """Return why a number may be missing: a release time is, unless every release got that far."""
    mine = (t for t in results.trials if t.experiment == experiment and t.arm is Arm.VM_FPR)
    values = [t.values for t in mine if t.values]
    releases = sum(v[TrialOnly.RELEASES] or 0.0 for v in values)
    if path.number is not Quantity.RELEASE_T90 or not releases:
        return "not measured"
    reached = sum(v[TrialOnly.RELEASE_T90_COUNT] or 0.0 for v in values)
    return f"reached in {reached:.0f} of {releases:.0f} releases"

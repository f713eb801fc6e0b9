"""One number of NEW against BASE: how it is compared, and what may be said of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean, median
from typing import TYPE_CHECKING

from freepage.analysis.compare.welch import LEAST_BLOCKS, EffectSize, Sample, compare_means, compare_ranges
from freepage.analysis.compared import Comparison
from freepage.analysis.comparisons import find_margin
from freepage.analysis.definition import Better, Nature
from freepage.analysis.stats import Estimate

if TYPE_CHECKING:
    from freepage.analysis.compare.measured import BlockValues, MeasuredRun
    from freepage.analysis.definition import Number
    from freepage.analysis.estimates import Quantity, TrialOnly
    from freepage.analysis.paths import EstimatePath
    from freepage.records import Arm


class Outcome(StrEnum):
    """An answer to whether a number changed: HIGHER and LOWER where neither way is better."""

    WORSE = "worse"
    BETTER = "better"
    HIGHER = "higher"
    LOWER = "lower"
    SAME = "same"
    CANNOT_TELL = "cannot-tell"

    @property
    def is_change(self) -> bool:
        return self not in {Outcome.SAME, Outcome.CANNOT_TELL}


@dataclass(frozen=True)
class Side:
    """The runs of one side, and the interval at which they were sampled."""

    name: str
    runs: tuple[MeasuredRun, ...]

    @property
    def interval_s(self) -> float:
        return max(r.run.manifest.interval_s for r in self.runs)

    @property
    def smoke(self) -> bool:
        return any(r.run.manifest.smoke for r in self.runs)


@dataclass(frozen=True)
class Change:
    """One number of an experiment on both sides; base, new: its value there, without an interval.

    change: NEW / BASE or, for numbers that may be 0, NEW less BASE, with its interval at 95 %; None where a side has no
    value. margin: in the same measure, less is no change in practice; None: no margin is known, and nothing is called the
    same. could_see: the least change (of a ratio: the part above 1) that 80 % of such comparisons would have seen. needed:
    blocks a side, or runs, that would show the margin. reason: why it
    cannot be told. runs: of the side that has fewer.
    """

    experiment: str
    path: EstimatePath
    nature: Nature
    base: Estimate | None
    new: Estimate | None
    change: Estimate | None
    margin: float | None
    outcome: Outcome = Outcome.CANNOT_TELL
    reason: str = ""
    could_see: float | None = None
    needed: int | None = None
    runs_are_units: bool = False
    runs: int = 0
    effect: EffectSize | None = None

    @property
    def size(self) -> float:
        """The size of the change, in margins; without a margin, on a scale of its own."""
        if self.effect is None:
            return -1.0
        return abs(self.effect.value) / (self.scale_margin or 1.0)

    @property
    def scale_margin(self) -> float | None:
        """The margin on the scale of the effect."""
        if self.margin is None or not self.nature.has_ratio:
            return self.margin
        return math.log1p(self.margin)

    @property
    def is_beyond_margin(self) -> bool:
        """Return whether it changed by as much as matters; where no margin is known, whatever is not chance matters."""
        scale = self.scale_margin
        return self.effect is not None and (scale is None or abs(self.effect.value) >= scale)


def measure_change(base: Side, new: Side, experiment: str, path: EstimatePath, margin: float) -> Change:
    """Return one number compared, not yet decided: what is called different depends on all that is shown."""
    nature = path.number.nature
    found = [[r.find(experiment, path) for r in side.runs] for side in (base, new)]
    samples = [Sample(tuple(b.values for b in blocks if b.values)) for blocks in found]
    shown = [_show(sample, path, nature) for sample in samples]
    absolute = _find_margin(base, new, experiment, path.number, margin)
    change = Change(experiment, path, nature, shown[0], shown[1], None, absolute)
    if reason := _find_obstacle(base, new, found, samples, nature):
        return replace(change, reason=reason)
    return _compare(
        change, *samples, resolution_s=max(base.interval_s, new.interval_s), smoke=base.smoke or new.smoke
    )


def decide(change: Change, *, rejects: bool) -> Change:
    """Return a change with its outcome; `rejects`: whether "no difference" was rejected among all that is shown."""
    effect, scale = change.effect, change.scale_margin
    if change.reason or effect is None or effect.interval is None or effect.narrow is None:
        return change
    if scale is not None and effect.narrow.is_within(scale):
        return replace(change, outcome=Outcome.SAME)
    if rejects and effect.interval.excludes(0) and change.is_beyond_margin:
        return replace(change, outcome=_direction(change.path.number.definition.better, effect.value))
    return replace(change, reason=_why_open(change, effect))


def _why_open(change: Change, effect: EffectSize) -> str:
    if effect.interval is not None and effect.interval.excludes(0):
        beyond = change.is_beyond_margin
        return (
            "it may be chance among so many numbers"
            if beyond
            else "it differs, but perhaps by less than matters"
        )
    return "its interval holds both no change and one that matters"


def _direction(better: Better, value: float) -> Outcome:
    if better is Better.NEITHER:
        return Outcome.HIGHER if value > 0 else Outcome.LOWER
    return Outcome.BETTER if (value > 0) is (better is Better.HIGHER) else Outcome.WORSE


def _find_obstacle(
    base: Side, new: Side, found: list[list[BlockValues]], samples: list[Sample], nature: Nature
) -> str:
    """Return why a number cannot be compared at all; "" where it can."""
    empty = [side.name for side, sample in zip((base, new), samples, strict=True) if not sample.runs]
    if empty:
        return f"not measured in {' and '.join(empty)}"
    if nature.has_ratio and any(value <= 0 for sample in samples for value in sample.values):
        return "a value that is not above 0 has no ratio"
    for side, blocks in zip((base, new), found, strict=True):
        missing, known = sum(b.missing for b in blocks), sum(len(b.values) for b in blocks)
        if missing:
            return f"{side.name} has it in {known} of {known + missing} trials, and those alone would flatter"
    return ""


def _compare(change: Change, base: Sample, new: Sample, *, resolution_s: float, smoke: bool) -> Change:
    """Return a change with its effect and interval."""
    nature, scale = change.nature, change.scale_margin
    if nature.by_rank:
        effect = compare_ranges(base, new)
    elif nature.has_ratio:
        widened = _resolution(resolution_s, base, new) if nature is Nature.CENSORED else 0.0
        effect = compare_means(base.log(), new.log(), margin=scale, resolution=widened)
    else:
        effect = compare_means(base, new, margin=scale)
    n = min(len(base.values), len(new.values))
    return replace(
        change,
        change=_as_estimate(change, effect, n),
        effect=effect,
        could_see=None if effect.could_see is None else _unscale(nature, effect.could_see),
        needed=effect.needed,
        runs_are_units=effect.runs_are_units,
        runs=min(len(base.runs), len(new.runs)),
        reason="a smoke run decides nothing" if smoke else _why_undecidable(effect, n),
    )


def _unscale(nature: Nature, size: float) -> float:
    return math.expm1(min(size, 50.0)) if nature.has_ratio else size


def _why_undecidable(effect: EffectSize, n: int) -> str:
    if effect.interval is not None:
        return ""
    if n < LEAST_BLOCKS:
        return f"{n} {'trial' if n == 1 else 'trials'} a side decide nothing"
    return f"{n} trials a side cannot set two ranges apart"


def _resolution(resolution_s: float, base: Sample, new: Sample) -> float:
    """Return the logarithm of what one sampling interval can make of the lesser time."""
    return math.log1p(resolution_s / min(base.centre, new.centre))


def _as_estimate(change: Change, effect: EffectSize, n: int) -> Estimate:
    def shown(value: float) -> float:
        return math.exp(max(min(value, 50.0), -50.0)) if change.nature.has_ratio else value

    bounds = effect.interval
    low, high = (None, None) if bounds is None else (shown(bounds.low), shown(bounds.high))
    unit = "ratio" if change.nature.has_ratio else change.path.number.unit
    return Estimate(shown(effect.value), low, high, unit, n)


def _show(sample: Sample, path: EstimatePath, nature: Nature) -> Estimate | None:
    """Return a side's value: the geometric mean, the mean or the median, as its nature is compared."""
    values = sample.values
    if not values:
        return None
    if nature.by_rank:
        value = median(values)
    elif nature.has_ratio and min(values) > 0:
        value = math.exp(fmean(fmean(map(math.log, run)) for run in sample.runs))
    else:
        value = sample.centre
    return Estimate(value, None, None, path.number.unit, len(values))


def _find_margin(base: Side, new: Side, experiment: str, number: Number, margin: float) -> float | None:
    """Return the margin in the measure of the change: relative, of a share, or of what a difference is taken from."""
    runs = (*base.runs, *new.runs)
    if number is Comparison.EXTRA_CPU_PER_GIB:
        return margin * fmean(r.run.manifest.verdict_rule.max_extra_cpu_s_per_gib for r in runs)

    def find_size(arm: Arm, of: Quantity | TrialOnly) -> float | None:
        values = [abs(value) for run in runs for value in run.values_of(experiment, arm, of)]
        return fmean(values) if values else None

    return find_margin(number, margin, find_size)

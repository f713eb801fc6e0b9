"""Two runs, or two groups of runs, compared by one number: Welch's test, ranges, and what could have been seen.

Effects are NEW less BASE: of logarithms where a ratio is meant. The sign turns with the sides, and nothing else does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, median, variance
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr, stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95
POWER = 0.8
# Two one-sided tests at 5 % are an interval of 90 % within the margin.
EQUIVALENCE = 0.90
# With fewer blocks a side nothing is decided.
LEAST_BLOCKS = 3
# More repeats than anybody runs.
MOST_BLOCKS = 1000


@dataclass(frozen=True)
class Interval:
    """The bounds of an effect."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        return value < self.low or value > self.high

    def is_within(self, margin: float) -> bool:
        return self.low >= -margin and self.high <= margin

    def widened(self, by: float) -> Interval:
        return Interval(self.low - by, self.high + by)


@dataclass(frozen=True)
class EffectSize:
    """A change of one number, with what decides about it; None where the values cannot carry it.

    interval: at 95 %. narrow: at 90 %, for equivalence. p: two-sided. could_see: the least effect that 80 % of such
    comparisons would have shown. needed: blocks a side that would show the margin, or runs a side where a run is the unit.
    """

    value: float
    interval: Interval | None = None
    narrow: Interval | None = None
    p: float | None = None
    could_see: float | None = None
    needed: int | None = None
    runs_are_units: bool = False


@dataclass(frozen=True)
class Sample:
    """The values of one number on one side: for each of its runs, one for each block."""

    runs: tuple[tuple[float, ...], ...]

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(value for run in self.runs for value in run)

    @property
    def means(self) -> tuple[float, ...]:
        return tuple(fmean(run) for run in self.runs)

    @property
    def centre(self) -> float:
        """The mean of the runs' means."""
        return fmean(self.means)

    def log(self) -> Sample:
        return Sample(tuple(tuple(math.log(value) for value in run) for run in self.runs))


def compare_means(base: Sample, new: Sample, *, margin: float | None, resolution: float = 0.0) -> EffectSize:
    """Return NEW's mean less BASE's by Welch's test: over runs where both sides have several, else over blocks.

    resolution: what two equal values can differ by, since both are known to a sampling interval only; it widens
    intervals, and nothing below it is evidence.
    """
    by_run = len(base.runs) > 1 and len(new.runs) > 1
    ours, theirs = (s.means if by_run else s.values for s in (new, base))
    value = new.centre - base.centre if by_run else fmean(ours) - fmean(theirs)
    if min(len(base.values), len(new.values)) < LEAST_BLOCKS:
        return EffectSize(value, runs_are_units=by_run)
    if not _has_spread(ours) and not _has_spread(theirs):
        return _compare_constants(value, len(ours), len(theirs), resolution, runs_are_units=by_run)
    test = _welch(ours, theirs, value)
    return EffectSize(
        value,
        test.interval(CONFIDENCE).widened(resolution),
        test.interval(EQUIVALENCE).widened(resolution),
        test.p_value(resolution),
        test.could_see + resolution,
        None
        if margin is None
        else _find_needed(ours, theirs, margin - resolution, 2 if by_run else LEAST_BLOCKS),
        by_run,
    )


def compare_ranges(base: Sample, new: Sample) -> EffectSize:
    """Return NEW's median less BASE's, between the least and the greatest difference that their values allow.

    No distribution is assumed: of equal ones, two ranges lie apart in 2 of all (n + m over n) orders of the values. Where
    that is more than 5 % no interval can be given. p is Welch's where there is spread.
    """
    theirs, ours = base.values, new.values
    value = median(ours) - median(theirs)
    by_rank = 2 / math.comb(len(ours) + len(theirs), len(ours))
    enough = min(len(ours), len(theirs)) >= LEAST_BLOCKS and by_rank <= 1 - CONFIDENCE
    if not enough:
        return EffectSize(value, needed=4)
    around = Interval(min(ours) - max(theirs), max(ours) - min(theirs))
    spread = _has_spread(ours) or _has_spread(theirs)
    p = (
        _welch(ours, theirs, fmean(ours) - fmean(theirs)).p_value()
        if spread
        else _p_of_constants(len(ours), len(theirs))
    )
    return EffectSize(value, around, around, p if around.excludes(0) else 1.0)


def _has_spread(values: Sequence[float]) -> bool:
    """Return whether values differ by more than their own rounding."""
    return max(values) - min(values) > 1e-9 * max(1.0, *map(abs, values))


def _compare_constants(
    value: float, n: int, m: int, resolution: float, *, runs_are_units: bool
) -> EffectSize:
    """Return an effect of values that are all equal on each side, such as counts of a coarse clock's ticks."""
    around = Interval(value, value).widened(resolution)
    differs = abs(value) > max(resolution, 1e-9)
    p = _p_of_constants(n, m) if differs else 1.0
    return EffectSize(value, around, around, p, could_see=resolution or None, runs_are_units=runs_are_units)


def _p_of_constants(n: int, m: int) -> float:
    """Return the most likely that n values are all one, and m others all another, where both are drawn alike.

    One value has the chance q, the other 1 - q: q^n (1 - q)^m and the reverse are greatest at q = n / (n + m).
    """
    share = n / (n + m)
    return min(1.0, 2 * share**n * (1 - share) ** m)


@dataclass(frozen=True)
class _Welch:
    """Welch's test of two samples of which one at least has spread: NEW's mean less BASE's."""

    value: float
    standard_error: float
    freedom: float

    def interval(self, confidence: float) -> Interval:
        half = float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.standard_error
        return Interval(self.value - half, self.value + half)

    def p_value(self, resolution: float = 0.0) -> float:
        """Return the two-sided p of an effect of which `resolution` is no evidence."""
        beyond = max(abs(self.value) - resolution, 0.0)
        return min(1.0, 2 * float(stdtr(self.freedom, -beyond / self.standard_error)))

    @property
    def could_see(self) -> float:
        """Return (t(0.975) + t(0.8)) x standard error, the minimum detectable effect at 80 % power."""
        quantiles = stdtrit(self.freedom, (1 + CONFIDENCE) / 2) + stdtrit(self.freedom, POWER)
        return float(quantiles) * self.standard_error


def _welch(ours: Sequence[float], theirs: Sequence[float], value: float) -> _Welch:
    """Return the test with the degrees of freedom of Welch and Satterthwaite.

    The same as scipy.stats.ttest_ind(equal_var=False), whose module takes a second to load.
    """
    parts = [(variance(values) / len(values), len(values) - 1) for values in (ours, theirs)]
    total = sum(part for part, _ in parts)
    return _Welch(value, math.sqrt(total), total**2 / sum(part**2 / n for part, n in parts))


def _find_needed(ours: Sequence[float], theirs: Sequence[float], effect: float, least: int) -> int | None:
    """Return how many values a side would show an effect, with the spread that was seen; None where no number does."""
    if effect <= 0:
        return None
    counts = np.arange(least, MOST_BLOCKS + 1)
    quantiles = stdtrit(2 * counts - 2, (1 + CONFIDENCE) / 2) + stdtrit(2 * counts - 2, POWER)
    enough = quantiles * np.sqrt((variance(ours) + variance(theirs)) / counts) <= effect
    return int(counts[enough.argmax()]) if enough.any() else None

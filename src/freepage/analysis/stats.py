"""Estimates from trials, by the nature of the number: a value with its 95 % interval; arms are compared in pairs of a block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import zip_longest
from statistics import fmean, median, median_low, stdev
from typing import TYPE_CHECKING

from freepage.analysis.definition import Nature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CONFIDENCE = 0.95
# Fewer trials have no interval, and decide nothing.
LEAST_TRIALS = 3
# A median and the range of all trials: the range misses the median with a probability of 2^(1 - n), 6 % at five.
LEAST_FOR_RANGE = 5


class Method(StrEnum):
    """The method that an interval comes from."""

    STUDENT_LOG = "student-log"
    STUDENT = "student"
    RANGE = "range"
    CLOPPER_PEARSON = "clopper-pearson"
    CENSORED = "censored"


@dataclass(frozen=True)
class Estimate:
    """A number computed from `n` trials, with its 95 % interval and the method of both.

    low and high are None with fewer than three trials; high alone is None where trials did not get that far.
    """

    value: float
    low: float | None
    high: float | None
    unit: str
    n: int
    method: str = ""

    @property
    def least_to_decide(self) -> int:
        """Return how many trials anything can be decided from."""
        by_range = self.method in {Method.RANGE, Method.CENSORED}
        return LEAST_FOR_RANGE if by_range else LEAST_TRIALS


def estimate_trials(nature: Nature, values: Sequence[float | None], unit: str) -> Estimate | None:
    """Return the estimate of one number over the trials of an arm; None when no trial has a value."""
    return _BY_NATURE[nature](values, unit)


def estimate_mean(values: Sequence[float | None], unit: str) -> Estimate | None:
    """Return the mean with Student's interval, for numbers of either sign."""
    known = [v for v in values if v is not None]
    if not known:
        return None
    low, high = _student(known)
    return Estimate(fmean(known), low, high, unit, len(known), Method.STUDENT)


def estimate_positive(values: Sequence[float | None], unit: str) -> Estimate | None:
    """Return the geometric mean with Student's interval on the logarithm; Student's own where a value is not above 0.

    No bound lies below zero unless a value does: memory above a baseline that other work has moved.
    """
    known = [v for v in values if v is not None]
    if not known:
        return None
    if min(known) <= 0:
        found = estimate_mean(known, unit)
        if found is None or found.low is None or min(known) < 0:
            return found
        return Estimate(found.value, max(found.low, 0.0), found.high, unit, found.n, found.method)
    logs = [math.log(v) for v in known]
    low, high = _student(logs)
    return Estimate(math.exp(fmean(logs)), _exp(low), _exp(high), unit, len(known), Method.STUDENT_LOG)


def estimate_share(values: Sequence[float | None], unit: str) -> Estimate | None:
    """Return the median with the least and the greatest value, which hold the true median with 1 - 2^(1 - n).

    Order statistics of the median: David and Nagaraja, Order Statistics (2003), section 7.1.
    """
    known = [v for v in values if v is not None]
    if not known:
        return None
    low, high = (min(known), max(known)) if len(known) >= LEAST_TRIALS else (None, None)
    return Estimate(median(known), low, high, unit, len(known), Method.RANGE)


def estimate_censored(
    values: Sequence[float | None], unit: str, widths: Sequence[float | None] = ()
) -> Estimate | None:
    """Return the median with the range; None where half of the trials, or more, lie beyond what was seen on the same side.

    Infinity is a time that was not reached, or a pace too fast to be seen; 0 a pace of what was not reached. widths: of the
    spans whose middles the values are; the range is that of the spans, since nothing is known within them.
    """
    spans = list(zip_longest(values, widths))
    known = [v for v, _ in spans if v is not None]
    if not known or math.isinf(middle := median(known)) or median_low(known) <= 0:
        return None
    ends = [(max(0.0, v - (width or 0.0) / 2), v + (width or 0.0) / 2) for v, width in spans if v is not None]
    low, high = (
        (min(a for a, _ in ends), max(b for _, b in ends)) if len(known) >= LEAST_TRIALS else (None, None)
    )
    reached = None if high is None or math.isinf(high) else high
    return Estimate(middle, low, reached, unit, len(known), Method.CENSORED)


def estimate_count(
    counts: Sequence[float | None], chances: Sequence[float | None], unit: str
) -> Estimate | None:
    """Return what was counted per trial, of `chances` each; a share of them all where the unit is "fraction".

    The interval is exact (Clopper and Pearson, 1934), over trials x chances: 0 of n leaves up to about 3.7 / n.
    """
    both = zip(counts, chances, strict=True)
    known = [(c, of) for c, of in both if c is not None and of is not None]
    total = sum(of for _, of in known)
    if not known or (unit == "fraction" and not total):
        return None
    count, n = sum(c for c, _ in known), len(known)
    factor = 1.0 if unit == "fraction" else total / n
    low, high = _clopper_pearson(round(count), round(total)) if n >= LEAST_TRIALS and total else (None, None)
    value = count / total * factor if total else 0.0
    low, high = (None if b is None else b * factor for b in (low, high))
    return Estimate(value, low, high, unit, n, Method.CLOPPER_PEARSON)


def estimate_ratio(above: Mapping[int, float | None], below: Mapping[int, float | None]) -> Estimate | None:
    """Return the ratio of two arms, by block, with its interval on the logarithm; None when no pair has both.

    Also None where a value is not above 0: a ratio of the other pairs alone would flatter.
    """
    pairs = _pairs(above, below)
    if any(a <= 0 or b <= 0 for a, b in pairs):
        return None
    return estimate_positive([a / b for a, b in pairs], "ratio")


def estimate_difference(
    first: Mapping[int, float | None], second: Mapping[int, float | None], unit: str
) -> Estimate | None:
    """Return first - second, by block, with Student's interval; None when no pair has both."""
    return estimate_mean([a - b for a, b in _pairs(first, second)], unit)


def _estimate_count_alone(values: Sequence[float | None], unit: str) -> Estimate | None:
    """Return the mean of counts whose chances are not known: without an interval."""
    known = [v for v in values if v is not None]
    return Estimate(fmean(known), None, None, unit, len(known)) if known else None


_BY_NATURE: dict[Nature, Callable[[Sequence[float | None], str], Estimate | None]] = {
    Nature.POSITIVE: estimate_positive,
    Nature.SIGNED: estimate_mean,
    Nature.SHARE: estimate_share,
    Nature.COUNT: _estimate_count_alone,
    Nature.CENSORED: estimate_censored,
}


@cache
def find_quantile(n: int, probability: float) -> float:
    """Return Student's t that n trials stay below with a probability."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, probability))


def _pairs(
    first: Mapping[int, float | None], second: Mapping[int, float | None]
) -> list[tuple[float, float]]:
    both = [(first[r], second[r]) for r in sorted(set(first) & set(second))]
    return [(a, b) for a, b in both if a is not None and b is not None]


def _student(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return mean -/+ t(0.975, n - 1) * s / sqrt(n); nothing from fewer than three values."""
    if len(values) < LEAST_TRIALS:
        return None, None
    half = find_quantile(len(values), (1 + CONFIDENCE) / 2) * stdev(values) / math.sqrt(len(values))
    mean = fmean(values)
    return mean - half, mean + half


def _clopper_pearson(count: int, total: int) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high


def _exp(value: float | None) -> float | None:
    return None if value is None else math.exp(min(value, 700.0))

"""Decisions from estimates: intervals at other confidences, error probabilities, Holm's correction, and what a run could have seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.analysis.stats import CONFIDENCE, LEAST_FOR_RANGE, Estimate, Method, find_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

# The error of one side of an interval, and of a decision that a whole interval lies within bounds or beyond one.
ONE_SIDED = (1 - CONFIDENCE) / 2
# The error of a range of five trials, from which shares are decided: that all of them lie on one side of their median by chance.
RANGE_ERROR = 0.5**LEAST_FOR_RANGE
# Two one-sided tests at 5 % each: the 90 % interval within the margin (Schuirmann, 1987).
EQUIVALENCE_CONFIDENCE = 0.90
POWER = 0.8
# What needs more repeats than this is said to be out of reach.
MOST_REPEATS = 200


class Difference(StrEnum):
    """The relation of two arms in one number: more than a margin apart, within the margin, or neither is shown."""

    DIFFERENT = "different"
    SAME = "same"
    OPEN = "open"


@dataclass(frozen=True)
class Spread:
    """An estimate of Student's kind on the scale its interval was computed on: middle, standard error, trials."""

    middle: float
    error: float
    n: int
    is_log: bool

    def place(self, bound: float) -> float:
        """Return a bound on this scale."""
        if not self.is_log:
            return bound
        return math.log(bound) if bound > 0 else -math.inf

    def back(self, value: float) -> float:
        return math.exp(min(value, 700.0)) if self.is_log else value


def find_spread(estimate: Estimate) -> Spread | None:
    """Return what Student's interval was made of; None for another method, and without an interval."""
    if estimate.method not in {Method.STUDENT, Method.STUDENT_LOG, ""} or estimate.high is None:
        return None
    is_log = estimate.method == Method.STUDENT_LOG
    half = math.log(estimate.high / estimate.value) if is_log else estimate.high - estimate.value
    middle = math.log(estimate.value) if is_log else estimate.value
    return Spread(middle, half / find_quantile(estimate.n, (1 + CONFIDENCE) / 2), estimate.n, is_log)


def find_interval(
    estimate: Estimate, confidence: float = CONFIDENCE
) -> tuple[float | None, float | None] | None:
    """Return the interval at a confidence, an open end as None; None where nothing may be decided from it.

    Only Student's intervals are narrowed; ranges and exact intervals stay as they are, which is the stricter choice.
    """
    if estimate.n < estimate.least_to_decide or estimate.low is None:
        return None
    spread = find_spread(estimate)
    if spread is None or confidence == CONFIDENCE:
        return estimate.low, estimate.high
    half = find_quantile(estimate.n, (1 + confidence) / 2) * spread.error
    return spread.back(spread.middle - half), spread.back(spread.middle + half)


def find_error(estimate: Estimate, bound: float) -> float | None:
    """Return the probability of an estimate as far on its side of a bound, were the truth at the bound; one-sided.

    None where the method has none: ranges decide by all trials together (find_range_error).
    """
    from scipy.special import stdtr

    spread = find_spread(estimate)
    if spread is None:
        return None
    distance = abs(spread.middle - spread.place(bound))
    if not spread.error:
        return 0.0
    return float(stdtr(spread.n - 1, -distance / spread.error))


def find_range_error(estimate: Estimate, bound: float) -> float | None:
    """Return the probability that all trials of a range lie on one side of a bound, were it the true median: 2^-n (sign test, one-sided).

    1 where they lie on both sides; None for another method, and where too few trials have a range.
    """
    if estimate.method not in {Method.RANGE, Method.CENSORED} or estimate.low is None:
        return None
    high = math.inf if estimate.high is None else estimate.high
    return 0.5**estimate.n if estimate.low >= bound or high <= bound else 1.0


def correct_by_holm(errors: Sequence[float | None], levels: Sequence[float]) -> list[bool]:
    """Return which decisions stand when all are made at once (Holm, 1979); those without a probability always do.

    errors: each decision's probability of error; levels: what it may be were it the only one.
    """
    known = sorted(
        (e / level, n) for n, (e, level) in enumerate(zip(errors, levels, strict=True)) if e is not None
    )
    stands = [True] * len(errors)
    holding = True
    for rank, (share, n) in enumerate(known):
        holding = holding and share * (len(known) - rank) <= 1
        stands[n] = holding
    return stands


def find_smallest_effect(estimate: Estimate) -> float | None:
    """Return the smallest difference that such a run sees in four of five cases: (t(0.975) + t(0.8)) x standard error.

    As a share (0.05 is 5 %) where the interval is on the logarithm, else in the estimate's unit; None without an interval.
    """
    spread = find_spread(estimate)
    if spread is None:
        return None
    seen = _quantiles(estimate.n) * spread.error
    return math.expm1(min(seen, 50.0)) if spread.is_log else seen


def find_repeats(estimate: Estimate, bound: float) -> int | None:
    """Return how many trials would decide on which side of a bound the number lies, if it is where it seems to be.

    None where no method tells, or more than MOST_REPEATS would be needed.
    """
    spread = find_spread(estimate)
    if spread is None or not math.isfinite(spread.place(bound)):
        return None
    distance, deviation = abs(spread.middle - spread.place(bound)), spread.error * math.sqrt(spread.n)
    enough = (n for n in range(3, MOST_REPEATS + 1) if _quantiles(n) * deviation / math.sqrt(n) <= distance)
    return next(enough, None)


def _quantiles(n: int) -> float:
    return find_quantile(n, (1 + CONFIDENCE) / 2) + find_quantile(n, POWER)


def judge_difference(estimate: Estimate, margin: float, *, neutral: float = 0.0) -> Difference:
    """Return whether a number differs from `neutral` by more than a margin: the whole interval has to say so.

    A ratio's neutral is 1, and its margin a share: 0.05 reaches from 1 / 1.05 to 1.05. A difference's is 0, and its margin absolute.
    """
    lowest, highest = (neutral / (1 + margin), neutral * (1 + margin)) if neutral else (-margin, margin)
    wide, narrow = find_interval(estimate), find_interval(estimate, EQUIVALENCE_CONFIDENCE)
    if wide is None or narrow is None:
        return Difference.OPEN
    low, high = _ends(wide)
    if low > highest or high < lowest:
        return Difference.DIFFERENT
    low, high = _ends(narrow)
    return Difference.SAME if lowest <= low and high <= highest else Difference.OPEN


def _ends(interval: tuple[float | None, float | None]) -> tuple[float, float]:
    low, high = interval
    return (-math.inf if low is None else low), (math.inf if high is None else high)

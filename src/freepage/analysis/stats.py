"""Estimates from trials: a mean with its interval, ratios and differences between arms paired by repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number computed from `n` trials, with its 95 % interval; low and high are None when n is 1."""

    value: float
    low: float | None
    high: float | None
    unit: str
    n: int


def estimate_mean(values: Sequence[float | None], unit: str) -> Estimate | None:
    """Return the mean over trials with Student's interval; None when no trial has a value."""
    known = [v for v in values if v is not None]
    if not known:
        return None
    mean, half = fmean(known), _half_width(known)
    return Estimate(mean, _minus(mean, half), _plus(mean, half), unit, len(known))


def estimate_ratio(above: Mapping[int, float | None], below: Mapping[int, float | None]) -> Estimate | None:
    """Return the ratio of two arms, by repeat, with its interval on the logarithm; None when no pair has both."""
    pairs = _pairs(above, below)
    logs = [math.log(a / b) for a, b in pairs if a > 0 and b > 0]
    if not logs:
        return None
    mean, half = fmean(logs), _half_width(logs)
    low, high = _minus(mean, half), _plus(mean, half)
    return Estimate(
        math.exp(mean),
        None if low is None else _exp(low),
        None if high is None else _exp(high),
        "ratio",
        len(logs),
    )


def estimate_difference(
    first: Mapping[int, float | None], second: Mapping[int, float | None], unit: str
) -> Estimate | None:
    """Return first - second, by repeat, with its interval; None when no pair has both."""
    return estimate_mean([a - b for a, b in _pairs(first, second)], unit)


def _pairs(
    first: Mapping[int, float | None], second: Mapping[int, float | None]
) -> list[tuple[float, float]]:
    both = [(first[r], second[r]) for r in sorted(set(first) & set(second))]
    return [(a, b) for a, b in both if a is not None and b is not None]


def _half_width(values: Sequence[float]) -> float | None:
    """Return half of Student's interval: t(0.975, n - 1) * s / sqrt(n)."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
    return quantile * stdev(values) / math.sqrt(len(values))


def _minus(mean: float, half: float | None) -> float | None:
    return None if half is None else mean - half


def _plus(mean: float, half: float | None) -> float | None:
    return None if half is None else mean + half


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))

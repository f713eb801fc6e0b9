"""Bounds of a rule, and where estimates lie against them: a whole interval decides, or nothing does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.analysis.significance import find_error, find_interval
from freepage.analysis.stats import CONFIDENCE
from freepage.units import format_bytes

if TYPE_CHECKING:
    from freepage.analysis.stats import Estimate


class IntervalPosition(StrEnum):
    """The position of an interval: all of it within the bounds, all of it beyond one of them, or on both sides of one.

    An estimate that nothing may be decided from counts as on both sides.
    """

    WITHIN = "within"
    BEYOND = "beyond"
    STRADDLING = "straddling"


@dataclass(frozen=True)
class Bounds:
    """The bounds of what a rule allows; None is no bound. `above` excludes its own value, the others include theirs."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None

    def locate(self, estimate: Estimate, confidence: float = CONFIDENCE) -> IntervalPosition:
        """Return where the whole interval lies; straddling, which decides nothing, where there are too few trials for one."""
        interval = find_interval(estimate, confidence)
        if interval is None:
            return IntervalPosition.STRADDLING
        low, high = (math.inf if end is None else end for end in interval)
        if not self._falls_short(low) and not self._exceeds(high):
            return IntervalPosition.WITHIN
        beyond = self._falls_short(high) or self._exceeds(low)
        return IntervalPosition.BEYOND if beyond else IntervalPosition.STRADDLING

    def locate_value(self, value: float) -> IntervalPosition:
        """Return on which side of the bounds a bare value lies, which decides nothing."""
        outside = self._falls_short(value) or self._exceeds(value)
        return IntervalPosition.BEYOND if outside else IntervalPosition.WITHIN

    def find_error(self, estimate: Estimate) -> float | None:
        """Return the probability of such an estimate, were the truth at the bound that it is the nearest to; None where the method has none.

        The nearest on the scale of the interval: between 0.9 and 1.1 a ratio of 0.999 is nearer to 1.1.
        """
        errors = [find_error(estimate, bound) for bound in self._list()]
        return max((e for e in errors if e is not None), default=None)

    def find_nearest(self, value: float) -> float:
        """Return the bound that a value lies nearest to."""
        return min(self._list(), key=lambda bound: abs(bound - value))

    def describe(self, unit: str) -> str:
        """Return the bounds in words: "between 1.1 and 1.6 times", "at most 1.00 GiB"."""
        if self.at_most is None:
            word, low = ("at least", self.at_least) if self.above is None else ("more than", self.above)
            return f"{word} {format_bound(low or 0.0, unit)}"
        most = format_bound(self.at_most, unit)
        if self.at_least is not None:
            return f"between {format_bound(self.at_least, '')} and {most}"
        above = f"more than {format_bound(self.above, '')} and " if self.above is not None else ""
        return f"{above}at most {most}"

    def _list(self) -> list[float]:
        return [b for b in (self.at_least, self.above, self.at_most) if b is not None]

    def _falls_short(self, value: float) -> bool:
        return (self.at_least is not None and value < self.at_least) or (
            self.above is not None and value <= self.above
        )

    def _exceeds(self, value: float) -> bool:
        return self.at_most is not None and value > self.at_most


def format_bound(value: float, unit: str) -> str:
    """Return a threshold as people write it: 80 %, 1.00 GiB, 0.2 cores, 1.6 times; without a unit, the number."""
    if not value:
        return "0"
    if unit == "fraction":
        return f"{value * 100:g}\u00a0%"
    if unit == "bytes":
        return format_bytes(value)
    words = {"": "", "ratio": " times"}.get(unit, f"\u00a0{unit}")
    return f"{value:g}{words}"

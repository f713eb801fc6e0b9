"""Numbers that come from another machine at its own pace: the newest of them, and how old it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freepage.metrics import MetricValues

# Numbers older than this many intervals do not stand for now: there is a gap.
STALE_INTERVALS = 3


class LatestValues:
    """The newest numbers of one thing, by metric id."""

    def __init__(self, interval_s: float, age_metric: str) -> None:
        self._stale_s = STALE_INTERVALS * interval_s
        self._age_metric = age_metric
        self._values: MetricValues = {}
        self._read_s = float("-inf")

    def put(self, values: MetricValues, read_s: float | None = None) -> None:
        """Take numbers that were read at an instant of time.monotonic(), now by default."""
        self._values = values
        self._read_s = time.monotonic() if read_s is None else read_s

    def take(self) -> MetricValues:
        """Give the newest numbers and their age in seconds; {} when they are too old to stand for now."""
        age_s = time.monotonic() - self._read_s
        return {} if age_s > self._stale_s else self._values | {self._age_metric: max(0.0, age_s)}

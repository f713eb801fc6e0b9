"""The latest values that another machine has sent at its own pace, and their age."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freepage.metrics import MetricValues

# Values older than this many intervals are not current: there is a gap.
STALE_INTERVALS = 3


class LatestValues:
    """The latest values of one node or instance, by metric id."""

    def __init__(self, interval_s: float, age_metric: str) -> None:
        self._stale_s = STALE_INTERVALS * interval_s
        self._age_metric = age_metric
        self._values: MetricValues = {}
        self._read_s = float("-inf")

    def update(self, values: MetricValues, read_s: float | None = None) -> None:
        """Replace the values by those read at `read_s` of time.monotonic(), now by default."""
        self._values = values
        self._read_s = time.monotonic() if read_s is None else read_s

    def read(self) -> MetricValues:
        """Return the values and their age in seconds; {} when they are too old to count as current."""
        age_s = time.monotonic() - self._read_s
        return {} if age_s > self._stale_s else self._values | {self._age_metric: max(0.0, age_s)}

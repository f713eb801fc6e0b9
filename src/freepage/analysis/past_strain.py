"""Signs that the node was short of memory in the days before a run, as a Prometheus has them hour by hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from freepage.analysis.strain import STALLED_FRACTION, Strain

if TYPE_CHECKING:
    from freepage.store import Run

# The metrics of the profile (prometheus/profile.toml), each with one number for each hour and node.
STALLED, SWAPPED, KILLS, AVAILABLE = METRICS = (
    "stalled_before",
    "swapped_out_before",
    "oom_kills_before",
    "available_before",
)
# A kernel swaps out what nobody uses, and kills by a cgroup's own limit: both are want of the node's memory only where less than
# this share of it was left in some hour.
LITTLE_LEFT = 0.1


@dataclass(frozen=True)
class PastStrain:
    """The want of memory on a run's nodes in the hours before it of which something is known; None is not known.

    strain: the share of the hour in which tasks stalled most; pages swapped out and kills of all hours. least_available: the
    least share of its memory that a node had left.
    """

    hours: int
    strain: Strain
    least_available: float | None

    @property
    def is_short(self) -> bool | None:
        """Whether the node was short of memory: None where no sign of it is known."""
        if self.strain.is_short is None:
            return None
        stalled = (self.strain.stalled_fraction or 0.0) >= STALLED_FRACTION
        little_left = self.least_available is None or self.least_available < LITTLE_LEFT
        return stalled or bool(little_left and (self.strain.swapped_pages or self.strain.kills))

    @property
    def span(self) -> str:
        """The hours in words: "7 days"."""
        return f"{self.hours / 24:.0f} days" if self.hours >= 48 else f"{self.hours} h"

    def describe(self) -> str:
        """Return what was seen, and nothing of what was not."""
        left = self.least_available
        words = "" if left is None else f"at least {left * 100:.0f}\u00a0% of its memory available"
        return ", ".join(filter(None, (self.strain.describe("an hour"), words)))


def find_past_strain(run: Run) -> PastStrain | None:
    """Return the strain of a run's nodes before it; None where no Prometheus was asked for it."""
    collected = run.prometheus
    if collected is None or all(metric["id"] != STALLED for metric in collected.info["metrics"]):
        return None
    known = collected.samples.filter(pl.col("metric").is_in(METRICS) & pl.col("value").is_not_null())
    stalled, swapped, kills, available = (
        known.filter(pl.col("metric") == name)["value"].to_list() for name in METRICS
    )
    return PastStrain(
        known["wall_s"].n_unique(),
        Strain(max(stalled, default=None), _total(swapped), _total(kills)),
        min(available, default=None),
    )


def _total(values: list[float]) -> float | None:
    """Return the whole number of what was counted in all hours, which a server extrapolates to each."""
    return float(round(sum(values))) if values else None

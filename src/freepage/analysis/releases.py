"""Releases of one trial: instances free all they hold, and what of it has left the host before they allocate again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

import polars as pl

from freepage.analysis.arithmetic import divide
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.series import SKEW_S, held_steps, instances_of, resident_series
from freepage.records import Action
from freepage.units import GIB

if TYPE_CHECKING:
    from freepage.analysis.estimates import TrialValues
    from freepage.store import TrialData

# An instance that holds nothing for less than this is no release to measure: FPR's first pass comes after 2 s.
LEAST_WINDOW_S = 3.5
# Shares of what is owed, with the time until they are back and how many releases got there.
SHARES = (
    (0.5, Quantity.RELEASE_T50, TrialOnly.RELEASE_T50_COUNT),
    (0.9, Quantity.RELEASE_T90, TrialOnly.RELEASE_T90_COUNT),
    (0.99, Quantity.RELEASE_T99, TrialOnly.RELEASE_T99_COUNT),
)


@dataclass(frozen=True)
class Release:
    """One time at which an instance freed all it held, and what came of it until it allocated again.

    owed_bytes: what should come back, the greater of what was just freed and what the instance had resident above its
    idle footprint (earlier frees may still be on their way); that is the lesser of its resident memory before the
    schedule and at the window's end. before_bytes, end_bytes: resident memory just before the
    free and at the end of the window. curve: (seconds since the free, share of what is owed that has left the host).
    """

    instance: str
    owed_bytes: float
    window_s: float
    before_bytes: float
    end_bytes: float
    curve: tuple[tuple[float, float], ...]

    @property
    def given_back_fraction(self) -> float:
        return (self.before_bytes - self.end_bytes) / self.owed_bytes

    def time_to_share_s(self, share: float) -> float | None:
        """Return the seconds until `share` of what was freed is back, between samples; None when it never was."""
        previous = (0.0, 0.0)
        for point in self.curve:
            if point[1] >= share:
                rise = point[1] - previous[1]
                return (
                    point[0] - (point[0] - previous[0]) * (point[1] - share) / rise if rise > 0 else point[0]
                )
            previous = point
        return None


def find_releases(trial: TrialData) -> list[Release]:
    """Return every release of the trial: an instance's last block freed, and nothing allocated for a while after it."""
    found = [
        _measure_release(trial, instance, before, at_s)
        for instance in instances_of(trial)
        for (_, before), (at_s, held) in pairwise(held_steps(trial, instance))
        if held <= 0 < before
    ]
    return [release for release in found if release is not None]


def _measure_release(trial: TrialData, instance: str, freed: float, at_s: float) -> Release | None:
    resident = resident_series(trial, instance)
    end_s = _next_allocation_s(trial, instance, at_s)
    floor, before, end = (resident.last_before(t - SKEW_S) for t in (0.0, at_s, end_s))
    after = resident.known().between(at_s, end_s)
    if end_s - at_s < LEAST_WINDOW_S or before is None or end is None or len(after.t_s) < 2:
        return None
    owed = max(freed, before - min(end, before if floor is None else floor))
    shares = (before - after.values) / owed
    curve = tuple(zip((after.t_s - at_s).tolist(), shares.tolist(), strict=True))
    return Release(instance, owed, end_s - at_s, before, end, curve)


def _next_allocation_s(trial: TrialData, instance: str, after_s: float) -> float:
    """Return when the instance's next allocation started, or the trial's end."""
    rows = trial.events.filter((pl.col("instance") == instance) & (pl.col("action") == Action.ALLOCATE))
    later: list[float] = [t for t in rows["t_s"].to_list() if t > after_s]
    return min(later, default=trial.record.planned_duration_s)


def measure_releases(trial: TrialData) -> TrialValues:
    """Return what the trial's releases gave back, and how fast; a time only where every release got that far."""
    releases = find_releases(trial)
    owed = sum(r.owed_bytes for r in releases)
    back = sum(r.before_bytes - r.end_bytes for r in releases)
    values: TrialValues = {
        Quantity.GIVEN_BACK: divide(back, owed),
        TrialOnly.RELEASES: float(len(releases)),
    }
    for share, time, count in SHARES:
        times = [t for t in (r.time_to_share_s(share) for r in releases) if t is not None]
        values[time] = fmean(times) if times and len(times) == len(releases) else None
        values[count] = float(len(times))
    first_gib = 0.9 * owed / len(releases) / GIB if releases else None
    values[Quantity.RELEASE_RATE] = divide(first_gib, values[Quantity.RELEASE_T90])
    return values

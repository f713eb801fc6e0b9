"""Releases of one trial: instances free all they hold, and what of it has left the host before they allocate again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf
from statistics import fmean, median
from typing import TYPE_CHECKING

import polars as pl

from freepage.analysis.arithmetic import divide
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.once import once_per_trial
from freepage.analysis.series import clock_uncertainty_s, held_steps, instances_of, resident_series, vms_of
from freepage.fpr.mechanics import stretch_of
from freepage.records import Action
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freepage.analysis.estimates import TrialValues
    from freepage.analysis.series import Series
    from freepage.store import TrialData

# An instance that holds nothing for less than this is no release to measure: FPR's first pass comes after 2 s. Longer
# where a guest's kernel waits longer.
LEAST_WINDOW_S = 3.5
# A block that took pages which were resident before the schedule is not seen on the host, nor is its return: at least this
# share of it has to stand out (fills.py as well).
LEAST_SEEN = 0.5
# Shares of what is owed, with the time until they are back and how many releases got there.
SHARES = (
    (0.5, Quantity.RELEASE_T50, TrialOnly.RELEASE_T50_COUNT),
    (0.9, Quantity.RELEASE_T90, TrialOnly.RELEASE_T90_COUNT),
    (0.99, Quantity.RELEASE_T99, TrialOnly.RELEASE_T99_COUNT),
)


@dataclass(frozen=True)
class Free:
    """One time at which an instance freed the last block it held, long enough before it allocates again.

    bytes: what it freed then. uncertainty_s: how far its time and a sample's may be apart when they agree.
    """

    instance: str
    at_s: float
    bytes: float
    end_s: float
    uncertainty_s: float


@dataclass(frozen=True)
class Release:
    """One free with what came of it until the instance allocated again.

    owed_bytes: what should come back, the greater of what was just freed and what the instance had resident above its
    idle footprint (earlier frees may still be on their way); that is the lesser of its resident memory before the
    schedule and at the window's end. before_bytes, end_bytes: resident memory before the free, once all that was freed had been
    touched, and at the end of the window. curve: (seconds since the free, share of what is owed that has left the host).
    at_s: the time of the free.
    """

    instance: str
    owed_bytes: float
    window_s: float
    before_bytes: float
    end_bytes: float
    curve: tuple[tuple[float, float], ...]
    uncertainty_s: float = 0.0
    at_s: float = 0.0

    @property
    def given_back_fraction(self) -> float:
        return (self.before_bytes - self.end_bytes) / self.owed_bytes

    def time_to_share_s(self, share: float) -> tuple[float, float] | None:
        """Return the span of seconds after the free in which `share` of what is owed came back; None when it never did."""
        return find_span(self.curve, share, self.uncertainty_s)

    @property
    def fall_s(self) -> float | None:
        """The seconds from 10 % to 90 % back, the middle of what samples allow; None when it never got there."""
        begun, done = (self.time_to_share_s(share) for share in (0.1, 0.9))
        if begun is None or done is None:
            return None
        return fmean([max(0.0, done[0] - begun[1]), done[1] - begun[0]])


def find_span(
    curve: Sequence[tuple[float, float]], share: float, uncertainty_s: float
) -> tuple[float, float] | None:
    """Return the span in which a curve of (seconds, share) reached `share`; None when it never did.

    It lies between the first sample that shows it and the one before, or the start: nothing is known between them.
    """
    before_s = 0.0
    for t_s, reached in curve:
        if reached >= share:
            return max(0.0, before_s - uncertainty_s), t_s + uncertainty_s
        before_s = t_s
    return None


def find_frees(trial: TrialData) -> Iterator[Free]:
    """Yield every free of an instance's last block after which it allocates nothing for a while."""
    least_s = LEAST_WINDOW_S * stretch_of(trial.record.evidence)
    for instance in instances_of(trial):
        uncertainty_s, allocated = clock_uncertainty_s(trial, instance), _find_allocations(trial, instance)
        for (_, before), (at_s, held) in pairwise(held_steps(trial, instance)):
            if held <= 0 < before:
                later = [start_s for start_s, _, _ in allocated if start_s > at_s]
                end_s = min(later, default=trial.record.planned_duration_s)
                if end_s - at_s >= least_s:
                    yield Free(instance, at_s, before, end_s, uncertainty_s)


def find_releases(trial: TrialData) -> list[Release]:
    """Return every release whose memory was seen: before the free, and until the instance allocated again."""
    found = (_measure_release(trial, free) for free in find_frees(trial))
    return [release for release in found if release is not None]


def _measure_release(trial: TrialData, free: Free) -> Release | None:
    resident, margin_s = resident_series(trial, free.instance).known(), free.uncertainty_s
    before = _find_held_bytes(trial, free, resident)
    floor, end = (resident.last_before(t - margin_s) for t in (0.0, free.end_s))
    after = resident.between(free.at_s + margin_s, free.end_s - margin_s)
    if before is None or end is None or len(after.t_s) < 2:
        return None
    above_idle = before - min(end, before if floor is None else floor)
    if above_idle < LEAST_SEEN * free.bytes:
        return None
    owed = max(free.bytes, above_idle)
    shares = (before - after.values) / owed
    curve = tuple(zip((after.t_s - free.at_s).tolist(), shares.tolist(), strict=True))
    return Release(free.instance, owed, free.end_s - free.at_s, before, end, curve, margin_s, free.at_s)


def _find_held_bytes(trial: TrialData, free: Free, resident: Series) -> float | None:
    """Return resident memory once all that is freed had been touched: a sample from after the last allocation's end.

    In a container without one: the sample before that allocation, and its bytes, every page of which is a new one. A guest
    may take pages again that never left the host, so there nothing can tell.
    """
    margin_s = free.uncertainty_s
    earlier = [a for a in _find_allocations(trial, free.instance) if a[0] < free.at_s]
    touched_s = max(end_s for _, end_s, _ in earlier)
    seen = resident.last_between(touched_s + margin_s, free.at_s - margin_s)
    if seen is not None or free.instance in vms_of(trial):
        return seen
    start_s, _, size = max(earlier)
    steps = trial.events.filter((pl.col("instance") == free.instance) & (pl.col("t_s") < start_s))
    untouched_s = max(steps["end_s"].to_list(), default=-inf)
    seen = resident.last_between(untouched_s + margin_s, start_s - margin_s)
    return None if seen is None else seen + size


def _find_allocations(trial: TrialData, instance: str) -> list[tuple[float, float, float]]:
    """Return an instance's allocations: start, end, bytes."""
    return _list_allocations(trial).get(instance, [])


@once_per_trial
def _list_allocations(trial: TrialData) -> dict[str, list[tuple[float, float, float]]]:
    """Return the allocations of each instance, in the order of the events."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    rows = trial.events.filter(pl.col("action") == Action.ALLOCATE)
    for instance, *allocation in rows.select("instance", "t_s", "end_s", "bytes").iter_rows():
        start_s, end_s, size = allocation
        found.setdefault(instance, []).append((start_s, end_s, size))
    return found


def measure_releases(trial: TrialData) -> TrialValues:
    """Return what the trial's releases gave back, and how fast; a share only where most of them were seen."""
    releases, count = find_releases(trial), sum(1 for _ in find_frees(trial))
    seen = releases if 2 * len(releases) > count else []
    owed = sum(r.owed_bytes for r in seen)
    back = sum(r.before_bytes - r.end_bytes for r in seen)
    values: TrialValues = {
        Quantity.GIVEN_BACK: divide(back, owed),
        TrialOnly.RELEASES: float(len(seen)),
        TrialOnly.RELEASES_UNSEEN: float(count - len(releases)),
        TrialOnly.RELEASE_WINDOW: min((r.window_s for r in seen), default=None),
    }
    for share, time, reached in SHARES:
        spans = [r.time_to_share_s(share) for r in seen]
        values[time] = _find_median(spans)
        values[reached] = float(sum(span is not None for span in spans))
    values[Quantity.RELEASE_FALL] = _find_median([None if (s := r.fall_s) is None else (s, s) for r in seen])
    return values | _measure_pace(seen, values[Quantity.RELEASE_T90])


def _find_median(spans: Sequence[tuple[float, float] | None]) -> float | None:
    """Return the median of the spans' middles; one that ended before the share was back lies beyond every other.

    None where that makes the median unknown: half of the releases, or more, did not get there.
    """
    middles = [fmean(span) if span is not None else inf for span in spans]
    found = median(middles) if middles else inf
    return None if found == inf else found


def _measure_pace(releases: Sequence[Release], t90_s: float | None) -> TrialValues:
    """Return how finely the time until 90 % is known, and the pace of a release that took longer than that."""
    spans = [span for r in releases if (span := r.time_to_share_s(0.9)) is not None]
    width_s = median(high - low for low, high in spans) if spans else None
    seen_in_time = t90_s is not None and width_s is not None and t90_s > width_s / 2
    owed_gib = fmean(r.owed_bytes for r in releases) / GIB if releases else None
    return {
        Quantity.RELEASE_RESOLUTION: width_s,
        Quantity.RELEASE_RATE: divide(0.9 * owed_gib, t90_s) if owed_gib and seen_in_time else None,
    }

"""Time series of one trial: memory in use, resident memory, demand; times in seconds since its zero, bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.arithmetic import subtract
from freepage.analysis.once import once_per_trial
from freepage.analysis.steps import steps_of
from freepage.metrics import INSTANCE_METRICS, NODE_METRICS, node_in_use_bytes
from freepage.records import NODE, Action, Arm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from freepage.records import ProcessSchedule
    from freepage.store import TrialData

# Two samples further apart than this many intervals have a gap between them.
GAP_INTERVALS = 2.5
# Two readings of another machine this close are one reading seen at two ticks.
SAME_READING_S = 0.02
# Which metric says how old another one was when it was written.
_AGE_OF = {m.id: "node_sample_age_s" for m in NODE_METRICS} | {m.id: "usage_age_s" for m in INSTANCE_METRICS}
# A tick reads its numbers within so many seconds after its time; one that a network carried, within so many.
READ_S = 0.01
CARRIED_READ_S = 0.05
_NOTHING = np.array([], dtype=float)
BUSY_STATES = ("user", "nice", "system", "irq", "softirq")


@dataclass(frozen=True)
class Series:
    """Values at times; a missing value is NaN here, and a gap wherever it is shown."""

    t_s: NDArray[np.float64]
    values: NDArray[np.float64]

    def known(self) -> Series:
        return self.keep(~np.isnan(self.values))

    def between(self, start_s: float, end_s: float) -> Series:
        return self.keep((self.t_s >= start_s) & (self.t_s <= end_s))

    def cut(self, start_s: float, end_s: float) -> Series:
        """Return the known values within a span, and those at its two ends interpolated between samples.

        Without a sample beyond an end the span ends at the last sample within it.
        """
        known = self.known()
        if not len(known.t_s):
            return known
        first, last = max(start_s, known.t_s[0]), min(end_s, known.t_s[-1])
        inside = known.between(first, last).t_s
        times = np.unique(np.concatenate([inside, [first, last]])) if first <= last else inside
        return Series(times, np.interp(times, known.t_s, known.values))

    def keep(self, chosen: NDArray[np.bool_]) -> Series:
        return Series(self.t_s[chosen], self.values[chosen])

    def last_between(self, start_s: float, end_s: float) -> float | None:
        """Return the last known value within a span."""
        known = self.known().between(start_s, end_s)
        return float(known.values[-1]) if len(known.values) else None

    def last_before(self, t_s: float) -> float | None:
        """Return the last known value at or before a time."""
        return self.last_between(-np.inf, t_s)

    def mean(self) -> float | None:
        """Return the mean over time (trapezoids): how many samples fall into a stretch does not weigh."""
        area, known = self.integral(), self.known()
        if area is None:
            return float(known.values[0]) if len(known.values) else None
        return area / float(known.t_s[-1] - known.t_s[0])

    def median(self) -> float | None:
        return float(np.nanmedian(self.values)) if len(self.known().values) else None

    def maximum(self) -> float | None:
        return float(np.nanmax(self.values)) if len(self.known().values) else None

    def rise(self) -> float | None:
        """Return the last known value less the first."""
        known = self.known().values
        return float(known[-1] - known[0]) if len(known) > 1 else None

    def integral(self) -> float | None:
        """Return the integral over the known values (trapezoids), in value x seconds."""
        known = self.known()
        return float(np.trapezoid(known.values, known.t_s)) if len(known.values) > 1 else None


def metric_series(trial: TrialData, entity: str, metric: str) -> Series:
    """Return one metric of one entity, missing values as NaN."""
    series = Series(*trial.samples_by_metric.get((entity, metric), (_NOTHING, _NOTHING)))
    return _at_own_times(trial, entity, _AGE_OF.get(metric), series)


def _at_own_times(trial: TrialData, entity: str, ages: str | None, series: Series) -> Series:
    """Return numbers of another machine at the times they were read there; one seen at two ticks counts once."""
    told = trial.samples_by_metric.get((entity, ages or ""))
    if told is None:
        return series
    known = Series(*told).known()
    if not len(known.t_s):
        return series
    age_s = dict(zip(known.t_s.tolist(), known.values.tolist(), strict=True))
    read_s = series.t_s - np.array([age_s.get(t, 0.0) for t in series.t_s.tolist()])
    first = np.diff(read_s, prepend=-np.inf) > SAME_READING_S
    return Series(read_s[first], series.values[first])


@once_per_trial
def node_in_use_series(trial: TrialData) -> Series:
    """Return the node's memory in use (metrics.node_in_use_bytes) at every tick."""
    return node_series(trial, node_in_use_bytes)


def node_series(trial: TrialData, formula: Callable[[Mapping[str, float | None]], float | None]) -> Series:
    """Return what a formula makes of the node's values at every tick."""
    ticks = _ticks_of_node(trial)
    values = [formula(ticks[t_s]) for t_s in sorted(ticks)]
    found = np.array([np.nan if v is None else v for v in values], dtype=float)
    return _at_own_times(
        trial, NODE, "node_sample_age_s", Series(np.array(sorted(ticks), dtype=float), found)
    )


@once_per_trial
def _ticks_of_node(trial: TrialData) -> dict[float, dict[str, float | None]]:
    """Return the node's values by metric at each time; missing ones are None."""
    ticks: dict[float, dict[str, float | None]] = {}
    mine = {metric: read for (entity, metric), read in trial.samples_by_metric.items() if entity == NODE}
    for metric, (t_s, values) in mine.items():
        for at_s, value in zip(t_s.tolist(), values.tolist(), strict=True):
            ticks.setdefault(at_s, dict.fromkeys(mine))[metric] = None if math.isnan(value) else value
    return ticks


def baseline_bytes(trial: TrialData, node: Series) -> float | None:
    """Return the node's memory in use before the trial's instances started: the median of those ticks.

    The first sample of an instance comes up to one tick after it was ready; that tick is left out, since it may show
    an instance that is starting.
    """
    instances = set(instances_of(trial))
    firsts = (t_s[0] for (entity, _), (t_s, _) in trial.samples_by_metric.items() if entity in instances)
    ready_s = float(min(firsts, default=0.0))
    tick_s = float(np.median(np.diff(node.t_s))) if len(node.t_s) > 1 else 0.0
    return node.between(-1e9, ready_s - (trial.record.ready_s or 0.0) - tick_s - 1e-3).median()


def resident_series(trial: TrialData, instance: str) -> Series:
    """Return an instance's resident memory on the host: RSS and swap of its processes."""
    rss, swap = metric_series(trial, instance, "rss_bytes"), metric_series(trial, instance, "swap_bytes")
    if len(swap.t_s) != len(rss.t_s):
        return rss
    return Series(rss.t_s, rss.values + np.nan_to_num(swap.values))


def instances_of(trial: TrialData) -> list[str]:
    return sorted(trial.schedules)


def vms_of(trial: TrialData) -> list[str]:
    """Return the instances that are VMs, by their evidence; without any, by the trial's arm."""
    seen = {e.instance: e.is_of_vm for e in trial.record.evidence}
    return [i for i in instances_of(trial) if seen.get(i, trial.record.arm in {Arm.VM, Arm.VM_FPR})]


def runs_programs(trial: TrialData, instance: str) -> bool:
    """Return whether an instance runs programs, whose memory and CPU nobody knows beforehand."""
    return any(step.action is Action.RUN for p in trial.schedules[instance] for step in p.steps)


def clock_uncertainty_s(trial: TrialData, instance: str | None = None) -> float:
    """Return how far apart an event of an instance and a sample may really be when their times agree, in seconds.

    Half the round trips of the clocks' comparison, by how much the clocks moved against each other over the trial, and
    how long a tick takes to read its numbers; without an instance, the most of all instances.
    """
    names = [instance] if instance else instances_of(trial)
    carried = any((name, "usage_age_s") in trial.samples_by_metric for name in names)
    apart = max((_clock_error_s(trial, name) for name in names), default=0.0)
    return apart + (CARRIED_READ_S if carried else READ_S)


def _clock_error_s(trial: TrialData, instance: str) -> float:
    start, end = (clock.get(instance) for clock in (trial.record.clock_start, trial.record.clock_end))
    known = [c for c in (start, end) if c is not None]
    moved = abs(end.offset_s - start.offset_s) if start and end else 0.0
    return max((c.uncertainty_s for c in known), default=0.0) + moved


def demand_steps(schedules: Iterable[ProcessSchedule]) -> list[tuple[float, float]]:
    """Return the schedule's own demand as a staircase: (time, bytes held from then on)."""
    steps = (step for schedule in schedules for step in schedule.steps)
    return _accumulate([(s.at_s, float(s.bytes if s.action is Action.ALLOCATE else -s.bytes)) for s in steps])


def held_steps(trial: TrialData, instance: str) -> list[tuple[float, float]]:
    """Return what an instance's processes really held, from their events: (time, bytes held from then on).

    A block counts from the start of its allocation to the start of its free, so that memory on its way to being used
    is never taken for memory kept without need.
    """
    steps = (step for step in steps_of(trial, instance) if step.ok)
    return _accumulate([(s.t_s, float(s.bytes if s.action == Action.ALLOCATE else -s.bytes)) for s in steps])


def growth(trial: TrialData, entity: str, metric: str) -> float | None:
    """Return how much a counter grew over the trial."""
    known = metric_series(trial, entity, metric).known()
    start = known.last_before(0)
    end = known.last_before(trial.record.planned_duration_s + 0.5)
    return subtract(end, start)


def _accumulate(changes: list[tuple[float, float]]) -> list[tuple[float, float]]:
    total = 0.0
    steps: list[tuple[float, float]] = []
    for at_s, change in sorted(changes):
        total += change
        if steps and steps[-1][0] == at_s:
            steps.pop()
        steps.append((at_s, total))
    return steps


def sample_steps(steps: Sequence[tuple[float, float]], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of a staircase on a grid of times."""
    times = np.array([s[0] for s in steps])
    values = np.array([0.0, *(s[1] for s in steps)])
    return values[np.searchsorted(times, grid, side="right")]


def hold(series: Series, grid: NDArray[np.float64], interval_s: float) -> NDArray[np.float64]:
    """Return a series on a grid as its last sample saw it; NaN inside gaps and outside of what was measured."""
    known = series.known()
    if len(known.t_s) < 2:
        return np.full(len(grid), np.nan)
    at = np.clip(np.searchsorted(known.t_s, grid, side="right") - 1, 0, len(known.t_s) - 1)
    seen_s, next_s = known.t_s[at], np.append(known.t_s[1:], known.t_s[-1] + interval_s)[at]
    in_gap = (next_s - seen_s > GAP_INTERVALS * interval_s) & (grid > seen_s)
    return np.where(in_gap | (grid < seen_s) | (grid > next_s), np.nan, known.values[at])


def smooth(series: Series, window_s: float) -> Series:
    """Return the mean of the known samples within half a window on either side of each; missing ones stay missing."""
    known = series.known()
    sums = np.concatenate([[0.0], np.cumsum(known.values)])
    half_s = window_s / 2 + 1e-9
    first = np.searchsorted(known.t_s, known.t_s - half_s, side="left")
    last = np.searchsorted(known.t_s, known.t_s + half_s, side="right")
    values = np.full(len(series.t_s), np.nan)
    values[~np.isnan(series.values)] = (sums[last] - sums[first]) / (last - first)
    return Series(series.t_s, values)


def resample(series: Series, grid: NDArray[np.float64], interval_s: float) -> NDArray[np.float64]:
    """Return a series interpolated on a grid; NaN inside gaps and outside of what was measured."""
    known = series.known()
    if len(known.t_s) < 2:
        return np.full(len(grid), np.nan)
    values = np.interp(grid, known.t_s, known.values, left=np.nan, right=np.nan)
    after = np.clip(np.searchsorted(known.t_s, grid), 1, len(known.t_s) - 1)
    values[known.t_s[after] - known.t_s[after - 1] > GAP_INTERVALS * interval_s] = np.nan
    return values


def rate_series(series: Series) -> Series:
    """Return a counter's growth per second between samples, each at the later one's time; NaN across missing values."""
    if len(series.t_s) < 2:
        return Series(np.array([]), np.array([]))
    return Series(series.t_s[1:], np.diff(series.values) / np.diff(series.t_s))


@once_per_trial
def busy_cores_series(trial: TrialData) -> Series:
    """Return how many cores the host was busy with: user, nice, system and interrupt time per second."""
    counters = [metric_series(trial, NODE, f"cpu_{state}_s") for state in BUSY_STATES]
    return rate_series(Series(counters[0].t_s, np.sum([c.values for c in counters], axis=0)))

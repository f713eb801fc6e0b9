"""The numbers of one trial, from its samples and events alone. docs/method.md says how each is defined."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.series import (
    BUSY_STATES,
    Series,
    baseline_bytes,
    busy_cores_series,
    held_steps,
    instances_of,
    metric_series,
    node_in_use_series,
    resident_series,
    sample_steps,
)
from freepage.kinds import Subject, find_kind
from freepage.records import NODE, Action
from freepage.units import GIB

if TYPE_CHECKING:
    from freepage.store import TrialData

# An instance that holds nothing for less than this is no release to measure: FPR's first pass comes after 2 s.
LEAST_WINDOW_S = 3.5
# A sample is read a little after its time, and an instance's clock is known to a few milliseconds: what is to be seen
# before a step is read from a sample at least this much older.
SKEW_S = 0.05
# Falls of resident memory from one sample to the next that are smaller than this are noise.
LEAST_FALL_BYTES = 1024.0**2
# How long after a free of instances that act together its CPU is watched: FPR's passes are 2 s apart.
RELEASE_WATCH_S = 10.0
# A rate stands at the end of its sampling interval: the one a step ends in is looked at too.
TICK_S = 1.0
SHARES = (0.5, 0.9, 0.99)


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
        """Give the seconds until `share` of what was freed is back, between samples; None when it never was."""
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
    """Find every release of the trial: an instance's last block freed, and nothing allocated for a while after it."""
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
    """Give when the instance's next allocation started, or the trial's end."""
    import polars as pl

    rows = trial.events.filter((pl.col("instance") == instance) & (pl.col("action") == Action.ALLOCATE))
    later: list[float] = [t for t in rows["t_s"].to_list() if t > after_s]
    return min(later, default=trial.record.planned_duration_s)


def measure_trial(trial: TrialData) -> dict[str, float | None]:
    """Give every number of a trial by its name in results.json; None where the trial cannot tell."""
    releases = find_releases(trial)
    node = node_in_use_series(trial)
    return (
        _measure_node(trial, node)
        | _measure_releases(releases)
        | _measure_allocations(trial)
        | _measure_excess(trial)
        | _measure_cpu(trial)
        | _measure_skew(trial)
        | _measure_commands(trial)
    )


def _measure_commands(trial: TrialData) -> dict[str, float | None]:
    """How long a user's program ran, mean over the times it ended well, and how often it did not."""
    import polars as pl

    if Subject.COMMAND not in find_kind(trial.record.kind).measures:
        return {"command_s": None, "command_failures": None}
    rows = trial.events.filter(pl.col("action") == Action.RUN)
    well: list[float] = rows.filter("ok")["wall_s"].to_list()
    return {"command_s": fmean(well) if well else None, "command_failures": float(len(rows) - len(well))}


def _measure_node(trial: TrialData, node: Series) -> dict[str, float | None]:
    baseline = baseline_bytes(trial, node)
    during = node.between(0, trial.record.planned_duration_s)
    idle = node.last_before(-SKEW_S)
    count = len(instances_of(trial))
    return {
        "baseline_bytes": baseline,
        "node_in_use_mean_bytes": _minus(during.mean(), baseline),
        "node_in_use_max_bytes": _minus(during.maximum(), baseline),
        "node_in_use_mean_per_instance_bytes": _share(_minus(during.mean(), baseline), count),
        "node_in_use_absolute_mean_bytes": during.mean(),
        "node_in_use_absolute_max_bytes": during.maximum(),
        "idle_overhead_bytes": _share(_minus(idle, baseline), count),
    }


def _measure_releases(releases: list[Release]) -> dict[str, float | None]:
    owed = sum(r.owed_bytes for r in releases)
    back = sum(r.before_bytes - r.end_bytes for r in releases)
    values: dict[str, float | None] = {
        "given_back_fraction": back / owed if owed else None,
        "releases": float(len(releases)),
    }
    for share in SHARES:
        name = f"release_t{share * 100:.0f}"
        times = [t for t in (r.time_to_share_s(share) for r in releases) if t is not None]
        values[f"{name}_s"] = fmean(times) if times and len(times) == len(releases) else None
        values[f"{name}_count"] = float(len(times))
    t90_s = values["release_t90_s"]
    values["release_rate_gib_s"] = 0.9 * owed / len(releases) / GIB / t90_s if t90_s and releases else None
    return values


def _measure_allocations(trial: TrialData) -> dict[str, float | None]:
    import polars as pl

    rows = trial.events.filter((pl.col("action") == Action.ALLOCATE) & pl.col("ok"))
    gib = float(sum(rows["bytes"].to_list())) / GIB
    values: dict[str, float | None] = {
        "alloc_s_per_gib": float(sum(rows["wall_s"].to_list())) / gib if gib else None
    }
    same_size = rows["bytes"].n_unique() == 1
    for kind in ("wall", "system", "user"):
        first = rows.filter(pl.col("iteration") == 0)[f"{kind}_s"].to_list() if same_size else []
        rest = rows.filter(pl.col("iteration") > 0)[f"{kind}_s"].to_list() if same_size else []
        prefix = "alloc" if kind == "wall" else f"alloc_{kind}"
        values[f"{prefix}_first_s"] = fmean(first) if first else None
        values[f"{prefix}_rest_s"] = fmean(rest) if rest else None
        if kind == "wall":
            values["alloc_rest_sd_s"] = stdev(rest) if len(rest) > 1 else None
    return values


def _measure_excess(trial: TrialData) -> dict[str, float | None]:
    """Memory kept though nobody asked for it: resident - idle footprint - held, integrated over the trial.

    What programs use is not known, so instances that run some are left out.
    """
    total: float | None = None
    for instance in instances_of(trial):
        if any(step.action is Action.RUN for p in trial.schedules[instance] for step in p.steps):
            continue
        resident = resident_series(trial, instance).known()
        during = resident.between(0, trial.record.planned_duration_s)
        if len(during.t_s) < 2:
            continue
        held = sample_steps(held_steps(trial, instance), during.t_s + SKEW_S)
        excess = np.maximum(during.values - resident.values.min() - held, 0.0)
        total = (total or 0.0) + (Series(during.t_s, excess).integral() or 0.0) / GIB
    return {"held_needlessly_gib_s": total}


def _measure_cpu(trial: TrialData) -> dict[str, float | None]:
    duration_s = trial.record.planned_duration_s
    busy = [_growth(trial, NODE, f"cpu_{state}_s") for state in BUSY_STATES]
    known_busy = [value for value in busy if value is not None]
    totals = [_growth(trial, i, "cpu_total_s") for i in instances_of(trial)]
    main = [_growth(trial, i, "cpu_main_loop_s") for i in instances_of(trial)]
    back_gib = sum(_fallen_bytes(trial, i) for i in instances_of(trial)) / GIB
    main_s = _sum(main)
    busy_cores = busy_cores_series(trial).between(0, duration_s)
    return {
        "node_cpu_peak_cores": busy_cores.maximum(),
        "cpu_alloc_peak_cores": _peak_cores(trial, busy_cores, Action.ALLOCATE),
        "cpu_release_peak_cores": _peak_cores(trial, busy_cores, Action.FREE),
        "vcpu_cpu_s": _sum([_growth(trial, i, "cpu_vcpu_s") for i in instances_of(trial)]),
        "guest_cpu_cores": _guest_cores(trial),
        "other_cpu_s": _sum([_growth(trial, i, "cpu_other_s") for i in instances_of(trial)]),
        "instance_cpu_s": _sum(totals),
        "given_back_gib": back_gib,
        "node_cpu_cores": sum(known_busy) / duration_s if known_busy else None,
        "instance_cpu_cores": None if _sum(totals) is None else (_sum(totals) or 0.0) / duration_s,
        "main_loop_cpu_s": main_s,
        "main_loop_cpu_s_per_gib": main_s / back_gib if main_s is not None and back_gib > 0.05 else None,
    }


def _guest_cores(trial: TrialData) -> float | None:
    """Give how many cores the guests say they were busy with, programs and kernels, between their first and last answer."""
    rates = []
    for instance in instances_of(trial):
        user, system = (
            metric_series(trial, instance, f"guest_cpu_{kind}_s")
            .known()
            .between(0, trial.record.planned_duration_s)
            for kind in ("user", "system")
        )
        if len(user.t_s) > 1 and len(system.t_s) > 1:
            busy_s = user.values[-1] - user.values[0] + system.values[-1] - system.values[0]
            rates.append(float(busy_s / (user.t_s[-1] - user.t_s[0])))
    return sum(rates) if rates else None


def _fallen_bytes(trial: TrialData, instance: str) -> float:
    """Give all that an instance's resident memory fell by, from one sample to the next."""
    steps = np.diff(
        resident_series(trial, instance).known().between(0, trial.record.planned_duration_s).values
    )
    return -float(steps[steps < -LEAST_FALL_BYTES].sum())


def _peak_cores(trial: TrialData, busy_cores: Series, action: Action) -> float | None:
    """Give the highest CPU of the host while instances that act together allocate, or after they free, until they allocate.

    None for kinds whose instances do not act together.
    """
    import polars as pl

    if not find_kind(trial.record.kind).synchronised:
        return None
    rows = trial.events.filter((pl.col("action") == action) & pl.col("ok"))
    spans = rows.group_by("iteration").agg(pl.col("planned_s").min(), pl.col("end_s").max())
    least_s = RELEASE_WATCH_S if action is Action.FREE else 0.0
    starts: list[float] = trial.events.filter(pl.col("action") == Action.ALLOCATE)["planned_s"].to_list()
    peaks = []
    for _, start_s, end_s in spans.iter_rows():
        until_s = max(end_s + TICK_S, start_s + least_s)
        if action is Action.FREE:
            until_s = min([until_s, *(s for s in starts if s > start_s)])
        peaks.append(busy_cores.between(start_s, until_s).maximum())
    return max((peak for peak in peaks if peak is not None), default=None)


def _measure_skew(trial: TrialData) -> dict[str, float | None]:
    """How far apart instances that start together really started: over iterations, the largest and the 99th percentile."""
    import polars as pl

    rows = trial.events.filter(pl.col("action") == Action.ALLOCATE)
    if not find_kind(trial.record.kind).synchronised or rows.is_empty():
        return {"start_skew_max_s": None, "start_skew_p99_s": None}
    behind = rows.select(pl.col("late_s") - pl.col("late_s").min().over("iteration"))["late_s"].to_numpy()
    return {"start_skew_max_s": float(behind.max()), "start_skew_p99_s": float(np.quantile(behind, 0.99))}


def _growth(trial: TrialData, entity: str, metric: str) -> float | None:
    """Give how much a counter grew over the trial."""
    known = metric_series(trial, entity, metric).known()
    start = known.last_before(0)
    end = known.last_before(trial.record.planned_duration_s + 0.5)
    return None if start is None or end is None else end - start


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _share(value: float | None, count: int) -> float | None:
    return None if value is None or not count else value / count


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None

"""CPU of one trial: of instances, of QEMU's threads, of the host; and how well common starts were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from freepage.analysis.arithmetic import add_known, divide
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.series import (
    BUSY_STATES,
    Series,
    busy_cores_series,
    growth,
    instances_of,
    metric_series,
    resident_series,
)
from freepage.kinds import find_kind
from freepage.records import NODE, Action
from freepage.units import GIB

if TYPE_CHECKING:
    from freepage.analysis.estimates import TrialValues
    from freepage.store import TrialData

# Falls of resident memory from one sample to the next that are smaller than this are noise.
LEAST_FALL_BYTES = 1024.0**2
# CPU time per GiB given back says nothing where next to nothing came back.
LEAST_GIVEN_BACK_GIB = 0.05
# How long after a free of instances that act together its CPU is watched: FPR's passes are 2 s apart.
RELEASE_WATCH_S = 10.0
# A rate stands at the end of its sampling interval: the one a step ends in is looked at too.
TICK_S = 1.0


def measure_cpu(trial: TrialData) -> TrialValues:
    """Return the CPU that instances and the host used over the trial."""
    duration_s = trial.record.planned_duration_s
    busy_s = add_known(growth(trial, NODE, f"cpu_{state}_s") for state in BUSY_STATES)
    busy_cores = busy_cores_series(trial).between(0, duration_s)
    total_s, main_s = (_total_s(trial, part) for part in ("total", "main_loop"))
    back_gib = sum(_fallen_bytes(trial, i) for i in instances_of(trial)) / GIB
    return {
        Quantity.NODE_CPU_PEAK: busy_cores.maximum(),
        Quantity.CPU_ALLOC_PEAK: _peak_cores(trial, busy_cores, Action.ALLOCATE),
        Quantity.CPU_RELEASE_PEAK: _peak_cores(trial, busy_cores, Action.FREE),
        Quantity.VCPU_CPU: _total_s(trial, "vcpu"),
        Quantity.GUEST_CPU: _guest_cores(trial),
        Quantity.OTHER_CPU: _total_s(trial, "other"),
        TrialOnly.INSTANCE_CPU_TIME: total_s,
        TrialOnly.GIVEN_BACK_GIB: back_gib,
        Quantity.NODE_CPU: divide(busy_s, duration_s),
        Quantity.INSTANCE_CPU: divide(total_s, duration_s),
        Quantity.MAIN_LOOP_CPU: main_s,
        Quantity.MAIN_LOOP_CPU_PER_GIB: divide(main_s, back_gib) if back_gib > LEAST_GIVEN_BACK_GIB else None,
    }


def measure_skew(trial: TrialData) -> TrialValues:
    """Return how far apart instances that start together really started: over iterations, the largest and the 99th percentile."""
    rows = trial.events.filter(pl.col("action") == Action.ALLOCATE)
    if not find_kind(trial.record.kind).synchronised or rows.is_empty():
        return {Quantity.SKEW_MAX: None, Quantity.SKEW_P99: None}
    behind = rows.select(pl.col("late_s") - pl.col("late_s").min().over("iteration"))["late_s"].to_numpy()
    return {Quantity.SKEW_MAX: float(behind.max()), Quantity.SKEW_P99: float(np.quantile(behind, 0.99))}


def _total_s(trial: TrialData, part: str) -> float | None:
    """Return the CPU seconds that one part of the threads of all instances used."""
    return add_known(growth(trial, i, f"cpu_{part}_s") for i in instances_of(trial))


def _guest_cores(trial: TrialData) -> float | None:
    """Return how many cores the guests say they were busy with, programs and kernels, between their first and last answer."""
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
    """Return all that an instance's resident memory fell by, from one sample to the next."""
    steps = np.diff(
        resident_series(trial, instance).known().between(0, trial.record.planned_duration_s).values
    )
    return -float(steps[steps < -LEAST_FALL_BYTES].sum())


def _peak_cores(trial: TrialData, busy_cores: Series, action: Action) -> float | None:
    """Return the highest CPU of the host while instances that act together allocate, or after they free, until they allocate.

    None for kinds whose instances do not act together.
    """
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

"""Steps of one trial that instances take together: how far apart they start, and how long processes wait for each other."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from freepage.analysis.estimates import Quantity
from freepage.kinds import find_kind
from freepage.records import Action

if TYPE_CHECKING:
    from freepage.analysis.estimates import TrialValues
    from freepage.store import TrialData


def measure_together(trial: TrialData) -> TrialValues:
    """Return the skew of common starts and the time in barriers; None where instances do not act together."""
    return _measure_skew(trial) | _measure_barriers(trial)


def has_barriers(trial: TrialData) -> bool:
    """Return whether steps of the trial wait for each other."""
    return any(step.barrier for processes in trial.schedules.values() for p in processes for step in p.steps)


def _measure_skew(trial: TrialData) -> TrialValues:
    """Return how far apart allocations that start together really started: over iterations, the largest and the 99th percentile."""
    rows = trial.events.filter(pl.col("action") == Action.ALLOCATE)
    together = find_kind(trial.record.kind).synchronised or has_barriers(trial)
    if not together or rows.is_empty():
        return {Quantity.SKEW_MAX: None, Quantity.SKEW_P99: None}
    behind = rows.select(pl.col("late_s") - pl.col("late_s").min().over("iteration"))["late_s"].to_numpy()
    return {Quantity.SKEW_MAX: float(behind.max()), Quantity.SKEW_P99: float(np.quantile(behind, 0.99))}


def _measure_barriers(trial: TrialData) -> TrialValues:
    """Return the seconds that a process waited in a barrier, over all its processes and steps: mean and longest."""
    waits = list(find_barrier_waits(trial)) if has_barriers(trial) else []
    return {
        Quantity.BARRIER_MEAN: fmean(waits) if waits else None,
        Quantity.BARRIER_MAX: max(waits, default=None),
    }


def find_barrier_waits(trial: TrialData) -> list[float]:
    """Return the seconds of every wait: from a step's own time, or the end of the one before, until all were released.

    The common start that they were told is the event's planned time (docs/worker-protocol.md).
    """
    steps = {
        (name, p.process, index): step
        for name, processes in trial.schedules.items()
        for p in processes
        for index, step in enumerate(p.steps)
    }
    rows = trial.events.sort("instance", "process", "index")
    ended: dict[tuple[str, int], float] = {}
    waits: list[float] = []
    for instance, process, index, planned_s, end_s in rows.select(
        "instance", "process", "index", "planned_s", "end_s"
    ).iter_rows():
        step = steps.get((instance, process, index))
        if step is not None and step.barrier:
            came_s = max(step.at_s, ended.get((instance, process), step.at_s))
            waits.append(max(0.0, planned_s - came_s))
        ended[instance, process] = end_s
    return waits

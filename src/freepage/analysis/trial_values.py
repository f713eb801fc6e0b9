"""The numbers of one trial, from its samples and events alone. docs/method.md says how each is defined."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from freepage.analysis.arithmetic import add_all, divide, subtract
from freepage.analysis.closure import measure_closure
from freepage.analysis.cpu import measure_cpu
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.fills import measure_fills
from freepage.analysis.fio import measure_io
from freepage.analysis.releases import measure_releases
from freepage.analysis.series import (
    Series,
    baseline_bytes,
    clock_uncertainty_s,
    held_steps,
    instances_of,
    node_in_use_series,
    resident_series,
    runs_programs,
    sample_steps,
)
from freepage.analysis.steps import steps_of
from freepage.analysis.together import measure_together
from freepage.kinds import Subject, find_kind
from freepage.records import Action
from freepage.units import GIB

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freepage.analysis.estimates import TrialValues
    from freepage.store import TrialData

# The first and the later allocations: their wall, system and user time.
_ALLOCATIONS = (
    ("wall_s", Quantity.ALLOC_FIRST, Quantity.ALLOC_REST),
    ("system_s", Quantity.ALLOC_SYSTEM_FIRST, Quantity.ALLOC_SYSTEM_REST),
    ("user_s", Quantity.ALLOC_USER_FIRST, Quantity.ALLOC_USER_REST),
)


def measure_trial(trial: TrialData) -> TrialValues:
    """Return every number of a trial; None where the trial cannot tell."""
    return (
        _measure_node(trial)
        | measure_releases(trial)
        | _measure_allocations(trial)
        | _measure_frees(trial)
        | measure_fills(trial)
        | _measure_excess(trial)
        | measure_cpu(trial)
        | measure_together(trial)
        | _measure_commands(trial)
        | measure_io(trial)
        | measure_closure(trial)
    )


def _measure_node(trial: TrialData) -> TrialValues:
    node = node_in_use_series(trial)
    baseline, idle = baseline_bytes(trial, node), node.last_before(-clock_uncertainty_s(trial))
    during = node.cut(0, trial.record.planned_duration_s)
    mean, peak, count = during.mean(), during.maximum(), len(instances_of(trial))
    return {
        TrialOnly.BASELINE: baseline,
        Quantity.NODE_MEAN: subtract(mean, baseline),
        Quantity.NODE_MAX: subtract(peak, baseline),
        TrialOnly.NODE_MEAN_PER_INSTANCE: divide(subtract(mean, baseline), count),
        Quantity.NODE_ABSOLUTE_MEAN: mean,
        Quantity.NODE_ABSOLUTE_MAX: peak,
        Quantity.IDLE_OVERHEAD: divide(subtract(idle, baseline), count),
    }


def _measure_allocations(trial: TrialData) -> TrialValues:
    """Return how long allocations took; the first and the later ones apart only where all are of one size."""
    rows = trial.events.filter((pl.col("action") == Action.ALLOCATE) & pl.col("ok"))
    gib = float(sum(rows["bytes"].to_list())) / GIB
    values: TrialValues = {Quantity.ALLOC_PER_GIB: divide(float(sum(rows["wall_s"].to_list())), gib)}
    first, rest = _split(rows)
    for column, of_first, of_rest in _ALLOCATIONS:
        values[of_first] = fmean(first[column].to_list()) if len(first) else None
        values[of_rest] = fmean(rest[column].to_list()) if len(rest) else None
        if of_rest is Quantity.ALLOC_REST:
            values[Quantity.ALLOC_REST_SD] = stdev(rest[column].to_list()) if len(rest) > 1 else None
    return values


def _measure_frees(trial: TrialData) -> TrialValues:
    """Return how long frees took as the processes see them; the first and the later ones, where all are of one size."""
    first, rest = (
        rows["wall_s"].to_list()
        for rows in _split(trial.events.filter((pl.col("action") == Action.FREE) & pl.col("ok")))
    )
    return {
        Quantity.FREE_FIRST: fmean(first) if first else None,
        Quantity.FREE_REST: fmean(rest) if rest else None,
        Quantity.FREE_REST_SD: stdev(rest) if len(rest) > 1 else None,
    }


def _split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the first step of each process and the later ones; neither where blocks differ in size."""
    same = rows if rows["bytes"].n_unique() == 1 else rows.clear()
    return same.filter(pl.col("iteration") == 0), same.filter(pl.col("iteration") > 0)


def _measure_excess(trial: TrialData) -> TrialValues:
    """Return the memory kept though nobody asked for it: resident - idle footprint - held, integrated over the trial.

    What programs use is not known, so instances that run some are left out.
    """
    mine = [i for i in instances_of(trial) if not runs_programs(trial, i)]
    return {Quantity.HELD_NEEDLESSLY: divide(add_all(_find_excess(trial, i) for i in mine), GIB)}


def _find_excess(trial: TrialData, instance: str) -> float | None:
    """Return the bytes x seconds that one instance kept; samples that may lie on either side of an event are left out."""
    resident = resident_series(trial, instance).known()
    during = resident.cut(0, trial.record.planned_duration_s)
    clear = during.keep(~_is_ambiguous(trial, instance, during.t_s))
    if len(clear.t_s) < 2:
        return None
    held = sample_steps(held_steps(trial, instance), clear.t_s)
    excess = np.maximum(clear.values - resident.values.min() - held, 0.0)
    return Series(clear.t_s, excess).integral()


def _is_ambiguous(trial: TrialData, instance: str, t_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which times lie on an event's, as far as clocks can tell: a block's first touch, or all of its return."""
    margin_s = clock_uncertainty_s(trial, instance)
    found = np.zeros(len(t_s), dtype=bool)
    for step in steps_of(trial, instance):
        last_s = step.end_s if step.action == Action.FREE else step.t_s
        found |= (t_s >= step.t_s - margin_s) & (t_s <= last_s + margin_s)
    return found


def _measure_commands(trial: TrialData) -> TrialValues:
    """Return how long a user's program ran, mean over the times it ended well, and how often it did not."""
    if Subject.COMMAND not in find_kind(trial.record.kind).measures:
        return {Quantity.COMMAND_TIME: None, Quantity.COMMAND_FAILURES: None}
    rows = trial.events.filter(pl.col("action") == Action.RUN)
    well: list[float] = rows.filter("ok")["wall_s"].to_list()
    return {
        Quantity.COMMAND_TIME: fmean(well) if well else None,
        Quantity.COMMAND_FAILURES: float(len(rows) - len(well)),
    }

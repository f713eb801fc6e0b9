"""What CPU costs: synchronised bursts, and very fast allocation and release."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from freepage.analysis.trial_values import measure_trial
from freepage.errors import InstanceError
from freepage.kinds import KINDS
from freepage.records import (
    NODE,
    Action,
    Arm,
    EventLine,
    ProcessSchedule,
    SampleLine,
    Step,
    TrialRecord,
    TrialStatus,
)
from freepage.run.trial import _find_problem
from freepage.store import TrialWriter, load_trial
from freepage.units import MIB

RECORD = TrialRecord("001-burst-vm-1", "burst", Arm.VM, 0, 0, TrialStatus.OK, 40.0, kind="burst", ready_s=1.0)
EVENT = EventLine(0.0, 2.0, "burst-0", 0, 0, 0, "allocate", MIB, 0.0, 0.0, 2.0, 0.0, 2.0, 1, 0, ok=True)
LATENESS = {0: (0.010, 0.015, 0.050), 1: (0.2, 0.2, 0.201)}


def write_burst(folder, record=RECORD):
    """Three instances, two iterations of 20 s: allocate for 2 s with 3 cores busy, free at 5 s with 1.5 after it."""
    writer = TrialWriter(folder)
    steps = (Step(0.0, Action.ALLOCATE, MIB, 0), Step(5.0, Action.FREE, MIB, 0))
    writer.write_schedules({f"burst-{n}": [ProcessSchedule(0, steps)] for n in range(3)})
    for iteration, lateness in LATENESS.items():
        for n, late_s in enumerate(lateness):
            start_s = 20.0 * iteration + late_s
            common = {"instance": f"burst-{n}", "iteration": iteration}
            writer.write_event(
                replace(
                    EVENT, t_s=start_s, end_s=start_s + 2, planned_s=20.0 * iteration, late_s=late_s, **common
                )
            )
            free_s = 20.0 * iteration + 5
            writer.write_event(
                replace(EVENT, action="free", t_s=free_s, end_s=free_s + 0.01, planned_s=free_s, **common)
            )
    busy_s = 0.0
    for tick in range(-4, 41):
        in_iteration = tick % 20
        busy_s += (
            3.0 if 0 < in_iteration <= 2 and tick > 0 else 1.5 if 5 < in_iteration <= 8 and tick > 0 else 0.1
        )
        values = {f"cpu_{s}_s": 0.0 for s in ("nice", "system", "irq", "softirq")}
        writer.write_sample(SampleLine(float(tick), 0.0, {NODE: values | {"cpu_user_s": busy_s}}))
    writer.write_record(record)
    writer.seal()
    return load_trial(folder)


def test_the_skew_of_a_burst_is_what_each_start_lags_behind_the_first_of_its_iteration(tmp_path):
    values = measure_trial(write_burst(tmp_path))
    assert values["start_skew_max_s"] == pytest.approx(0.040)
    assert 0 < values["start_skew_p99_s"] <= 0.040


def test_the_peaks_of_a_burst_are_told_apart_by_what_instances_do(tmp_path):
    values = measure_trial(write_burst(tmp_path))
    assert values["cpu_alloc_peak_cores"] == pytest.approx(3.0)
    assert values["cpu_release_peak_cores"] == pytest.approx(1.5)
    assert values["node_cpu_peak_cores"] == pytest.approx(3.0)


def test_what_is_watched_after_a_free_ends_when_instances_allocate_again(tmp_path):
    """The next allocation comes 6 s after the free here, within the time that is watched at most."""
    trial = write_burst(tmp_path)
    sooner = trial.events.with_columns(
        [
            pl.when(pl.col("iteration") == 1).then(pl.col(name) - 9.0).otherwise(pl.col(name)).alias(name)
            for name in ("t_s", "end_s", "planned_s")
        ]
    )
    counter = (pl.col("metric") == "cpu_user_s") & (pl.col("t_s") >= 11.0)
    busy = pl.col("value") + 10 * (pl.col("t_s") - 11.0)
    samples = trial.samples.with_columns(
        pl.when(counter).then(busy).otherwise(pl.col("value")).alias("value")
    )
    values = measure_trial(replace(trial, events=sooner, samples=samples))
    assert values["cpu_alloc_peak_cores"] > 9
    first = measure_trial(replace(trial, events=sooner.filter(pl.col("t_s") < 6), samples=samples))
    assert first["cpu_release_peak_cores"] > 9
    frees = sooner.filter((pl.col("iteration") == 0) | (pl.col("action") == "allocate"))
    assert measure_trial(replace(trial, events=frees, samples=samples))[
        "cpu_release_peak_cores"
    ] == pytest.approx(1.5)


def test_instances_that_do_not_act_together_have_no_skew(tmp_path):
    values = measure_trial(write_burst(tmp_path, replace(RECORD, kind="random")))
    assert values["start_skew_max_s"] is None
    assert values["cpu_alloc_peak_cores"] is None
    assert values["node_cpu_peak_cores"] == pytest.approx(3.0)


def test_an_instance_that_misses_a_synchronised_start_marks_its_trial():
    late = replace(EVENT, late_s=1.2, t_s=1.2)
    problem = _find_problem(late, KINDS["burst"])
    assert isinstance(problem, InstanceError)
    assert "burst-0 missed the synchronised start at 0.0 s by 1.20 s" in problem.message
    assert _find_problem(late, KINDS["cycle"]) is None
    assert _find_problem(EVENT, KINDS["burst"]) is None
    assert (
        "could not allocate"
        in _find_problem(replace(EVENT, ok=False, error="no memory"), KINDS["cycle"]).message
    )

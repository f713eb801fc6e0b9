from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from freepage.analysis.series import (
    Series,
    baseline_bytes,
    clock_uncertainty_s,
    demand_steps,
    held_steps,
    hold,
    metric_series,
    node_in_use_series,
    resample,
    resident_series,
    sample_steps,
    smooth,
)
from freepage.records import Action, Arm, ClockOffset, ProcessSchedule, Step
from freepage.store import load_trial
from freepage.units import GIB, MIB
from helpers.modelled_run import find_trial_ids, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series") / "run"
    return folder, write_run(folder)


def trial_of(folder, arm, experiment="cycle"):
    return load_trial(folder / "trials" / find_trial_ids(folder, experiment, arm)[0])


def schedule(*steps):
    return ProcessSchedule(0, tuple(Step(at_s, action, size, 0) for at_s, action, size in steps))


def test_demand_is_the_sum_of_what_all_processes_hold():
    first = schedule((0.0, Action.ALLOCATE, 10), (4.0, Action.FREE, 10))
    second = schedule((2.0, Action.ALLOCATE, 5), (4.0, Action.FREE, 5))
    assert demand_steps([first, second]) == [(0.0, 10), (2.0, 15), (4.0, 0)]


def test_a_missing_value_stays_missing(run):
    trial = trial_of(run[0], Arm.VM)
    assert np.isnan(metric_series(trial, "node", "psi_memory_some_s").values).all()
    assert len(metric_series(trial, "node", "no_such_metric").values) == 0


def test_nothing_is_made_up_outside_of_what_was_measured():
    series = Series(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    assert np.isnan(resample(series, np.array([0.0, 3.0]), 1.0)).all()


def test_a_tick_without_a_counter_is_a_gap_in_the_nodes_memory(run):
    trial = trial_of(run[0], Arm.VM)
    is_hole = (pl.col("metric") == "mem_cached_bytes") & pl.col("t_s").is_between(2.0, 2.1)
    samples = trial.samples.with_columns(
        pl.when(is_hole).then(None).otherwise(pl.col("value")).alias("value")
    )
    holed = node_in_use_series(type(trial)(trial.record, trial.schedules, samples, trial.events))
    assert np.isnan(holed.between(2.0, 2.1).values).all()
    assert not np.isnan(holed.between(2.2, 5.0).values).any()


def test_memory_in_use_leaves_out_cache_buffers_and_reclaimable_slab(run):
    folder, truth = run
    node = node_in_use_series(trial_of(folder, Arm.POD))
    assert node.between(-8, -5).mean() == pytest.approx(truth.baseline_bytes, abs=2 * MIB)


def test_the_baseline_is_what_was_in_use_before_the_first_instance_started(run):
    folder, truth = run
    trial = trial_of(folder, Arm.VM)
    assert baseline_bytes(trial, node_in_use_series(trial)) == pytest.approx(
        truth.baseline_bytes, abs=1 * MIB
    )


def test_resident_memory_counts_what_was_swapped_out(run):
    trial = trial_of(run[0], Arm.VM)
    swapped = pl.when(pl.col("metric") == "swap_bytes").then(1.0 * GIB).otherwise(pl.col("value"))
    changed = type(trial)(
        trial.record, trial.schedules, trial.samples.with_columns(swapped.alias("value")), trial.events
    )
    apart = resident_series(changed, "cycle-0").values - resident_series(trial, "cycle-0").values
    assert apart == pytest.approx(GIB)


def test_a_block_is_held_from_the_start_of_its_allocation_to_the_start_of_its_free(run):
    steps = held_steps(trial_of(run[0], Arm.VM_FPR), "cycle-0")
    assert steps[:3] == [(0.0, 512 * MIB), (5.0, 0), (15.0, 512 * MIB)]


def test_what_is_read_before_the_first_sample_is_not_known():
    assert Series(np.array([1.0]), np.array([5.0])).last_before(0.5) is None


def test_a_gap_stays_a_gap():
    series = Series(np.array([0.0, 1.0, 2.0, 8.0, 9.0]), np.array([1.0, 1.0, np.nan, 3.0, 3.0]))
    resampled = resample(series, np.array([0.5, 5.0, 8.5, 20.0]), 1.0)
    assert resampled[0] == 1.0
    assert np.isnan(resampled[1])
    assert resampled[2] == 3.0
    assert np.isnan(resampled[3])


def test_a_staircase_holds_its_value_until_the_next_step():
    assert sample_steps([(1.0, 5.0), (3.0, 0.0)], np.array([0.0, 1.0, 2.9, 3.0])).tolist() == [0, 5, 5, 0]


def test_a_mean_is_over_time_not_over_samples():
    """Three samples in one second at 1 and one ten seconds later at 0."""
    series = Series(np.array([0.0, 0.5, 1.0, 11.0]), np.array([1.0, 1.0, 1.0, 0.0]))
    assert series.mean() == pytest.approx((1.0 + 5.0) / 11)


@pytest.mark.parametrize("phase_s", [0.0, 0.1, 0.2, 0.3, 0.4])
def test_one_tick_more_or_less_before_a_ramp_does_not_change_a_mean(phase_s):
    """A plain mean of ticks over a trial is moved by 1/20 of the ramp where a tick falls in front of it."""
    times = np.arange(-2.0, 12.0, 0.5) + phase_s
    ramp = Series(times, np.clip(times / 4, 0, 1))
    assert ramp.cut(0, 10).mean() == pytest.approx(0.8, abs=0.004)


def test_a_cut_ends_with_the_samples_where_there_are_none_beyond():
    series = Series(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    cut = series.cut(0.0, 1.5)
    assert (cut.t_s.tolist(), cut.values.tolist()) == ([1.0, 1.5], [1.0, 2.0])
    assert len(Series(np.array([]), np.array([])).cut(0, 1).t_s) == 0


def test_clocks_that_moved_against_each_other_make_times_less_certain(run):
    trial = trial_of(run[0], Arm.VM)
    assert clock_uncertainty_s(trial) == pytest.approx(0.01)
    apart = replace(
        trial.record,
        clock_start={"cycle-0": ClockOffset(-5.0, 0.001)},
        clock_end={"cycle-0": ClockOffset(-5.02, 0.003)},
    )
    assert clock_uncertainty_s(replace(trial, record=apart), "cycle-0") == pytest.approx(0.01 + 0.003 + 0.02)


def test_what_is_held_is_what_the_last_sample_saw_and_nothing_within_a_gap():
    series = Series(np.array([0.0, 1.0, 2.0, 10.0]), np.array([5.0, 6.0, 7.0, 8.0]))
    held = hold(series, np.array([-0.1, 0.0, 0.9, 1.0, 5.0, 10.0, 10.9, 11.1]), 1.0)
    assert np.isnan(held[[0, 4, 7]]).all()
    assert held[[1, 2, 3, 5, 6]].tolist() == [5, 5, 6, 8, 8]


def test_smoothing_is_the_mean_within_a_window_and_leaves_out_what_is_missing():
    series = Series(np.arange(6.0), np.array([0.0, 3.0, 0.0, np.nan, 6.0, 0.0]))
    smoothed = smooth(series, 2.0).values
    assert smoothed[[0, 1, 2, 4, 5]].tolist() == [1.5, 1, 1.5, 3, 3]
    assert np.isnan(smoothed[3])
    assert len(smooth(Series(np.array([]), np.array([])), 2.0).values) == 0

"""VMs without FPR forecast those with it: on modelled runs, whose truth is known, and on a recorded one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from freepage.analysis.compared import Comparison
from freepage.analysis.footprints import FORECASTS, forecast_footprint
from freepage.analysis.passes import find_experiment_reporting
from freepage.analysis.results import build_results
from freepage.fpr.footprint import OVERHEAD_RANGE_BYTES
from freepage.fpr.release import Reporting
from freepage.records import Arm
from freepage.store import load_run
from freepage.units import GIB, MIB
from helpers.changed_run import change_samples
from helpers.hand_made import block, make_trial, ticks
from helpers.modelled_run import CYCLE_ONLY, Truth, find_trial_ids, write_run

RECORDED = Path(__file__).parents[1] / "recorded/runs/0.1-quick"
SHOWN = Truth(guest_free_bytes=1.5 * GIB)
RSS, FREE = ("a", "rss_bytes"), ("a", "guest_free_order_10_blocks")


def compare(folder, experiment="cycle"):
    return build_results(load_run(folder)).experiments[experiment].comparisons


@pytest.fixture(scope="module")
def modelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footprints") / "run"
    write_run(folder, SHOWN)
    return folder


def test_the_settled_footprint_of_a_modelled_vm_is_forecast_to_the_byte(modelled):
    found = compare(modelled)
    truth = SHOWN.vm_idle_bytes + (1 - SHOWN.given_back) * 512 * MIB
    assert found[Comparison.FORECAST_SETTLED].value == pytest.approx(truth)
    assert found[Comparison.SETTLED].value == pytest.approx(truth)
    assert found[Comparison.FORECAST_SETTLED_RATIO].value == pytest.approx(1)
    assert found[Comparison.FORECAST_SETTLED_RATIO].n == SHOWN.repeats


@pytest.mark.parametrize("experiment", ["cycle", "random"])
def test_memory_over_the_trial_is_forecast_with_its_passes_within_2_percent(modelled, experiment):
    ratio = compare(modelled, experiment)[Comparison.FORECAST_GIB_S_RATIO]
    assert ratio.value == pytest.approx(1, abs=0.02)
    assert ratio.low <= ratio.value <= ratio.high


def test_passes_of_a_modelled_release_are_those_predicted(modelled):
    found = compare(modelled)[Comparison.FORECAST_PASSES_OFF]
    assert (found.value, found.unit) == (0, "passes")


def test_guests_that_do_not_show_their_free_blocks_forecast_nothing(tmp_path):
    write_run(tmp_path / "run", study=CYCLE_ONLY)
    found = compare(tmp_path / "run")
    assert {
        number: found[number] for number in FORECASTS if number is not Comparison.FORECAST_PASSES_OFF
    } == (dict.fromkeys(set(FORECASTS) - {Comparison.FORECAST_PASSES_OFF}))


def test_guests_whose_terms_of_reporting_are_not_known_forecast_nothing(tmp_path):
    write_run(tmp_path / "run", replace(SHOWN, host={"architecture": "aarch64"}), study=CYCLE_ONLY)
    assert not any(compare(tmp_path / "run")[number] for number in FORECASTS)


def test_a_vm_that_keeps_what_it_reports_takes_more_than_forecast(tmp_path):
    write_run(tmp_path / "run", SHOWN, study=CYCLE_ONLY)
    change_samples(tmp_path / "run", Arm.VM_FPR, "rss_bytes", lambda _, value: value + 40 * MIB)
    found = compare(tmp_path / "run")
    assert found[Comparison.FORECAST_SETTLED_RATIO].value == pytest.approx(200.48 / 240.48, abs=1e-4)
    assert found[Comparison.FORECAST_GIB_S_RATIO].value < 0.95


def test_a_block_in_which_one_vm_is_not_known_has_no_sum_over_the_trial(tmp_path):
    write_run(tmp_path / "run", SHOWN)
    for name in find_trial_ids(tmp_path / "run", "random", Arm.VM):
        path = tmp_path / "run/trials" / name / "samples.parquet"
        samples = pl.read_parquet(path)
        shown = (samples["entity"] != "random-0") | ~samples["metric"].str.starts_with("guest_free_order")
        samples.filter(shown).write_parquet(path)
    found = compare(tmp_path / "run", "random")
    assert found[Comparison.FORECAST_GIB_S] is None
    assert compare(tmp_path / "run")[Comparison.FORECAST_GIB_S] is not None


def one_vm(resident, free, times, **options):
    """Make a VM without FPR of one block, of so many bytes resident and free at some times."""
    levels = {RSS: (times, resident), FREE: (times, [f / (4 * MIB) for f in free])}
    return make_trial(levels, block(0.0, 0.5, 4.0, size=512 * MIB), arm=Arm.VM, **options)


def test_the_forecast_never_exceeds_what_the_vm_ever_touched():
    times = ticks(-3, 19, 1.0)
    used = np.where((times >= 1) & (times < 4), 512.0, 0.0) * MIB
    resident = 200 * MIB + np.maximum.accumulate(used)
    found = forecast_footprint(one_vm(resident, 1024 * MIB - used, times), "a", Reporting(9))
    assert np.all(found.resident.values <= resident)
    assert found.resident.values[-1] == 200 * MIB


def test_a_lost_sample_of_the_guest_is_a_gap_and_no_zero():
    times = ticks(-3, 19, 1.0)
    free = [None if 8 < t < 10 else 1024.0 * MIB for t in times]
    levels = {RSS: (times, [200.0 * MIB] * len(times)), FREE: (times, [f and f / (4 * MIB) for f in free])}
    trial = make_trial(levels, [], arm=Arm.VM)
    found = forecast_footprint(trial, "a", Reporting(9))
    assert 9.0 not in found.resident.t_s
    assert found.resident.values.tolist() == [200 * MIB] * (len(times) - 1)


def test_a_guest_without_blocks_of_the_reporting_order_forecasts_nothing():
    times = ticks(-3, 19, 1.0)
    trial = one_vm([200 * MIB] * len(times), [GIB] * len(times), times)
    assert forecast_footprint(trial, "a", Reporting(11)) is None
    assert forecast_footprint(trial, "another", Reporting(9)) is None


def test_a_recorded_run_reports_on_terms_that_its_guests_showed():
    assert find_experiment_reporting(load_run(RECORDED), "cycle") == Reporting(9)


def test_a_recorded_run_of_real_vms_is_forecast_within_2_percent_over_its_trials_and_to_the_pass():
    found = build_results(load_run(RECORDED)).experiments["cycle"].comparisons
    assert found[Comparison.FORECAST_GIB_S_RATIO].value == pytest.approx(1, abs=0.02)
    assert found[Comparison.FORECAST_PASSES_OFF].value == 0


def test_a_vm_that_never_uses_what_it_touched_at_boot_is_forecast_by_what_it_was_given():
    """Its own memory shows 60 MiB more than it needs: touched at boot, free since, and never used again."""
    times = ticks(-3, 19, 1.0)
    resident, free, total = 280 * MIB, 540 * MIB, 594 * MIB
    shown = one_vm([resident] * len(times), [free] * len(times), times)
    levels = {RSS: (times, [resident] * len(times)), FREE: (times, [free / (4 * MIB)] * len(times))}
    levels["a", "guest_total_bytes"] = (times, [total] * len(times))
    counted = make_trial(levels, [], arm=Arm.VM)
    assert forecast_footprint(shown, "a", Reporting(9)).resident.values[-1] == resident
    likely = (total + 36 * MIB) * 64 / 63 + OVERHEAD_RANGE_BYTES[1] - free
    assert forecast_footprint(counted, "a", Reporting(9)).resident.values[-1] == pytest.approx(likely)

"""A run made from known numbers: the estimates must find them again, and say no more than the run can know."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from freepage.analysis.releases import find_releases
from freepage.analysis.results import build_results
from freepage.records import CARRIERS, Arm, TrialStatus
from freepage.store import load_run, load_trial
from freepage.units import GIB, MIB
from helpers.modelled_run import Truth, find_trial_ids, write_run

MINIMUM = (
    "given_back_fraction",
    "node_in_use_mean_bytes",
    "node_in_use_max_bytes",
    "alloc_first_s",
    "alloc_rest_s",
    "release_t90_s",
)


def build(folder, truth=None, **options):
    truth = write_run(folder, truth, **options)
    return truth, build_results(load_run(folder)).as_json()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return build(tmp_path_factory.mktemp("estimates") / "run")


def estimate(results, experiment, arm, key):
    return results["experiments"][experiment]["arms"][arm][key]


def comparison(results, experiment, key):
    return results["experiments"][experiment]["comparisons"][key]


@pytest.mark.parametrize("experiment", ["cycle", "random"])
def test_the_share_given_back_is_found_again_on_every_arm(measured, experiment):
    truth, results = measured
    wanted = {Arm.POD: 1.0, Arm.VM: 0.0, Arm.VM_FPR: truth.given_back}
    for arm, share in wanted.items():
        found = estimate(results, experiment, arm, "given_back_fraction")
        assert found["value"] == pytest.approx(share, abs=0.005), (experiment, arm)
        assert found["n"] == truth.repeats


def test_a_guest_that_gives_back_only_a_third_is_seen_to(tmp_path):
    _, results = build(tmp_path / "run", Truth(given_back=0.33))
    for experiment in ("cycle", "random"):
        assert estimate(results, experiment, Arm.VM_FPR, "given_back_fraction")["value"] == pytest.approx(
            0.33, abs=0.02
        )


def test_memory_freed_earlier_and_still_on_its_way_is_not_counted_twice(tmp_path):
    slow = Truth(pass_bytes=16 * MIB)
    _, results = build(tmp_path / "run", slow)
    found = estimate(results, "random", Arm.VM_FPR, "given_back_fraction")["value"]
    assert 0 < found < 1


def test_release_times_are_those_of_the_passes_within_one_interval(measured):
    truth, results = measured
    t50 = estimate(results, "cycle", Arm.VM_FPR, "release_t50_s")["value"]
    t90 = estimate(results, "cycle", Arm.VM_FPR, "release_t90_s")["value"]
    assert truth.pass_s - truth.interval_s <= t50 <= truth.pass_s + truth.interval_s
    assert 2 * truth.pass_s - truth.interval_s <= t90 <= 2 * truth.pass_s + truth.interval_s


def test_a_share_that_was_never_reached_has_no_time(measured):
    _, results = measured
    assert estimate(results, "cycle", Arm.VM_FPR, "release_t99_s") is None
    assert estimate(results, "cycle", Arm.VM, "release_t50_s") is None


def test_releases_that_reached_a_share_are_counted(measured):
    _, results = measured
    values = next(
        t["values"] for t in results["trials"] if t["experiment"] == "cycle" and t["arm"] == Arm.VM_FPR
    )
    assert (values["releases"], values["release_t90_count"], values["release_t99_count"]) == (3, 3, 0)


@pytest.mark.parametrize("arm", list(CARRIERS))
def test_allocation_times_are_found_again(measured, arm):
    truth, results = measured
    for key, pace in (("alloc_first_s", truth.first_s_per_gib), ("alloc_rest_s", truth.rest_s_per_gib)):
        found = estimate(results, "cycle", arm, key)
        assert found["value"] == pytest.approx(pace[arm] / 2, rel=truth.trial_spread)
        assert found["low"] <= found["value"] <= found["high"]


def test_system_and_user_time_are_told_apart(measured):
    _, results = measured
    wall = estimate(results, "cycle", Arm.VM, "alloc_rest_s")["value"]
    assert estimate(results, "cycle", Arm.VM, "alloc_system_rest_s")["value"] == pytest.approx(0.95 * wall)
    assert estimate(results, "cycle", Arm.VM, "alloc_user_rest_s")["value"] == pytest.approx(0.05 * wall)


def test_blocks_of_different_sizes_have_no_first_and_later_time(measured):
    _, results = measured
    assert estimate(results, "random", Arm.VM, "alloc_first_s") is None
    assert estimate(results, "random", Arm.VM, "alloc_s_per_gib")["value"] == pytest.approx(1.0, abs=0.2)


def test_the_price_of_allocating_again_is_the_ratio_of_the_arms(measured):
    truth, results = measured
    wanted = truth.rest_s_per_gib[Arm.VM_FPR] / truth.rest_s_per_gib[Arm.VM]
    found = comparison(results, "cycle", "reallocation_penalty")
    assert found["low"] <= wanted <= found["high"]
    assert found["value"] == pytest.approx(wanted, rel=0.05)


def test_node_memory_is_counted_from_the_trials_own_baseline(measured):
    truth, results = measured
    peak = estimate(results, "cycle", Arm.VM, "node_in_use_max_bytes")["value"]
    absolute = estimate(results, "cycle", Arm.VM, "node_in_use_absolute_max_bytes")["value"]
    assert peak == pytest.approx(512 * MIB + truth.vm_idle_bytes, abs=4 * MIB)
    assert absolute - peak == pytest.approx(truth.baseline_bytes, abs=2 * MIB)


def test_the_overhead_of_an_instance_is_what_it_costs_before_it_works(measured):
    truth, results = measured
    for arm, wanted in ((Arm.POD, truth.pod_idle_bytes), (Arm.VM, truth.vm_idle_bytes)):
        for experiment in ("cycle", "random"):
            found = estimate(results, experiment, arm, "idle_overhead_bytes")["value"]
            assert found == pytest.approx(wanted, abs=2 * MIB)


def test_memory_held_needlessly_is_the_area_between_resident_and_held(measured):
    truth, results = measured
    block, back = 512 * MIB, truth.given_back * 512 * MIB
    after_first_pass = block - truth.pass_bytes
    window_s, pass_s = 10.0, truth.pass_s
    area = (
        block * pass_s + after_first_pass * pass_s + (block - back) * (window_s - 2 * pass_s)
    )  # of each of the three iterations
    half_a_tick = (
        block * truth.interval_s / 2
    )  # all that a sample on every step can hide, here the worst that can be
    found = estimate(results, "cycle", Arm.VM_FPR, "held_needlessly_gib_s")["value"]
    assert found == pytest.approx(3 * area / GIB, abs=3 * half_a_tick / GIB)
    never = estimate(results, "cycle", Arm.VM, "held_needlessly_gib_s")["value"]
    assert never == pytest.approx(3 * block * window_s / GIB, rel=0.03)
    assert estimate(results, "cycle", Arm.POD, "held_needlessly_gib_s")["value"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("experiment", ["cycle", "random"])
def test_the_main_loops_time_is_shared_out_over_all_that_came_back(measured, experiment):
    truth, results = measured
    found = estimate(results, experiment, Arm.VM_FPR, "main_loop_cpu_s_per_gib")["value"]
    assert found == pytest.approx(truth.main_loop_s_per_gib, rel=0.02)
    assert estimate(results, experiment, Arm.VM, "main_loop_cpu_s_per_gib") is None


def test_a_failed_trial_is_left_out_of_every_estimate(tmp_path):
    write_run(tmp_path / "whole")
    broken = find_trial_ids(tmp_path / "whole", "cycle", Arm.VM_FPR)[0]
    _, results = build(tmp_path / "run", failed={broken: "cycle-0: the guest panicked"})
    assert estimate(results, "cycle", Arm.VM_FPR, "given_back_fraction")["n"] == 2
    assert comparison(results, "cycle", "reallocation_penalty")["n"] == 2
    record = next(t for t in results["trials"] if t["id"] == broken)
    assert (record["status"], record["error"]) == ("failed", "cycle-0: the guest panicked")
    assert record["values"] is None


def test_an_arm_that_was_not_asked_for_is_missing_and_harms_nothing(tmp_path):
    _, results = build(tmp_path / "run", arms=(Arm.VM_FPR,))
    assert set(results["experiments"]["cycle"]["arms"]) == {Arm.VM_FPR}
    assert comparison(results, "cycle", "reallocation_penalty") is None
    assert results["verdict"]["decision"] == "inconclusive"


def test_results_hold_what_others_rely_on_and_no_nan(measured):
    _, results = measured
    text = json.dumps(results, allow_nan=False)
    again = json.loads(text)
    assert again["schema"] == 1
    assert again["accelerator"] == "kvm"
    assert again["verdict"]["headline"] == "cycle"
    assert {t["status"] for t in again["trials"]} == {TrialStatus.OK}
    for experiment in again["experiments"].values():
        for arm in experiment["arms"].values():
            assert set(MINIMUM) <= set(arm)
            for found in (e for e in arm.values() if e is not None):
                assert set(found) == {"value", "low", "high", "unit", "n", "method"}


def test_the_same_run_gives_the_same_results(measured, tmp_path):
    truth, results = measured
    assert build(tmp_path / "run", truth)[1] == results


def test_a_release_has_its_sample_from_before_the_free_even_when_one_falls_on_it(tmp_path):
    """A sample at the very instant of the free may already show the memory gone."""
    write_run(tmp_path / "run", Truth(repeats=1))
    trial = load_trial(tmp_path / "run/trials" / find_trial_ids(tmp_path / "run", "cycle", Arm.POD)[0])
    assert 5.0 in trial.samples["t_s"].to_list()
    assert all(r.before_bytes >= 512 * MIB for r in find_releases(trial))


def test_a_window_too_short_to_see_a_release_is_no_release(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1))
    trial = load_trial(tmp_path / "run/trials" / find_trial_ids(tmp_path / "run", "cycle", Arm.VM_FPR)[0])
    cut = replace(trial.record, planned_duration_s=36.0)  # one second after the last free
    assert len(find_releases(trial)) == 3
    assert len(find_releases(replace(trial, record=cut))) == 2


def test_the_overhead_of_a_vm_is_what_it_takes_beyond_a_pod(measured):
    truth, results = measured
    apart = comparison(results, "random", "above_pod_mean_bytes")["value"]
    assert comparison(results, "random", "overhead_per_vm_bytes")["value"] == pytest.approx(apart / 2)
    assert apart / 2 > truth.vm_idle_bytes - truth.pod_idle_bytes


def test_the_pace_of_a_release_is_that_of_its_first_nine_tenths(measured):
    _, results = measured
    t90 = estimate(results, "cycle", Arm.VM_FPR, "release_t90_s")["value"]
    assert estimate(results, "cycle", Arm.VM_FPR, "release_rate_gib_s")["value"] == pytest.approx(
        0.9 * 0.5 / t90, rel=0.01
    )


def test_a_release_that_is_back_before_the_next_sample_has_no_pace_and_never_that_of_nothing(measured):
    _, results = measured
    assert estimate(results, "cycle", Arm.POD, "release_t90_s") is not None
    assert estimate(results, "cycle", Arm.POD, "release_rate_gib_s") is None
    assert estimate(results, "cycle", Arm.VM, "release_rate_gib_s") is None

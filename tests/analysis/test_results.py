"""The analysis recovers what a synthetic run was made of."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.analysis.prices import ExperimentOutcome, weigh_experiment
from freepage.analysis.results import build_results
from freepage.analysis.series import Series, resample, sample_steps
from freepage.analysis.stats import Estimate, estimate_difference, estimate_mean, estimate_ratio
from freepage.analysis.trial_values import find_releases
from freepage.analysis.verdict import VerdictInput, decide
from freepage.records import VerdictRule
from freepage.store import load_run
from freepage.units import GIB
from helpers.synthetic import BASELINE_BYTES, IDLE_BYTES, Truth, write_run


def results_of(tmp_path, truth=Truth()):  # noqa: B008 - frozen
    return build_results(load_run(write_run(tmp_path, truth)))


def arm(results, name):
    return results["experiments"]["cycle"]["arms"][name]


def test_the_truth_of_a_synthetic_run_is_recovered(tmp_path):
    results = results_of(tmp_path)
    fpr, vm, pod = arm(results, "vm-fpr"), arm(results, "vm"), arm(results, "pod")
    assert fpr["given_back_fraction"]["value"] == pytest.approx(0.96, abs=0.001)
    assert vm["given_back_fraction"]["value"] == pytest.approx(0, abs=0.001)
    assert pod["given_back_fraction"]["value"] == pytest.approx(1, abs=0.001)
    assert fpr["release_t50_s"]["value"] == pytest.approx(2 + 4 * 0.5 / 0.96, abs=0.1)
    assert fpr["release_t90_s"]["value"] == pytest.approx(2 + 4 * 0.9 / 0.96, abs=0.1)
    assert fpr["release_t99_s"] is None
    assert vm["release_t50_s"] is None
    assert fpr["alloc_first_s"]["value"] == pytest.approx(2.02)
    assert fpr["alloc_rest_s"]["value"] == pytest.approx(1.515)
    assert fpr["alloc_rest_sd_s"]["value"] == pytest.approx(0, abs=1e-9)
    assert fpr["alloc_system_rest_s"]["value"] == pytest.approx(0.9 * 1.515)
    assert fpr["idle_overhead_bytes"]["value"] == pytest.approx(IDLE_BYTES)
    assert vm["node_in_use_max_bytes"]["value"] == pytest.approx(GIB + IDLE_BYTES)
    assert vm["node_in_use_absolute_max_bytes"]["value"] == pytest.approx(BASELINE_BYTES + GIB + IDLE_BYTES)
    assert pod["node_in_use_mean_bytes"]["value"] < fpr["node_in_use_mean_bytes"]["value"]
    assert fpr["node_in_use_mean_bytes"]["value"] < vm["node_in_use_mean_bytes"]["value"]
    assert fpr["held_needlessly_gib_s"]["value"] < 0.4 * vm["held_needlessly_gib_s"]["value"]
    assert {e["n"] for e in fpr.values() if e} == {3}


def test_arms_are_compared_by_repeat(tmp_path):
    comparisons = results_of(tmp_path)["experiments"]["cycle"]["comparisons"]
    assert comparisons["reallocation_penalty"]["value"] == pytest.approx(1.5)
    assert comparisons["reallocation_penalty"]["low"] == pytest.approx(1.5)
    assert comparisons["first_allocation_penalty"]["value"] == pytest.approx(1.0)
    assert comparisons["extra_cpu_cores"]["value"] == pytest.approx(0.1, abs=0.002)


def test_a_window_ends_when_the_next_allocation_starts(tmp_path):
    run = load_run(write_run(tmp_path))
    trial = next(t for t in run.trials if t.record.arm == "vm-fpr")
    releases = find_releases(trial)
    assert [round(r.window_s) for r in releases] == [20, 20, 20]
    assert all(r.owed_bytes == pytest.approx(GIB, rel=0.05) for r in releases)


def test_a_clear_run_says_enable_and_gives_its_numbers(tmp_path):
    verdict = results_of(tmp_path)["verdict"]
    assert verdict["decision"] == "enable"
    assert "96\u00a0%" in verdict["sentence"]
    assert "5.8\u00a0s" in verdict["sentence"]
    assert verdict["thresholds"]["min_given_back_fraction"] == 0.5


def test_a_host_that_ignores_reports_gets_no_benefit_and_a_doubt_with_the_cause(tmp_path):
    results = results_of(tmp_path, Truth(given_back=0.0))
    assert results["verdict"]["decision"] == "no-benefit"
    assert "inhibited" in [d["id"] for d in results["doubts"]]
    assert [e["effective"] for t in results["trials"] if t["arm"] == "vm-fpr" for e in t["evidence"]] == [
        False
    ] * 3


def test_a_price_too_high_says_no_benefit_on_hardware_and_does_not_decide_under_emulation(tmp_path):
    costly = Truth(penalty=3.0)
    assert results_of(tmp_path / "kvm", costly)["verdict"]["decision"] == "no-benefit"
    emulated = results_of(tmp_path / "tcg", replace(costly, accelerator="tcg"))
    assert emulated["verdict"]["decision"] == "enable"
    assert "emulated" in [d["id"] for d in emulated["doubts"]]


@pytest.mark.parametrize(
    ("truth", "doubt"),
    [
        (Truth(repeats=1), "few-trials"),
        (Truth(swapped=True), "swapped"),
        (Truth(active=False), "not-seen-active"),
        (Truth(failed=(0,)), "failed-trials"),
        (Truth(delay_s=30.0, given_back=0.5), None),
        (Truth(given_back=0.7), "window-too-short"),
    ],
)
def test_a_doubt_stands_where_its_cause_was_seen_and_nowhere_else(tmp_path, truth, doubt):
    found = [d["id"] for d in results_of(tmp_path, truth)["doubts"]]
    assert (doubt in found) if doubt else "window-too-short" not in found
    assert not (doubt != "swapped" and "swapped" in found)


def test_a_clear_run_gives_no_reason_for_doubt(tmp_path):
    assert results_of(tmp_path)["doubts"] == []


def test_failed_trials_are_reported_and_left_out_of_the_numbers(tmp_path):
    results = results_of(tmp_path, Truth(failed=(0, 1, 2)))
    assert {e["n"] for name in ("pod", "vm", "vm-fpr") for e in arm(results, name).values() if e} == {2}
    assert [t["status"] for t in results["trials"]][:3] == ["failed"] * 3
    assert results["trials"][0]["error"] == "it broke <b>badly</b>"


def test_a_run_without_one_good_trial_is_inconclusive(tmp_path):
    results = results_of(tmp_path, Truth(failed=tuple(range(9))))
    assert results["verdict"]["decision"] == "inconclusive"
    assert all(e is None for e in arm(results, "vm-fpr").values())


def test_results_are_json_without_nan(tmp_path):
    text = json.dumps(results_of(tmp_path, Truth(failed=(0,))), allow_nan=False)
    assert json.loads(text)["schema"] == 1


def test_one_trial_has_no_interval_and_several_have_students():
    assert estimate_mean([2.0], "s") == Estimate(2.0, None, None, "s", 1)
    assert estimate_mean([None, None], "s") is None
    three = estimate_mean([1.0, 2.0, 3.0, None], "s")
    assert (three.value, three.n) == (2.0, 3)
    assert three.high - three.value == pytest.approx(4.302653 / 3**0.5, rel=1e-5)


def test_ratios_and_differences_use_only_pairs_of_the_same_repeat():
    ratio = estimate_ratio({0: 2.0, 1: 4.0, 2: 8.0}, {0: 1.0, 1: 2.0, 3: 1.0})
    assert (ratio.value, ratio.n) == (pytest.approx(2.0), 2)
    assert estimate_ratio({0: 1.0}, {1: 1.0}) is None
    assert estimate_difference({0: 3.0, 1: None}, {0: 1.0, 1: 1.0}, "s").value == 2.0


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=8))
def test_an_interval_holds_its_own_value(values):
    estimate = estimate_mean(values, "s")
    assert estimate.low <= estimate.value <= estimate.high


def between(low, high):
    return Estimate((low + high) / 2, low, high, "fraction", 3)


@pytest.mark.parametrize(
    ("given_back", "without", "penalty", "decision"),
    [
        (between(0.9, 0.95), between(0, 0.01), between(1.1, 1.3), "enable"),
        (between(0.4, 0.6), between(0, 0.01), between(1.1, 1.3), "inconclusive"),
        (between(0.1, 0.2), between(0, 0.01), between(1.1, 1.3), "no-benefit"),
        (between(0.9, 0.95), between(0.3, 0.4), between(1.1, 1.3), "inconclusive"),
        (between(0.9, 0.95), None, between(1.1, 1.3), "inconclusive"),
        (between(0.9, 0.95), between(0, 0.01), between(1.5, 2.5), "inconclusive"),
        (between(0.9, 0.95), between(0, 0.01), between(2.5, 3.5), "no-benefit"),
        (between(0.9, 0.95), between(0, 0.01), None, "enable"),
        (None, None, None, "inconclusive"),
    ],
)
def test_the_rule_decides_by_whole_intervals(given_back, without, penalty, decision):
    verdict = decide(
        weigh(ExperimentOutcome("cycle", "cycle-*", given_back, without, None, penalty)), VerdictRule()
    )
    assert verdict.decision == decision
    assert verdict.sentence
    assert verdict.reasons


def weigh(headline, *others, times_count=True):
    return VerdictInput(headline, others, times_count=times_count)


def test_a_studys_own_threshold_is_used_and_printed():
    weights = weigh(ExperimentOutcome("cycle", "cycle-*", between(0.3, 0.4), between(0, 0)))
    verdict = decide(weights, VerdictRule(min_given_back_fraction=0.2))
    assert verdict.decision == "enable"
    assert "20%" in verdict.rule


def test_every_threshold_is_printed_with_the_rule():
    rule = VerdictRule(0.61, 0.17, 2.3, 1.4, 0.33, 0.87)
    for times_count in (True, False):
        words = decide(weigh(CYCLE, times_count=times_count), rule).rule
        assert all(
            shown in words for shown in ("61%", "17%", "2.3 times", "1.4 s", "0.33 core", "0.87 times")
        )


CYCLE = ExperimentOutcome(
    "cycle", "cycle-*", between(0.9, 0.95), between(0, 0.01), between(4, 5), reallocation=between(1.1, 1.3)
)
CHURN = ExperimentOutcome("churn", "churn-*", between(0.8, 0.9), allocation=between(3.0, 3.4))
GUEST_IO = ExperimentOutcome("guest-io-ext4", "guest-io-ext4-*", guest_io=between(0.5, 0.6))


def test_vms_that_pay_too_much_are_excepted_by_name_while_others_gain():
    verdict = decide(weigh(CYCLE, CHURN, GUEST_IO), VerdictRule())
    assert verdict.decision == "enable-except"
    assert verdict.sentence.startswith(
        "Turn it on, except for the VMs of churn (churn-*: allocating took 3.2 times as long as without FPR) and "
        "guest-io-ext4 (guest-io-ext4-*: "
    )
    assert 'kubevirt.io/free-page-reporting-disabled: "true"' in verdict.sentence
    assert "free-page-reporting=off" in verdict.sentence
    assert "restart" in verdict.sentence
    assert "Elsewhere FPR gave back 92" in verdict.sentence


def test_the_headline_itself_can_be_the_exception():
    dear = replace(CYCLE, reallocation=between(3, 4))
    verdict = decide(weigh(dear, replace(CHURN, allocation=between(1.0, 1.2))), VerdictRule())
    assert verdict.decision == "enable-except"
    assert "cycle (cycle-*: allocating again" in verdict.sentence
    assert "gave back 85" in verdict.sentence


def test_nothing_is_gained_where_all_who_gain_pay_too_much():
    dear = replace(CYCLE, reallocation=between(3, 4))
    assert decide(weigh(dear, CHURN), VerdictRule()).decision == "no-benefit"
    idle = replace(GUEST_IO, guest_io=between(0.95, 1.05))
    assert decide(weigh(dear, idle), VerdictRule()).decision == "no-benefit"
    keeps = replace(CHURN, allocation=between(1.0, 1.1), given_back=between(0.1, 0.2))
    assert decide(weigh(dear, keeps), VerdictRule()).decision == "no-benefit"


def test_a_price_on_both_sides_makes_the_run_inconclusive_only_in_the_headline():
    unsure = between(1.5, 2.5)
    assert decide(weigh(replace(CYCLE, reallocation=unsure), CHURN), VerdictRule()).decision == "inconclusive"
    verdict = decide(weigh(CYCLE, replace(CHURN, allocation=unsure)), VerdictRule())
    assert verdict.decision == "enable"
    assert any("In churn, " in r and "1.5 to 2.5, lies on both sides" in r for r in verdict.reasons)


@pytest.mark.parametrize(
    ("per_gib", "per_vm", "decision"),
    [
        (between(1.5, 2.0), between(0.3, 0.4), "enable-except"),
        (between(1.5, 2.0), between(0.0, 0.1), "enable"),
        (between(0.1, 0.2), between(0.3, 0.4), "enable"),
        (between(0.5, 2.0), between(0.3, 0.4), "enable"),
    ],
)
def test_cpu_is_too_much_when_it_is_out_of_proportion_and_noticeable(per_gib, per_vm, decision):
    churn = replace(CHURN, allocation=None, cpu_s_per_gib=per_gib, cpu_cores_per_vm=per_vm)
    assert decide(weigh(CYCLE, churn), VerdictRule()).decision == decision


def test_no_price_decides_under_emulation():
    dear = replace(CYCLE, reallocation=between(5, 6))
    verdict = decide(weigh(dear, CHURN, GUEST_IO, times_count=False), VerdictRule())
    assert verdict.decision == "enable"
    assert "Times, CPU and throughput under emulation do not decide." in verdict.reasons
    assert "times as long" not in verdict.sentence


def test_faster_io_on_the_host_is_named_as_a_gain():
    gain = ExperimentOutcome("host-io", "host-io-memory-*", host_io=between(3.0, 3.4))
    assert (
        "I/O on the host ran 3.2 times as fast beside them."
        in decide(weigh(CYCLE, gain), VerdictRule()).sentence
    )
    same = replace(gain, host_io=between(0.9, 1.2))
    assert "I/O on the host" not in decide(weigh(CYCLE, same), VerdictRule()).sentence


def test_an_exception_that_rests_on_one_trial_says_so():
    once = replace(GUEST_IO, guest_io=Estimate(0.5, None, None, "ratio", 1))
    assert "That is one trial" in decide(weigh(CYCLE, once), VerdictRule()).sentence


def test_an_experiment_is_weighed_by_what_its_kind_measures():
    comparisons = {
        "reallocation_penalty": between(1.1, 1.3),
        "extra_cpu_s_per_gib": between(0.1, 0.2),
        "extra_cpu_cores": between(0.4, 0.8),
        "io_ratio": between(0.8, 1.0),
    }
    names = ("churn-0", "churn-1")
    churn = weigh_experiment("churn", "churn", names, {}, comparisons)
    assert (churn.vms, churn.guest_io) == ("churn-*", None)
    assert (churn.cpu_cores_per_vm.low, churn.cpu_cores_per_vm.high) == (0.2, 0.4)
    guest = weigh_experiment("guest-io", "guest-io", ("guest-io-0",), {}, comparisons)
    assert guest.guest_io is not None
    assert (guest.reallocation, guest.cpu_s_per_gib, guest.host_io) == (None, None, None)


def test_a_gap_stays_a_gap():
    series = Series(np.array([0.0, 1.0, 2.0, 8.0, 9.0]), np.array([1.0, 1.0, np.nan, 3.0, 3.0]))
    resampled = resample(series, np.array([0.5, 5.0, 8.5, 20.0]), 1.0)
    assert resampled[0] == 1.0
    assert np.isnan(resampled[1])
    assert resampled[2] == 3.0
    assert np.isnan(resampled[3])


def test_a_staircase_holds_its_value_until_the_next_step():
    assert sample_steps([(1.0, 5.0), (3.0, 0.0)], np.array([0.0, 1.0, 2.9, 3.0])).tolist() == [0, 5, 5, 0]

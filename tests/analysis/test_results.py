"""The analysis recovers what a synthetic run was made of."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from freepage.analysis.releases import find_releases
from freepage.analysis.results import build_results, judge_run
from freepage.analysis.trial_values import measure_trial
from freepage.report.page import render_page
from freepage.store import load_run
from freepage.units import GIB
from helpers.synthetic import BASELINE_BYTES, IDLE_BYTES, Truth, write_run


def results_of(tmp_path, truth=Truth()):  # noqa: B008 - frozen
    return build_results(load_run(write_run(tmp_path, truth))).as_json()


def arm(results, name):
    return results["experiments"]["cycle"]["arms"][name]


def test_the_truth_of_a_synthetic_run_is_recovered(tmp_path):
    results = results_of(tmp_path)
    fpr, vm, pod = arm(results, "vm-fpr"), arm(results, "vm"), arm(results, "pod")
    assert fpr["given_back_fraction"]["value"] == pytest.approx(0.96, abs=0.001)
    assert vm["given_back_fraction"]["value"] == pytest.approx(0, abs=0.001)
    assert pod["given_back_fraction"]["value"] == pytest.approx(1, abs=0.001)
    half_a_tick = fpr["release_resolution_s"]["value"] / 2
    assert half_a_tick == pytest.approx(0.5, abs=0.02)
    assert fpr["release_t50_s"]["value"] == pytest.approx(2 + 4 * 0.5 / 0.96, abs=half_a_tick)
    assert fpr["release_t90_s"]["value"] == pytest.approx(2 + 4 * 0.9 / 0.96, abs=half_a_tick)
    assert fpr["release_t99_s"] is None
    assert vm["release_t50_s"] is None
    assert fpr["alloc_first_s"]["value"] == pytest.approx(2.02, rel=1e-3)
    assert fpr["alloc_rest_s"]["value"] == pytest.approx(1.515, rel=1e-3)
    assert fpr["alloc_rest_sd_s"]["value"] == pytest.approx(0, abs=1e-9)
    assert fpr["alloc_system_rest_s"]["value"] == pytest.approx(0.9 * 1.515, rel=1e-3)
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
    verdict = results_of(tmp_path, Truth(repeats=5))["verdict"]
    assert verdict["decision"] == "enable"
    assert "96\u00a0%" in verdict["sentence"]
    assert "5.5\u00a0s" in verdict["sentence"]
    assert verdict["thresholds"]["min_given_back_fraction"] == 0.5


def test_a_host_that_ignores_reports_gets_no_benefit_and_a_doubt_with_the_cause(tmp_path):
    results = results_of(tmp_path, Truth(given_back=0.0, repeats=5))
    assert results["verdict"]["decision"] == "no-benefit"
    assert "inhibited" in [d["id"] for d in results["doubts"]]
    assert [e["effective"] for t in results["trials"] if t["arm"] == "vm-fpr" for e in t["evidence"]] == [
        False
    ] * 5


def test_a_price_too_high_says_no_benefit_on_hardware_and_does_not_decide_under_emulation(tmp_path):
    costly = Truth(penalty=3.0, repeats=5)
    assert results_of(tmp_path / "kvm", costly)["verdict"]["decision"] == "no-benefit"
    emulated = results_of(tmp_path / "tcg", replace(costly, accelerator="tcg"))
    assert emulated["verdict"]["decision"] == "memory-only"
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
    assert not results_of(tmp_path)["doubts"]


def test_failed_trials_are_reported_and_left_out_of_the_numbers(tmp_path):
    results = results_of(tmp_path, Truth(failed=(0, 1, 2)))
    assert {e["n"] for name in ("pod", "vm", "vm-fpr") for e in arm(results, name).values() if e} == {2}
    assert [t["status"] for t in results["trials"]][:3] == ["failed"] * 3
    assert results["trials"][0]["error"] == "it broke <b>badly</b>"


def test_a_run_without_one_good_trial_is_inconclusive(tmp_path):
    results = results_of(tmp_path, Truth(failed=tuple(range(9))))
    assert results["verdict"]["decision"] == "inconclusive"
    assert all(e is None for e in arm(results, "vm-fpr").values())


def test_a_headline_that_did_not_come_to_run_is_answered_by_no_other_experiment(tmp_path):
    """A run that was cut short before the experiment its study names once answered by what it had."""
    run = load_run(write_run(tmp_path, Truth(repeats=5)))
    rule = replace(run.manifest.verdict_rule, headline="random")
    cut = replace(run, manifest=replace(run.manifest, verdict_rule=rule))
    results = judge_run(cut, {t.record.id: measure_trial(t) for t in cut.ok_trials()})
    assert (results.verdict.decision, results.headline) == ("inconclusive", None)
    assert (
        "The experiment random, by which the study is answered, did not come to run."
        in results.verdict.sentence
    )
    assert "did not come to run" in render_page(cut, results)


def test_results_are_json_without_nan(tmp_path):
    text = json.dumps(results_of(tmp_path, Truth(failed=(0,))), allow_nan=False)
    assert json.loads(text)["schema"] == 1

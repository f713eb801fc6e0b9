"""Each doubt is raised by what was seen, and by nothing else."""

from __future__ import annotations

import json

import polars as pl
import pytest

from freepage.analysis.results import build_results
from freepage.records import CARRIERS, Arm
from freepage.store import load_run
from freepage.units import GIB, MIB
from helpers.modelled_run import CYCLE_ONLY, Truth, find_trial_ids, write_run


def doubts_of(folder):
    return {d["id"]: d for d in build_results(load_run(folder))["doubts"]}


def change_samples(folder, arm, metric, change):
    """Change one metric of every trial of an arm: `change` takes t_s and value."""
    for name in find_trial_ids(folder, "cycle", arm):
        path = folder / "trials" / name / "samples.parquet"
        samples = pl.read_parquet(path)
        new = pl.when(pl.col("metric") == metric).then(change(pl.col("t_s"), pl.col("value")))
        samples.with_columns(new.otherwise(pl.col("value")).alias("value")).write_parquet(path)


def change_manifest(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def change_record(folder, arm, change):
    for name in find_trial_ids(folder, "cycle", arm)[:1]:
        path = folder / "trials" / name / "trial.json"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))


@pytest.fixture
def run_folder(tmp_path):
    write_run(tmp_path / "run", study=CYCLE_ONLY)
    return tmp_path / "run"


def test_a_clean_run_raises_none(tmp_path):
    write_run(tmp_path / "run")
    assert doubts_of(tmp_path / "run") == {}


def test_a_try_is_called_one(run_folder):
    change_manifest(run_folder, scale=0.01, smoke=True)
    results = build_results(load_run(run_folder))
    assert [d["id"] for d in results["doubts"]] == ["only-tried"]
    verdict = results["verdict"]
    assert verdict["decision"] == "inconclusive"
    assert "only tried" in verdict["sentence"]


def test_a_try_that_measured_nothing_says_that_first(run_folder):
    change_manifest(run_folder, scale=0.01, smoke=True)
    for path in run_folder.glob("trials/*/trial.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "failed"}))
    assert "No trial with FPR measured" in build_results(load_run(run_folder))["verdict"]["sentence"]


def test_a_try_that_gives_nothing_back_blames_nobody(tmp_path):
    write_run(tmp_path / "run", Truth(given_back=0.0), study=CYCLE_ONLY)
    assert "inhibited" in doubts_of(tmp_path / "run")
    change_manifest(tmp_path / "run", scale=0.01, smoke=True)
    assert "inhibited" not in doubts_of(tmp_path / "run")


def test_programs_that_failed_are_told_with_their_errors(run_folder):
    for name in find_trial_ids(run_folder, "cycle", Arm.POD)[:1]:
        path = run_folder / "trials" / name / "events.parquet"
        events = pl.read_parquet(path)
        first = pl.int_range(pl.len()) == 0
        changes = {"action": "run", "ok": False, "error": "No such file or directory"}
        events.with_columns(
            pl.when(first).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
            for name, value in changes.items()
        ).write_parquet(path)
    assert (
        "1 of 1 runs of programs failed: No such file or directory"
        in doubts_of(run_folder)["programs-failed"]["text"]
    )


def test_a_clusters_run_speaks_of_its_nodes(run_folder):
    change_manifest(run_folder, target="cluster")
    change_samples(run_folder, Arm.POD, "mem_free_bytes", lambda _, value: value - GIB)
    drift = doubts_of(run_folder)["baseline-drift"]
    assert "runs on the nodes" in drift["text"]
    assert "--nodes" in drift["remedy"]


def test_a_node_that_varies_more_than_fpr_saves_is_called_noisy(tmp_path):
    write_run(tmp_path / "run", study=CYCLE_ONLY)
    node = iter([0.0, 0.9, -0.9])
    for name in find_trial_ids(tmp_path / "run", "cycle", Arm.VM_FPR):
        path = tmp_path / "run/trials" / name / "samples.parquet"
        samples, shift = pl.read_parquet(path), next(node) * GIB
        moved = (pl.col("metric") == "mem_free_bytes") & (pl.col("t_s") > 0)
        samples.with_columns(
            pl.when(moved).then(pl.col("value") - shift).otherwise(pl.col("value")).alias("value")
        ).write_parquet(path)
    assert doubts_of(tmp_path / "run")["noisy-node"]["touches"] == "node"


def test_arms_that_followed_different_schedules_cannot_be_compared(run_folder):
    path = run_folder / "trials" / find_trial_ids(run_folder, "cycle", Arm.VM)[0] / "schedule.json"
    schedule = json.loads(path.read_text())
    schedule["cycle-0"][0]["steps"][0]["at_s"] += 0.5
    path.write_text(json.dumps(schedule))
    assert doubts_of(run_folder).keys() == {"schedules-differ"}


def test_huge_pages_that_changed_between_trials_are_named(run_folder):
    change_record(run_folder, Arm.VM, lambda r: r["evidence"][0].update(guest_thp="never"))
    doubt = doubts_of(run_folder)["thp-differs"]
    assert "guest never, host madvise" in doubt["text"]


def test_a_window_that_is_too_short_says_how_many_releases_made_it(tmp_path):
    write_run(tmp_path / "run", Truth(pass_bytes=80 * MIB), study=CYCLE_ONLY)
    doubt = doubts_of(tmp_path / "run")["window-too-short"]
    assert "0 of 9 releases" in doubt["text"]
    assert "--set cycle.idle=34s" in doubt["remedy"]


def test_steal_counts_only_what_was_lost_in_trials(run_folder):
    for arm in CARRIERS:
        change_samples(run_folder, arm, "cpu_steal_s", lambda t, _: t * 0.5)
    assert doubts_of(run_folder).keys() == {"steal"}


def test_same_page_merging_is_named(tmp_path):
    write_run(tmp_path / "run", Truth(host={"ksm_run": 1}), study=CYCLE_ONLY)
    assert doubts_of(tmp_path / "run").keys() == {"ksm"}


def test_a_host_that_drifts_between_trials_is_named(run_folder):
    change_samples(run_folder, Arm.POD, "mem_free_bytes", lambda _, value: value - 1.0 * GIB)
    assert "baseline-drift" in doubts_of(run_folder)


def test_late_samples_are_named(run_folder):
    for arm in CARRIERS:
        change_samples(run_folder, arm, "late_s", lambda *_: 0.3)
    assert doubts_of(run_folder).keys() == {"sampler-late"}


def test_late_steps_are_counted(run_folder):
    path = run_folder / "trials" / find_trial_ids(run_folder, "cycle", Arm.VM)[0] / "events.parquet"
    pl.read_parquet(path).with_columns(late_s=pl.lit(0.8)).write_parquet(path)
    doubt = doubts_of(run_folder)["steps-late"]
    assert doubt["text"].startswith("6 of ")
    assert "at most 0.8 s" in doubt["text"]


def test_one_trial_an_arm_is_too_few_and_the_answer_says_so(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1), study=CYCLE_ONLY)
    results = build_results(load_run(tmp_path / "run"))
    assert [d["id"] for d in results["doubts"]] == ["few-trials"]
    assert results["verdict"]["sentence"].endswith("That is one trial: repeat it before you rely on it.")


def test_the_answer_gives_the_price_on_hardware_and_keeps_quiet_about_it_under_emulation(tmp_path):
    for accelerator in ("kvm", "tcg"):
        write_run(tmp_path / accelerator, Truth(accelerator=accelerator))
        sentence = build_results(load_run(tmp_path / accelerator))["verdict"]["sentence"]
        assert ("Allocating again took 1.3 times as long." in sentence) is (accelerator == "kvm")
        assert "96\u00a0%" in sentence

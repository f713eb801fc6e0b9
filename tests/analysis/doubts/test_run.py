"""Doubts about a run as a whole: each is raised by what was seen, and by nothing else."""

from __future__ import annotations

import json

import polars as pl
import pytest

from freepage.analysis.results import build_results
from freepage.records import Arm
from freepage.store import load_run
from helpers.changed_run import change_manifest, change_record, doubts_of
from helpers.modelled_run import Truth, find_trial_ids, write_run


@pytest.fixture
def run_folder(tmp_path):
    write_run(tmp_path / "run")
    return tmp_path / "run"


def test_a_clean_run_raises_none(run_folder):
    assert doubts_of(run_folder) == {}


def test_a_smoke_run_is_called_one(run_folder):
    change_manifest(run_folder, scale=0.01, smoke=True)
    assert set(doubts_of(run_folder)) == {"smoke-run"}
    verdict = build_results(load_run(run_folder)).verdict
    assert verdict.decision == "inconclusive"
    assert "smoke run" in verdict.sentence


def test_a_smoke_run_that_measured_nothing_says_that_first(run_folder):
    change_manifest(run_folder, scale=0.01, smoke=True)
    for path in run_folder.glob("trials/*/trial.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "failed"}))
    assert "No trial with FPR measured" in build_results(load_run(run_folder)).verdict.sentence


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
        in doubts_of(run_folder)["programs-failed"].text
    )


def test_arms_that_followed_different_schedules_cannot_be_compared(run_folder):
    path = run_folder / "trials" / find_trial_ids(run_folder, "cycle", Arm.VM)[0] / "schedule.json"
    schedule = json.loads(path.read_text())
    schedule["cycle-0"][0]["steps"][0]["at_s"] += 0.5
    path.write_text(json.dumps(schedule))
    assert doubts_of(run_folder).keys() == {"schedules-differ"}


def test_repeats_with_schedules_of_their_own_are_compared_within_each(run_folder):
    run = load_run(run_folder)
    drawn = [t.schedules for t in run.ok_trials("random", Arm.VM)]
    assert any(schedules != drawn[0] for schedules in drawn)
    assert "schedules-differ" not in doubts_of(run_folder)


def test_huge_pages_that_changed_between_trials_are_named(run_folder):
    change_record(run_folder, Arm.VM, lambda r: r["evidence"][0].update(guest_thp="never"))
    doubt = doubts_of(run_folder)["thp-differs"]
    assert "guest never, host madvise" in doubt.text


def test_one_trial_an_arm_is_too_few_and_the_answer_says_so(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1))
    results = build_results(load_run(tmp_path / "run"))
    assert [d.id for d in results.doubts] == ["few-trials"]
    assert results.verdict.sentence.startswith("Seen in one trial, not decided: ")

"""Doubts about times and CPU: each is raised by what was seen, and by nothing else."""

from __future__ import annotations

import polars as pl
import pytest

from freepage.analysis.results import build_results
from freepage.records import CARRIERS, Arm
from freepage.store import load_run
from helpers.changed_run import change_samples, doubts_of
from helpers.modelled_run import Truth, find_trial_ids, write_run


@pytest.fixture
def run_folder(tmp_path):
    write_run(tmp_path / "run")
    return tmp_path / "run"


def test_steal_counts_only_what_was_lost_in_trials(run_folder):
    for arm in CARRIERS:
        change_samples(run_folder, arm, "cpu_steal_s", lambda t, _: t * 0.5)
    assert doubts_of(run_folder).keys() == {"steal"}


def test_late_samples_are_named(run_folder):
    for arm in CARRIERS:
        change_samples(run_folder, arm, "late_s", lambda *_: 0.3)
    assert doubts_of(run_folder).keys() == {"sampler-late"}


def test_late_steps_are_counted(run_folder):
    path = run_folder / "trials" / find_trial_ids(run_folder, "cycle", Arm.VM)[0] / "events.parquet"
    pl.read_parquet(path).with_columns(late_s=pl.lit(0.8)).write_parquet(path)
    doubt = doubts_of(run_folder)["steps-late"]
    assert doubt.text.startswith("6 of ")
    assert "at most 0.8 s" in doubt.text


def test_the_answer_gives_the_price_on_hardware_and_keeps_quiet_about_it_under_emulation(tmp_path):
    for accelerator in ("kvm", "tcg"):
        write_run(tmp_path / accelerator, Truth(accelerator=accelerator))
        sentence = build_results(load_run(tmp_path / accelerator)).verdict.sentence
        assert ("Allocating again took 1.3 times as long." in sentence) is (accelerator == "kvm")
        assert "96\u00a0%" in sentence

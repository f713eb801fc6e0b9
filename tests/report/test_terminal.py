"""A run as a terminal shows it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity
from freepage.analysis.experiments import ExperimentResults
from freepage.analysis.results import build_results
from freepage.analysis.stats import Estimate
from freepage.cli.main import main
from freepage.kinds import KINDS
from freepage.records import Arm
from freepage.report.console import Terminal
from freepage.report.terminal import print_experiment, print_results
from freepage.store import load_run
from helpers.hostile import HOSTILE, assert_harmless
from helpers.synthetic import Truth, write_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), Truth(failed=(3,), accelerator="tcg", repeats=6))


def test_show_prints_the_verdict_first_within_80_columns(run_folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["show", str(run_folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Memory comes back" in lines[0]
    assert all(len(line) <= 80 for line in lines)
    assert any("it broke <b>badly</b>" in line for line in lines)


def test_a_trial_in_which_a_run_broke_off_has_a_reason_in_words(run_folder, tmp_path, capsys):
    """As earlier versions, and a machine that loses its power, leave one."""
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    path = next(p for p in (folder / "trials").glob("*/trial.json") if '"failed"' in p.read_text())
    broken = json.loads(path.read_text()) | {"status": "planned", "error": None, "hint": None}
    path.write_text(json.dumps(broken))
    assert main(["show", str(folder)]) == 0
    assert f"{broken['id']} planned: the run broke off in it" in capsys.readouterr().out


def large(number):
    """Return an estimate of a number that is as wide as any will be."""
    values = {"bytes": 99 * 2.0**30, "fraction": 1.0}
    return Estimate(values.get(number.unit, 12.345), None, None, number.unit, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_experiments_table_fits_80_columns_whole(capsys, monkeypatch, kind):
    monkeypatch.setenv("COLUMNS", "80")
    estimates = {number: large(number) for number in Quantity}
    arms = {Arm.POD: estimates, Arm.VM_FPR: estimates}
    print_experiment(Terminal(), "x", ExperimentResults(kind, arms, dict.fromkeys(Comparison), ()))
    out = capsys.readouterr().out
    assert "…" not in out
    assert "vm-fpr" in out
    assert all(Quantity.with_id(column).short_heading in out for column in KINDS[kind].columns)


def test_beneath_an_experiments_name_stands_what_it_ran_instead_of_its_original(
    run_folder, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    size = "1 VM of 250 MiB 11 times for 1 min 48 s instead of 1 VM of 60.0 GiB 11 times for 1 h 7 min"
    print_results(build_results(load_run(run_folder)), {"cycle": size})
    out = capsys.readouterr().out
    assert size in " ".join(out.split())
    assert out.index("\ncycle") < out.index("1 VM of 250 MiB") < out.index("given back", out.index("\ncycle"))
    assert all(len(line) <= 80 for line in out.splitlines())


def test_no_word_of_a_stored_run_is_more_than_a_word(run_folder, capsys):
    results = build_results(load_run(run_folder))
    failed = tuple(replace(t, error=HOSTILE, hint=HOSTILE) for t in results.trials)
    doubts = tuple(replace(d, text=HOSTILE, remedy=HOSTILE) for d in results.doubts)
    print_results(
        replace(
            results,
            verdict=replace(results.verdict, sentence=HOSTILE),
            doubts=doubts,
            trials=failed,
        ),
        {"cycle": HOSTILE},
    )
    print_experiment(Terminal(), HOSTILE, results.experiments["cycle"])
    assert_harmless(capsys.readouterr().out)

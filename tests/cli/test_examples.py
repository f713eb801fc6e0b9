"""The examples for CI in the documentation: their scripts run, with freepage for real and what it needs left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from freepage.analysis.compare.rules import EXAMPLE
from freepage.records import Arm
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

pytestmark = pytest.mark.long

TOP = Path(__file__).parents[2]
EXAMPLES = TOP / "docs/examples"
TRUTH = Truth(repeats=5, given_back=0.98)
SLOWER = replace(
    TRUTH, rest_s_per_gib=TRUTH.rest_s_per_gib | {Arm.VM_FPR: 1.3 * TRUTH.rest_s_per_gib[Arm.VM_FPR]}
)
# Everything but measuring is the real command; that one was done before.
FREEPAGE = """#!/bin/sh
if [ "$1" = run ]; then echo "$@" > measured; cp -r measured-before run; exit; fi
exec {python} -m freepage.cli.main "$@"
"""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """A folder in which a job works, with a freepage on its PATH that has measured before."""
    bin_ = tmp_path / ".venv/bin"
    bin_.mkdir(parents=True)
    (bin_ / "activate").write_text("")
    (bin_ / "freepage").write_text(FREEPAGE.format(python=sys.executable))
    (bin_ / "freepage").chmod(0o755)
    (tmp_path / "docs").symlink_to(TOP / "docs")
    (tmp_path / "rules.toml").write_text(EXAMPLE)
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(TOP / "src"))
    return tmp_path


def play(folder, script, shell, **environment):
    return subprocess.run(
        [*shell, "-c", script],
        check=False,
        cwd=folder,
        env=dict(os.environ) | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def github_steps():
    workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    return {s.get("name"): s["run"] for s in workflow["jobs"]["measure"]["steps"] if "run" in s}, workflow[
        "env"
    ]


def tekton_steps():
    task = yaml.safe_load((EXAMPLES / "tekton-task.yaml").read_text())
    return {step["name"]: step["script"] for step in task["spec"]["steps"]}


def test_the_rules_among_the_examples_are_those_that_the_command_prints():
    assert (EXAMPLES / "rules.toml").read_text() == EXAMPLE


def test_the_workflow_of_github_measures_and_holds_the_run_against_the_baseline(runner):
    steps, environment = github_steps()
    environment |= {"GITHUB_STEP_SUMMARY": str(runner / "summary.md"), "HOME": str(runner)}
    write_run(runner / "freepage-baseline", TRUTH, study=CYCLE_ONLY)
    write_run(runner / "measured-before", SLOWER, study=CYCLE_ONLY)
    bash = ["bash", "-e"]
    for name in ("Measure", "Fetch the baseline"):
        assert play(runner, steps[name], bash, **environment).returncode == 0
    assert "cycle --out run" in (runner / "measured").read_text()
    done = play(runner, steps["Hold against the rules"], bash, **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "<testsuites" in (runner / "gate.xml").read_text()
    assert "| worse" in (runner / "summary.md").read_text()
    assert (runner / "comparison.html").stat().st_size > 10_000
    assert play(runner, steps["Keep what main measured as the baseline"], bash, **environment).returncode == 0
    assert json.loads((runner / "freepage-baseline/manifest.json").read_text())["study"] == "modelled"


@pytest.mark.parametrize(
    ("measured", "outcome"),
    [(TRUTH, "passed"), (SLOWER, "failed"), (replace(SLOWER, repeats=1), "cannot-tell"), (None, "baseline")],
    ids=["same", "slower", "one", "first"],
)
def test_the_task_of_tekton_says_how_the_gate_ended(runner, measured, outcome):
    steps, out = tekton_steps(), runner / "outcome"
    if measured is not None:
        write_run(runner / "baseline", TRUTH, study=CYCLE_ONLY)
    write_run(runner / "measured-before", measured or TRUTH, study=CYCLE_ONLY)
    environment = {
        "STUDY": "cycle",
        "NAMESPACE": "bench",
        "IMAGE": "i",
        "RULES": "rules.toml",
        "OUTCOME": str(out),
    }
    assert play(runner, steps["measure"], ["sh"], **environment).returncode == 0
    assert "--target cluster -n bench --image i" in (runner / "measured").read_text()
    done = play(runner, steps["gate"], ["sh"], **environment)
    assert done.returncode == int(outcome == "failed"), done.stdout + done.stderr
    assert out.read_text() == outcome

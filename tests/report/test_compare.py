"""The page of a comparison, and text that a run brings into it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from freepage.analysis.compare.runs import compare_runs
from freepage.records import Arm
from freepage.report.compare import print_comparison, render_comparison_markdown, render_comparison_page
from freepage.store import load_run
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

TRUTH = Truth(repeats=3)
SLOWER = replace(
    TRUTH, rest_s_per_gib=TRUTH.rest_s_per_gib | {Arm.VM_FPR: 1.5 * TRUTH.rest_s_per_gib[Arm.VM_FPR]}
)
HOSTILE = "<script>alert(1)</script>|[red]x"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Runs of an experiment whose name is made to break out of wherever it is shown."""
    folder = tmp_path_factory.mktemp("runs")
    for name, truth in (("base", TRUTH), ("new", SLOWER)):
        write_run(folder / name, truth, study=CYCLE_ONLY)
        for path in (*(folder / name).glob("trials/*/trial.json"), folder / name / "plan.json"):
            path.write_text(path.read_text().replace('"experiment": "cycle"', f'"experiment": "{HOSTILE}"'))
    return compare_runs([load_run(folder / "base")], [load_run(folder / "new")])


@pytest.fixture(scope="module")
def page(comparison):
    return render_comparison_page(comparison)


def test_the_answer_comes_first_and_a_figure_says_what_is_decided(page):
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert body.index("NEW differs from BASE") < body.index("<figure") < body.index("Runs and conditions")
    assert "2 numbers worse</h2>" in body
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', body)


def test_the_figure_marks_no_change_and_the_margin_on_a_logarithmic_axis(page):
    specs = json.loads(re.search(r"const specs = (.*?);\nconst absolutes", page, re.DOTALL)[1])
    layers = specs["ratios-1"]["layer"]
    assert [layer["mark"]["type"] for layer in layers] == ["bar", "rule", "rule", "point"]
    assert layers[1]["encoding"]["x"]["scale"]["type"] == "log"
    rows = [row for rows in specs["ratios-1"]["datasets"].values() for row in rows]
    assert {(round(1 / row["from"], 2), row["to"]) for row in rows if "from" in row} == {
        (1.05, 1.05),
        (1.1, 1.1),
    }
    assert any(row.get("outcome") == "worse" and row["low"] > 1.05 for row in rows)


def test_names_from_a_run_are_escaped_everywhere(comparison, page, capsys, monkeypatch):
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    markdown = render_comparison_markdown(comparison)
    assert all(line.count("|") != 1 for line in markdown.splitlines() if line.startswith("|"))
    monkeypatch.setenv("COLUMNS", "80")
    print_comparison(comparison)
    assert HOSTILE in capsys.readouterr().out

"""`freepage density` from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import altair as alt
import pytest

from freepage.cli.main import main
from freepage.units import GIB
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

EXAMPLE = Path(__file__).parents[2] / "docs/examples/fleet.toml"
FLEET = """title = "small <b>"
hours = 1
uptime = "10min"
[[node]]
memory = "8GiB"
[[vm]]
name = "build"
kind = "schedule"
memory = "2GiB"
base = "256MiB"
size = "1GiB"
hold = "30s"
idle = "2min"
"""
TRACE = "time,resident,total,free_huge,free_small\n" + "".join(
    f"{t},{(2.5 if t < 300 else 3) * GIB:.0f},{4 * GIB},1024,655360\n" for t in range(0, 601, 30)
)


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.toml").write_text(FLEET)
    (tmp_path / "db.csv").write_text(TRACE)

    def run(*arguments):
        try:
            status = main(["density", *map(str, arguments)])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_the_answer_is_the_first_line_and_all_within_80_columns(run):
    status, out, err = run("fleet.toml", "--seeds", 3)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert re.match(r"A node of 8\.00 GiB has memory for VMs: \d+ \(\d+ to \d+\) with FPR", lines[0])
    assert all(len(line) <= 80 for line in lines)
    assert "synchronised" in out
    assert out.count("assumed:") > 5


def test_json_has_every_answer_with_its_interval(run):
    status, out, _ = run(
        "fleet.toml", "--seeds", 3, "--format", "json", "--overcommit", "200%", "--swap", "1GiB"
    )
    found = json.loads(out)
    assert (status, found["schema"], found["risk"], found["seconds"]) == (0, 1, 0.001, 3600)
    (kind,) = found["kinds"]
    assert kind["scheduler_admits"] == 7
    assert kind["node"]["swap_bytes"] == GIB
    fit = kind["fits"]["with_fpr"]["independent"]
    assert fit["low"] <= fit["vms"] <= fit["high"] <= 7
    assert set(fit) == {"vms", "low", "high", "risk", "swapping", "at_least", "over_already"}


def test_a_larger_node_and_fewer_hours_can_be_asked_for(run):
    small, large = (
        json.loads(run("fleet.toml", "--seeds", 1, "--format", "json", "--hours", 0.5, *more)[1])
        for more in ((), ("--node", "16GiB"))
    )
    assert large["seconds"] == 1800
    of = [f["kinds"][0]["fits"]["without_fpr"]["independent"]["vms"] for f in (small, large)]
    assert of[1] >= 2 * of[0] > 0


def test_the_page_begins_with_the_answer_and_draws_the_risk_by_number_of_vms(run, tmp_path):
    status, out, _ = run("fleet.toml", "--seeds", 3, "--format", "html")
    assert (status, out) == (0, "density.html\n")
    page = (tmp_path / "density.html").read_text()
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert body.index("has memory for VMs") < body.index("<figure") < body.index("What this rests on")
    assert "<b>" not in body
    specs = json.loads(re.search(r"const specs = (.*?);\nconst absolutes", page, re.DOTALL)[1])
    alt.LayerChart.from_dict(specs["risk-1"], validate=True)
    rows = max(specs["risk-1"]["datasets"].values(), key=len)
    assert {row["arm"] for row in rows} == {"pod", "vm", "vm-fpr"}
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', body)


def test_traces_are_kinds_by_the_names_of_their_files(run):
    status, out, err = run("db.csv", "--node", "32GiB", "--seeds", 3, "--hours", 1, "--format", "json")
    assert (status, err) == (0, "")
    (kind,) = json.loads(out)["kinds"]
    assert kind["kind"] == "db"
    fits = {case: by["independent"]["vms"] for case, by in kind["fits"].items()}
    assert fits == {"without_fpr": 10, "with_fpr": 15, "ideal": 21}


@pytest.mark.long
def test_a_run_is_asked_for_its_own_schedules(run, tmp_path):
    write_run(tmp_path / "measured", Truth(), study=CYCLE_ONLY)
    status, out, err = run("measured", "--node", "8GiB", "--seeds", 3, "--hours", 1, "--format", "json")
    assert (status, err) == (0, "")
    fits = {c: by["independent"]["vms"] for c, by in json.loads(out)["kinds"][0]["fits"].items()}
    assert fits["without_fpr"] < fits["with_fpr"] < fits["ideal"]


@pytest.mark.long
def test_the_example_of_the_documentation_has_an_answer_for_each_kind(run):
    status, out, err = run(EXAMPLE, "--hours", 4, "--seeds", 3)
    assert (status, err) == (0, "")
    assert out.startswith("A node of 192 GiB has memory for VMs 'build': ")
    assert "more with FPR" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["db.csv"], "traces have no node"),
        (["nowhere.toml"], "cannot read nowhere.toml"),
        (["nowhere.csv", "--node", "1GiB"], "nowhere.csv"),
        (["fleet.toml", "db.csv"], "a fleet or a run is asked about by itself"),
        (["db.csv", "db.csv", "--node", "1GiB"], "two traces are called 'db'"),
        (["fleet.toml", "--risk", "0"], "not above 0"),
        (["fleet.toml", "--overcommit", "1%"], "not from 10% to 1000%"),
        (["fleet.toml", "--hours", "-1"], "not above 0"),
        (["fleet.toml", "--hours", "some"], "not a number of hours"),
        (["."], "manifest.json"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_computed(run, arguments, words):
    status, out, err = run(*arguments)
    assert status != 0
    assert out == ""
    assert words in err

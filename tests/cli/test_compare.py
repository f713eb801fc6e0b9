"""`freepage compare` and `freepage gate` from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from freepage.cli.main import main
from freepage.records import Arm
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

pytestmark = pytest.mark.long

TRUTH = Truth(repeats=5)
SLOWER = replace(
    TRUTH, rest_s_per_gib=TRUTH.rest_s_per_gib | {Arm.VM_FPR: 1.2 * TRUTH.rest_s_per_gib[Arm.VM_FPR]}
)
RULES = """
[[rule]]
name = "no slower & <fine>"
experiment = "cycle"
number = "reallocation_penalty"
at_most_ratio = {ratio}
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "base", TRUTH, study=CYCLE_ONLY)
    write_run(folder / "same", TRUTH, study=CYCLE_ONLY)
    write_run(folder / "slower", SLOWER, study=CYCLE_ONLY)
    write_run(folder / "one", replace(SLOWER, repeats=1), study=CYCLE_ONLY)
    write_run(folder / "other", replace(TRUTH, host={"kernel": "6.12.0"}), study=CYCLE_ONLY)
    return folder


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def gate(run, folders, tmp_path, name, ratio, *options, text=RULES):
    (tmp_path / "rules.toml").write_text(text.format(ratio=ratio))
    return run(
        "gate", folders / name, "--baseline", folders / "base", "--rules", tmp_path / "rules.toml", *options
    )


def test_a_comparison_is_printed_within_80_columns_with_what_changed_first(run, folders):
    status, out, err = run("compare", folders / "base", folders / "slower")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("NEW differs from BASE: 2 worse")
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in out
    first = next(n for n, line in enumerate(lines) if "────" in line)
    assert lines[first + 1].strip().startswith("worse")
    assert "1.20×" in lines[first + 1]


def test_every_number_can_be_shown(run, folders):
    few, many = (run("compare", folders / "base", folders / "slower", *o)[1] for o in ((), ("--all",)))
    assert len(many.splitlines()) > 2 * len(few.splitlines())
    assert all(len(line) <= 80 for line in many.splitlines())


def test_json_and_markdown_go_to_standard_output_or_a_file(run, folders, tmp_path):
    status, out, _ = run("compare", folders / "base", folders / "slower", "--format", "json")
    content = json.loads(out)
    assert (status, content["schema"]) == (0, 1)
    assert {c["outcome"] for c in content["changes"]} >= {"worse", "same"}
    assert "| worse" in run("compare", folders / "base", folders / "slower", "--format", "md")[1]
    _, printed, _ = run(
        "compare", folders / "base", folders / "slower", "--format", "md", "--out", tmp_path / "c.md"
    )
    assert printed.strip() == str(tmp_path / "c.md")
    assert (tmp_path / "c.md").read_text().startswith("# ")


def test_unlike_runs_are_refused_with_their_differences_and_a_status_that_is_not_worse(run, folders):
    status, out, err = run("compare", folders / "base", folders / "other")
    assert (status, out) == (2, "")
    assert "host-kernel: 6.1.0 in BASE, 6.12.0 in NEW" in err
    status, out, _ = run("compare", folders / "base", folders / "other", "--across", "host-kernel")
    assert status == 0
    assert "host-kernel: 6.1.0 in BASE, 6.12.0 in NEW" in out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("compare", "base", "base"), 2, "named twice"),
        (("compare", "base", "nowhere"), 5, "manifest.json is missing"),
        (("compare", "base", "same", "--across", "colour"), 2, "'colour' is no condition"),
        (("compare", "base", "same", "--margin", "500%"), 2, "below 100%"),
        (("compare", "base", "same", "--format", "md", "--out", "nowhere/c.md"), 5, "cannot be written"),
        (("gate", "base"), 6, "--rules is missing"),
        (("gate", "base", "--rules", "nowhere.toml"), 6, "cannot be read"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(run, folders, monkeypatch, arguments, status, words):
    monkeypatch.chdir(folders)
    found, _, err = run(*arguments)
    assert found == status
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "ratio", "status", "outcome"),
    [
        ("same", 1.10, 0, "passed"),
        ("slower", 1.10, 1, "failed"),
        ("slower", 1.20, 2, "cannot tell"),
        ("one", 1.10, 2, "cannot tell"),
    ],
)
def test_a_gate_ends_with_0_where_it_passes_1_where_worse_and_2_where_it_cannot_tell(
    run, folders, tmp_path, name, ratio, status, outcome
):
    found, out, _ = gate(run, folders, tmp_path, name, ratio)
    assert found == status
    assert f"gate: {outcome}" in out


@pytest.mark.parametrize(("ratio", "tag"), [(1.10, "failure"), (1.20, "skipped"), (1.30, "system-out")])
def test_junit_has_a_test_case_for_each_rule(run, folders, tmp_path, ratio, tag):
    gate(run, folders, tmp_path, "slower", ratio, "--junit", tmp_path / "gate.xml")
    suites = ET.parse(tmp_path / "gate.xml").getroot()
    case = suites.find("testsuite/testcase")
    assert case.attrib == {"name": "no slower & <fine>", "classname": "freepage.cycle"}
    assert [child.tag for child in case] == [tag]
    assert suites.attrib["failures"] == str(int(tag == "failure"))
    assert suites.attrib["skipped"] == str(int(tag == "skipped"))


def test_junit_stays_xml_whatever_a_rule_is_called(run, folders, tmp_path):
    text = RULES.replace("no slower & <fine>", "bell \\u0007 and ]]>")
    gate(run, folders, tmp_path, "same", 1.1, "--junit", tmp_path / "gate.xml", text=text)
    case = ET.parse(tmp_path / "gate.xml").getroot().find("testsuite/testcase")
    assert case.attrib["name"] == "bell \ufffd and ]]>"


def test_a_gate_as_json(run, folders, tmp_path):
    status, out, _ = gate(run, folders, tmp_path, "slower", 1.1, "--format", "json")
    content = json.loads(out)
    assert status == 1
    assert content["outcome"] == "failed"
    assert content["rules"][0]["checks"][0]["estimate"]["low"] > 1.1


def test_a_gate_of_bounds_alone_needs_no_baseline_and_one_of_ratios_does(run, folders, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES.format(ratio=1.1))
    status, _, err = run("gate", folders / "base", "--rules", rules)
    assert status == 6
    assert "line 2: the rule compares with a baseline" in err
    rules.write_text(RULES.replace("at_most_ratio = {ratio}", "at_most = 2"))
    assert run("gate", folders / "base", "--rules", rules)[0] == 0
    assert run("gate", folders / "one", "--rules", rules)[0] == 2


def test_a_rule_about_an_experiment_that_the_run_lacks_is_refused_with_what_was_meant(run, folders, tmp_path):
    status, _, err = gate(run, folders, tmp_path, "same", 1.1, text=RULES.replace('"cycle"', '"cylce"'))
    assert status == 6
    assert "line 2: same has no experiment 'cylce'" in err
    assert "did you mean 'cycle'?" in err


def test_the_example_of_rules_judges_a_run(run, folders, tmp_path):
    status, out, _ = run("gate", "--example")
    assert status == 0
    (tmp_path / "rules.toml").write_text(out)
    status, out, _ = run(
        "gate", folders / "slower", "--baseline", folders / "base", "--rules", tmp_path / "rules.toml"
    )
    assert status == 1
    assert "failed" in out

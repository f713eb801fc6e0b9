"""`freepage forecast` from the command line."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest

from freepage.cli.main import main
from freepage.units import GIB
from helpers.traces import HEADER, LIKELY_GIB_MIN, NOW_GIB_MIN, ROWS, TEXT, write_vm

ANSWER = "With FPR this VM would hold 32.4 GiB·min instead of 64.0 GiB·min: 49 % less (44 to 55 %)."
HOSTILE = "<script>alert(1)</script>|[red]x\x1b[1m"


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            status = main(["forecast", *(str(a) for a in arguments)])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def vm(tmp_path):
    return write_vm(tmp_path)


def ask_json(run, *arguments):
    status, out, err = run(*arguments, "--format", "json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_the_answer_is_the_first_thing_in_a_terminal_of_80_columns(run, vm):
    status, out, err = run(vm)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert " ".join(lines[:2]).split("  ")[0].startswith(ANSWER[:70])
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in out
    for words in ("Not known", "--price RUN", "Assumed", "passes"):
        assert words in out


def test_programs_get_the_numbers_unrounded_with_what_they_rest_on(run, vm):
    content = ask_json(run, vm)
    (only,) = content["vms"]
    assert only["gib_min"]["now"] == pytest.approx(NOW_GIB_MIN)
    assert only["gib_min"]["with_fpr"]["likely"] == pytest.approx(LIKELY_GIB_MIN)
    assert only["gib_min"]["with_fpr"]["low"] < LIKELY_GIB_MIN < only["gib_min"]["with_fpr"]["high"]
    assert only["stranded_bytes"] == pytest.approx(GIB)
    assert only["cached_bytes"] == pytest.approx(2 * GIB)
    assert content["total"]["gib_min"] == only["gib_min"]
    assert content["assumptions"]


def test_other_names_of_columns_are_told_and_parquet_says_the_same_as_csv(run, vm, tmp_path):
    text = TEXT.replace("resident,total,free_huge,free_small", "rss,memory,huge,small")
    names = "--columns", "resident=rss,total=memory", "--columns", "free_huge=huge,free_small=small"
    theirs = write_vm(tmp_path, "theirs.csv", text)
    pl.read_csv(theirs).write_parquet(tmp_path / "theirs.parquet")
    found = [ask_json(run, path, *names)["total"] for path in (theirs, tmp_path / "theirs.parquet")]
    assert found[0] == found[1] == ask_json(run, vm)["total"]


def test_several_files_are_several_vms_with_names_of_their_own(run, vm, tmp_path):
    (tmp_path / "other").mkdir()
    content = ask_json(run, vm, write_vm(tmp_path / "other"))
    assert [each["name"] for each in content["vms"]] == ["vm", "vm #2"]
    assert content["total"]["gib_min"]["now"] == pytest.approx(2 * NOW_GIB_MIN)
    assert run(vm, tmp_path / "other/vm.csv")[1].startswith("With FPR these 2 VMs would hold 64.8 GiB·min")


def test_every_page_can_be_reported_instead(run, vm):
    with_fpr = ask_json(run, vm, "--reporting-order", "0")["total"]["gib_min"]["with_fpr"]
    assert with_fpr["likely"] == pytest.approx(4 * (7 + 0.39))
    assert ask_json(run, vm, "--reporting-order", "4")["total"]["gib_min"]["with_fpr"]["likely"] is None


def test_the_guests_size_can_be_given(run, tmp_path):
    text = "\n".join(",".join(line.split(",")[:2] + line.split(",")[3:]) for line in [HEADER, *ROWS])
    path = write_vm(tmp_path, "sizeless.csv", text)
    assert ask_json(run, path, "--total", "16GiB")["total"]["gib_min"]["now"] == pytest.approx(NOW_GIB_MIN)
    assert run(path)[0] == 2


def test_a_vm_of_which_nothing_is_known_is_named_and_not_counted(run, vm, tmp_path):
    bare = write_vm(tmp_path, "bare.csv", f"time,resident,total\n0,{GIB},{4 * GIB}\n60,{GIB},{4 * GIB}\n")
    status, out, _ = run(vm, bare)
    assert status == 0
    assert out.startswith("With FPR 1 of these 2 VMs would hold 32.4 GiB·min")
    assert "Of one VM nothing is known: bare." in out
    assert "Nothing can be forecast of this VM" in run(bare)[1]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("nowhere.csv",), 2, "nowhere.csv cannot be read"),
        (("nowhere.parquet",), 2, "No such file"),
        (("empty",), 5, "manifest.json is missing"),
        (("vm.csv", "--columns", "resident"), 2, "is not ours=theirs"),
        (("vm.csv", "--columns", "resident=rs"), 2, "no column 'rs'"),
        (("vm.csv", "--total", "8GiB"), 2, "--total was given as well"),
        (("vm.csv", "--reporting-order", "16"), 2, "not an order from 0 to 15"),
        (("vm.csv", "--page-size", "4 parsecs"), 2, "is not a size"),
        (("vm.csv", "--page-size", "5KiB"), 2, "4KiB, 16KiB or 64KiB"),
        (("vm.csv", "--price", "nowhere"), 5, "manifest.json is missing"),
        (("vm.csv", "--price", "vm.csv"), 5, "manifest.json is missing"),
        (("vm.csv", "--format", "md", "--out", "nowhere/f.md"), 5, "cannot be written"),
        ((), 2, "SOURCE"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(run, vm, tmp_path, arguments, status, words):
    (tmp_path / "empty").mkdir()
    found, _, err = run(*arguments)
    assert found == status
    assert words in err
    assert "Traceback" not in err


def test_the_pages_first_sentence_is_the_answer_and_a_figure_shows_it(run, vm, tmp_path):
    assert run(vm, "--format", "html")[:2] == (0, "forecast.html\n")
    page = (tmp_path / "forecast.html").read_text()
    assert f"<title>{ANSWER}</title>" in page
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert f"<h1>{ANSWER}</h1>" in body
    assert (
        body.index("<h1>") < body.index("<figure") < body.index("table-vms") < body.index("What it rests on")
    )
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', body)
    specs = json.loads(re.search(r"const specs = (.*?);\nconst absolutes", page, re.DOTALL)[1])
    rows = [row for rows in specs["total"]["datasets"].values() for row in rows]
    assert {(row["arm"], row["y"]) for row in rows} == {
        ("vm", 16.0),
        ("vm-fpr", round(LIKELY_GIB_MIN / 4, 4)),
    }
    assert all(row["low"] < row["y"] < row["high"] for row in rows if row["arm"] == "vm-fpr")


def test_several_vms_are_folded_below_all_of_them_and_their_names_stay_text(run, tmp_path):
    lines = [f"{HEADER},vm", *(f"{row},{name}" for row in ROWS for name in (HOSTILE, "b"))]
    path = write_vm(tmp_path, "two.csv", "\n".join(lines))
    assert run(path, "--format", "html", "--out", "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text()
    assert page.count('<details class="experiment">') == 2
    assert "<script>alert(1)" not in page
    assert "all VMs together: 49 % less" in page
    markdown = run(path, "--format", "md")[1]
    assert markdown.startswith("**With FPR these 2 VMs")
    assert all(line.count("|") != 1 for line in markdown.splitlines() if line.startswith("|"))
    assert "\x1b[1m" not in run(path)[1]


def test_many_vms_are_cut_in_a_terminal_and_all_there_for_programs(run, tmp_path):
    lines = [f"{HEADER},vm", *(f"{row},vm{n}" for row in ROWS for n in range(30))]
    path = write_vm(tmp_path, "many.csv", "\n".join(lines))
    assert "and 11 more: --format json, md or html has them all" in run(path)[1]
    assert len(ask_json(run, path)["vms"]) == 30

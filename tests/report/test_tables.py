"""The report's tables, for people and as CSV for programs."""

from __future__ import annotations

import csv
import io

import pytest

from freepage.analysis.estimates import Quantity
from freepage.analysis.results import build_results
from freepage.records import CARRIERS, Arm
from freepage.report.table import table_csv
from freepage.report.tables import build_tables
from freepage.store import load_run
from helpers.modelled_run import find_trial_ids, write_run


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables") / "run"
    write_run(folder)
    run = load_run(folder)
    results = build_results(run)
    return results, {table.id: table for table in build_tables(results, run.manifest)}


def read_csv(table):
    return list(csv.DictReader(io.StringIO(table_csv(table))))


def test_csv_holds_the_estimates_themselves_in_base_units(built):
    results, tables = built
    row = next(
        r for r in read_csv(tables["memory"]) if (r["experiment"], r["arm"]) == ("cycle", str(Arm.VM_FPR))
    )
    found = results.experiments["cycle"].estimate(Arm.VM_FPR, Quantity.NODE_MEAN)
    assert float(row["node mean"]) == found.value
    assert (float(row["node mean low"]), float(row["node mean high"])) == (found.low, found.high)
    assert row["node mean unit"] == "bytes"


def test_what_is_not_known_is_empty_in_csv_and_a_dash_for_people(built):
    _, tables = built
    row = next(r for r in read_csv(tables["release"]) if r["arm"] == str(Arm.VM))
    assert row["90 %"] == ""
    shown = next(r for r in tables["release"].rows if r[1].text == str(Arm.VM))
    assert shown[3].text == "–"


def test_the_articles_columns_stand_in_the_table_of_allocations(built):
    _, tables = built
    table = tables["allocation"]
    assert table.columns[2:5] == ("first", "later", "sd of later")
    assert {row[0].text for row in table.rows} == {"cycle"}
    assert [row[1].text for row in table.rows] == list(CARRIERS)


def test_evidence_is_summed_up_for_each_arm_that_has_a_guest(built):
    _, tables = built
    shown = {row[0].text: [cell.text for cell in row[1:5]] for row in tables["evidence"].rows}
    assert shown == {"vm": ["no", "no", "no", "no"], "vm-fpr": ["yes", "yes", "yes", "yes"]}


def test_a_failed_trial_is_listed_with_its_error(tmp_path):
    write_run(tmp_path / "whole")
    broken = find_trial_ids(tmp_path / "whole", "random", Arm.POD)[1]
    write_run(tmp_path / "run", failed={broken: "random-1: no such runtime"})
    run = load_run(tmp_path / "run")
    tables = {t.id: t for t in build_tables(build_results(run), run.manifest)}
    rows = [[cell.text for cell in row] for row in tables["trials"].rows]
    assert [row[-1] for row in rows if "failed" in row] == ["random-1: no such runtime"]

"""The figure of controls: what was nobody's memory, and what is not known of it."""

from __future__ import annotations

import polars as pl
import pytest

from freepage.analysis.results import build_results
from freepage.records import Arm
from freepage.report.parts.controls import BASELINE, draw_controls
from freepage.report.tables import build_tables
from freepage.store import load_run
from freepage.units import MIB
from helpers.changed_run import change_manifest
from helpers.modelled_run import CYCLE_ONLY, find_trial_ids, write_run


@pytest.fixture
def run_folder(tmp_path):
    write_run(tmp_path / "run", study=CYCLE_ONLY)
    return tmp_path / "run"


def draw(folder):
    run = load_run(folder)
    return draw_controls(run, build_results(run))


def test_a_clean_run_says_so_and_shows_every_trial_in_order(run_folder):
    figure = draw(run_folder)
    assert figure.title == "No other work moved the host's memory in any of 9 trials"
    assert figure.reference == BASELINE
    rows = rows_of(figure)
    assert [row["n"] for row in rows] == list(range(1, 10))
    assert {row["doubted"] for row in rows} == {"no"}
    assert all(row["y"] < 3 for row in rows)


def test_a_trial_with_other_work_has_a_ring_and_its_doubt(run_folder):
    name = find_trial_ids(run_folder, "cycle", Arm.POD)[1]
    path = run_folder / "trials" / name / "samples.parquet"
    samples = pl.read_parquet(path)
    taken = (pl.col("metric") == "mem_free_bytes") & (pl.col("t_s") > 1)
    samples.with_columns(
        pl.when(taken).then(pl.col("value") - 100.0 * MIB).otherwise(pl.col("value")).alias("value")
    ).write_parquet(path)
    figure = draw(run_folder)
    assert figure.title == "Other work moved the host's memory in 1 of 9 trials"
    assert figure.doubts == ("other-work",)
    rows = rows_of(figure)
    assert [row["trial"] for row in rows if row["doubted"] == "yes"] == [name]
    assert next(row["y"] for row in rows if row["trial"] == name) == pytest.approx(100, abs=2)


def test_nodes_of_a_cluster_are_not_said_to_be_quiet(run_folder):
    change_manifest(run_folder, target="cluster", target_noun="nodes", node_is_fixed=True)
    for path in run_folder.glob("trials/*/samples.parquet"):
        samples = pl.read_parquet(path)
        ages = samples.filter(pl.col("metric") == "mem_free_bytes")
        ages = ages.with_columns(metric=pl.lit("node_sample_age_s"), value=pl.lit(0.0))
        pl.concat([samples, ages]).write_parquet(path)
    figure = draw(run_folder)
    assert figure.title == "What other work took of the nodes is not known"
    assert "Not known for 9 of 9 trials: nodes of a cluster" in figure.caption


def test_the_table_of_releases_counts_those_that_got_there(run_folder):
    run = load_run(run_folder)
    table = next(t for t in build_tables(build_results(run), run.manifest) if t.id == "release")
    reached = {row[1].text: row[-1].text for row in table.rows}
    assert reached == {"pod": "9 of 9", "vm": "0 of 9", "vm-fpr": "9 of 9"}


def rows_of(figure):
    (rows,) = figure.spec["datasets"].values()
    return rows

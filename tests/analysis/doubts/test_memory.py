"""Doubts about memory: each is raised by what was seen, and by nothing else."""

from __future__ import annotations

import polars as pl
import pytest

from freepage.records import Arm
from freepage.units import GIB, MIB
from helpers.changed_run import change_manifest, change_record, change_samples, doubts_of
from helpers.modelled_run import CYCLE_ONLY, Truth, find_trial_ids, write_run


@pytest.fixture
def run_folder(tmp_path):
    write_run(tmp_path / "run")
    return tmp_path / "run"


def test_a_smoke_run_that_gives_nothing_back_blames_nobody(tmp_path):
    write_run(tmp_path / "run", Truth(given_back=0.0))
    assert "inhibited" in doubts_of(tmp_path / "run")
    change_manifest(tmp_path / "run", scale=0.01, smoke=True)
    assert "inhibited" not in doubts_of(tmp_path / "run")


@pytest.mark.parametrize(("delay_s", "raised"), [(10.0, True), (2.0, False), (0.25, False), (None, False)])
def test_a_guest_whose_passes_are_further_apart_than_planned_is_told(run_folder, delay_s, raised):
    change_record(run_folder, Arm.VM_FPR, lambda r: r["evidence"][0].update(reporting_delay_s=delay_s))
    doubt = doubts_of(run_folder).get("slow-passes")
    assert (doubt is not None) is raised
    assert doubt is None or "10 s before each pass" in doubt.text


def read_apart(folder):
    """Make the node one of a cluster, whose numbers come with their age."""
    change_manifest(folder, target="cluster", target_noun="nodes", node_is_fixed=True)
    for path in folder.glob("trials/*/samples.parquet"):
        samples = pl.read_parquet(path)
        ages = samples.filter(pl.col("metric") == "mem_free_bytes").with_columns(
            metric=pl.lit("node_sample_age_s"), value=pl.lit(0.0)
        )
        pl.concat([samples, ages]).write_parquet(path)


def test_a_clusters_run_speaks_of_its_nodes(run_folder):
    read_apart(run_folder)
    change_samples(run_folder, Arm.POD, "mem_free_bytes", lambda _, value: value - GIB)
    drift = doubts_of(run_folder)["baseline-drift"]
    assert "runs on the nodes" in drift.text
    assert "--nodes" in drift.remedy


def test_nodes_that_vary_more_than_fpr_saves_are_called_noisy_without_a_word_of_who_it_was(run_folder):
    read_apart(run_folder)
    node = iter([0.0, 0.9, -0.9])
    for name in find_trial_ids(run_folder, "cycle", Arm.VM_FPR):
        path = run_folder / "trials" / name / "samples.parquet"
        samples, shift = pl.read_parquet(path), next(node) * GIB
        moved = (pl.col("metric") == "mem_free_bytes") & (pl.col("t_s") > 0)
        samples.with_columns(
            pl.when(moved).then(pl.col("value") - shift).otherwise(pl.col("value")).alias("value")
        ).write_parquet(path)
    doubts = doubts_of(run_folder)
    assert doubts["noisy-node"].touches == "node"
    assert "What else moved it is not known here" in doubts["noisy-node"].text
    assert "other-work" not in doubts


def test_a_window_that_is_too_short_says_how_many_releases_made_it(tmp_path):
    write_run(tmp_path / "run", Truth(pass_bytes=80 * MIB))
    doubt = doubts_of(tmp_path / "run")["window-too-short"]
    assert "0 of 9 releases" in doubt.text
    assert "--set cycle.idle=34s" in doubt.remedy


def test_same_page_merging_is_named(tmp_path):
    write_run(tmp_path / "run", Truth(host={"ksm_run": 1}))
    assert doubts_of(tmp_path / "run").keys() == {"ksm"}


@pytest.mark.parametrize(("trials", "doubted"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_time_that_most_releases_did_not_reach_is_doubted_also_where_some_trials_have_one(
    tmp_path, trials, doubted
):
    write_run(tmp_path / "run", study=CYCLE_ONLY)
    for name in find_trial_ids(tmp_path / "run", "cycle", Arm.VM_FPR)[:trials]:
        path = tmp_path / "run/trials" / name / "samples.parquet"
        samples = pl.read_parquet(path)
        kept = (pl.col("metric") == "rss_bytes") & (pl.col("t_s") > 0)
        least = samples.filter(pl.col("metric") == "rss_bytes")["value"].min() + 100 * MIB
        more = pl.when(kept).then(pl.col("value").clip(least, None)).otherwise(pl.col("value"))
        samples.with_columns(more.alias("value")).write_parquet(path)
    assert ("window-too-short" in doubts_of(tmp_path / "run")) is doubted

"""How the host's CPU is drawn: smoothed, with its highest sample, beside the article's peak."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.analysis.results import build_results
from freepage.analysis.series import busy_cores_series
from freepage.records import Arm
from freepage.report.parts.cpu import burst_table, draw_cpu, find_window_s
from freepage.store import load_run
from helpers.modelled_run import TOGETHER, Truth, write_run


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together") / "run"
    write_run(folder, Truth(repeats=1), study=TOGETHER)
    run = load_run(folder)
    return run, build_results(run)


def datasets(figure):
    lines, *marks = sorted(figure.spec["datasets"].values(), key=len, reverse=True)
    return lines, marks


def test_the_window_is_at_most_five_seconds_and_never_fewer_than_three_samples():
    assert find_window_s(1800.0, 1.0) == 5.0
    assert find_window_s(40.0, 0.5) == 2.0
    assert find_window_s(10.0, 1.0) == 3.0


def test_the_line_is_smoothed_and_the_highest_sample_stands_beside_it(built):
    run, results = built
    figure = draw_cpu(run, results, "burst")
    lines, marks = datasets(figure)
    assert "smoothed over 1.5 s" in figure.caption
    (trial,) = run.ok_trials("burst", Arm.VM_FPR)
    highest = busy_cores_series(trial).between(0, trial.record.planned_duration_s).maximum()
    peaks = [row for rows in marks for row in rows if row["arm"] == Arm.VM_FPR]
    assert max(row["y"] for row in lines if row["arm"] == Arm.VM_FPR and row["y"] is not None) < highest
    assert highest == pytest.approx(peaks[0]["y"], abs=1e-3)
    assert f"vm-fpr {peaks[0]['y']:.2f}" in figure.caption


def test_the_articles_peak_is_drawn_by_the_number_of_instances_where_the_host_has_their_cpus(built):
    figure = draw_cpu(*built, "burst")
    theirs = [
        row
        for rows in datasets(figure)[1]
        for row in rows
        if row["y"] == pytest.approx(3 * 30 / 32, abs=1e-3)
    ]
    assert {row["arm"] for row in theirs} == {Arm.POD, Arm.VM_FPR}
    run, results = built
    small = replace(run, manifest=replace(run.manifest, host=run.manifest.host | {"cpus_logical": 2}))
    few = draw_cpu(small, results, "burst")
    assert few.article == ""
    assert "Its values are not drawn" in few.caption


def test_what_the_article_saw_fpr_add_stands_at_the_end_above_our_vms_without(built):
    run, results = built
    figure = draw_cpu(run, results, "churn")
    (mark,) = min(figure.spec["datasets"].values(), key=len)
    without = results.experiments["churn"].arms[Arm.VM]["node_cpu_cores"].value
    assert (mark["t"], mark["arm"]) == (20, Arm.VM_FPR)
    assert mark["y"] == pytest.approx(without + 0.02, abs=1e-3)


def test_time_in_barriers_has_columns_only_where_there_are_some(built):
    assert not any("barriers" in column for column in burst_table(built[1]).columns)

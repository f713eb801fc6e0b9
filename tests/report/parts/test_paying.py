"""How a map is shown: one figure for all its points, two tables, and the terminal."""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import pytest

from freepage.analysis.results import build_results
from freepage.report.figures import draw_figures
from freepage.report.page import render_page
from freepage.report.parts.paying import BREAK_EVEN, PACE, SAVED, WAITED, break_even_table, paying_table
from freepage.report.terminal import print_results
from freepage.store import load_run
from helpers.modelled_map import write_map


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map") / "run"
    write_map(folder)
    run = load_run(folder)
    return run, build_results(run)


@pytest.fixture(scope="module")
def figure(built):
    (figure,) = [f for f in draw_figures(*built) if f.id == "paying"]
    return figure


def rows_of(figure, what):
    (rows,) = figure.spec["datasets"].values()
    return [row for row in rows if row["what"] == what]


def test_the_map_is_one_figure_of_its_own_titled_by_its_finding(figure):
    assert figure.experiment == "map"
    assert figure.title.endswith("FPR pays above 2.1 s of idle for 256 MiB")
    alt.LayerChart.from_dict(figure.spec, validate=True)


def test_points_lie_over_the_kernels_pace_with_what_is_waited_for_beside_them(figure):
    saved, waited, pace = (rows_of(figure, what) for what in (SAVED, WAITED, PACE))
    assert [row["x"] for row in saved] == [row["x"] for row in waited] == [1, 3, 6]
    assert all(row["low"] <= row["y"] <= row["high"] for row in saved)
    assert max(row["y"] for row in pace) == pytest.approx(100 * 4 / 11, abs=0.001)
    assert all(row["y"] == 0 for row in pace if row["x"] < 2)
    assert waited[-1]["y"] == pytest.approx(100 * 0.075 / 11, abs=0.2)
    (start,) = rows_of(figure, BREAK_EVEN)
    assert start["x"] == pytest.approx(2.075, abs=0.03)


def test_where_the_guests_passes_are_not_known_no_pace_is_drawn(built):
    run, results = built
    unknown = replace(results, paying=replace(results.paying, passes=None))
    (figure,) = [f for f in draw_figures(run, unknown) if f.id == "paying"]
    assert rows_of(figure, PACE) == []
    assert rows_of(figure, SAVED)


def test_the_table_says_of_each_point_whether_it_pays(built):
    table = paying_table(built[1])
    said = {row[2].text: row[3].text for row in table.rows}
    assert (said["3 s"], said["6 s"]) == ("yes", "yes")
    assert said["1 s"] in {"no", "open"}
    ((_, _, start, price),) = break_even_table(built[1]).rows
    assert start.text.startswith("2.0")
    assert start.interval == "2.00 to 3.00"
    assert price.text.endswith("s/GiB")


def test_the_page_begins_with_the_map_and_a_terminal_shows_it_within_80_columns(built, capsys, monkeypatch):
    page = render_page(*built)
    assert "<h2>map</h2>" in page
    assert "The points of the map" in page
    monkeypatch.setenv("COLUMNS", "80")
    print_results(built[1], {})
    out = capsys.readouterr().out
    assert "From which idle time on FPR pays" in out
    assert "…" not in out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "alloc" not in out.split("The points of the map")[1].split("Of 18 claims")[0]

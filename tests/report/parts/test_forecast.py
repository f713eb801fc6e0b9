"""The figure and the table of forecasts, and what those VMs did that were forecast."""

from __future__ import annotations

import altair as alt
import polars as pl
import pytest

from freepage.analysis.compared import Comparison
from freepage.analysis.footprints import FORECASTS
from freepage.analysis.results import build_results
from freepage.records import Arm
from freepage.report.figures import draw_figures
from freepage.report.parts.forecast import FORECAST, TITLE
from freepage.report.tables import build_tables
from freepage.store import load_run
from freepage.units import GIB, MIB
from helpers.changed_run import change_samples
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

SHOWN = Truth(guest_free_bytes=1.5 * GIB)


def show(folder):
    run = load_run(folder)
    results = build_results(run)
    figures = {figure.id: figure for figure in draw_figures(run, results)}
    return results, figures, {table.id: table for table in build_tables(results, run.manifest)}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast") / "run"
    write_run(folder, SHOWN)
    return show(folder)


def rows_of(figure, arm):
    rows = max(figure.spec["datasets"].values(), key=len)
    return {row["t"]: row["y"] for row in rows if row["arm"] == arm}


def nearest(rows, t_s):
    return rows[min(rows, key=lambda t: abs(t - t_s))]


def test_the_grey_line_is_the_forecast_and_lies_on_what_vms_with_fpr_did(shown):
    figure = shown[1]["forecast-cycle"]
    assert figure.reference == FORECAST
    forecast, measured = rows_of(figure, FORECAST), rows_of(figure, Arm.VM_FPR)
    for t_s in (4.0, 8.0, 12.0, 19.0, 28.0, 44.0):
        assert nearest(forecast, t_s) == pytest.approx(nearest(measured, t_s), abs=0.01)
    assert nearest(rows_of(figure, Arm.VM), 12.0) > 2 * nearest(forecast, 12.0)


def test_the_figure_is_what_the_schema_of_vega_lite_asks_for_and_has_the_experiments_time_axis(shown):
    figure = shown[1]["forecast-random"]
    alt.LayerChart.from_dict(figure.spec, validate=True)
    assert figure.span_s == shown[1]["node-memory-random"].span_s
    assert figure.arms == (Arm.VM, Arm.VM_FPR)


def test_the_title_is_how_near_the_forecast_came(shown):
    assert shown[1]["forecast-cycle"].title.startswith("The VM without FPR forecasts the one with it within ")


def test_a_forecast_that_was_missed_is_no_title(tmp_path):
    write_run(tmp_path / "run", SHOWN, study=CYCLE_ONLY)
    change_samples(tmp_path / "run", Arm.VM_FPR, "rss_bytes", lambda _, value: value + 50 * MIB)
    _, figures, _ = show(tmp_path / "run")
    assert figures["forecast-cycle"].title == TITLE
    assert "forecast-off" in figures["forecast-cycle"].doubts


def test_the_table_has_each_forecast_beside_what_was_measured(shown):
    results, _, tables = shown
    rows = {row[0].text: row[1:] for row in tables["forecast"].rows}
    assert list(rows) == ["cycle", "random"]
    found = results.experiments["cycle"]
    assert [cell.estimate for cell in rows["cycle"]] == [found.compared(number) for number in FORECASTS]
    assert len(tables["forecast"].columns) == 1 + len(FORECASTS)


def test_forecasts_stand_in_their_own_table_alone(shown):
    _, _, tables = shown
    headings = {number.heading for number in Comparison if number in FORECASTS}
    assert headings.isdisjoint(row[1].text for row in tables["comparison"].rows)


def test_guests_that_do_not_show_their_free_blocks_have_neither(tmp_path):
    write_run(tmp_path / "run", study=CYCLE_ONLY)
    _, figures, tables = show(tmp_path / "run")
    assert not [name for name in figures if name.startswith("forecast")]
    assert "forecast" not in tables


def test_the_line_has_no_gaps_where_guests_are_asked_less_often_than_the_host_is_read(tmp_path):
    write_run(tmp_path / "run", SHOWN, study=CYCLE_ONLY)
    for path in (tmp_path / "run/trials").glob("*/samples.parquet"):
        samples = pl.read_parquet(path)
        rare = ~samples["metric"].str.starts_with("guest_free_order") | (samples["t_s"] % 2 == 0)
        samples.filter(rare).write_parquet(path)
    forecast = rows_of(show(tmp_path / "run")[1]["forecast-cycle"], FORECAST)
    assert None not in [y for t, y in forecast.items() if t <= 44]

"""The part on forecasts: what VMs without FPR let expect of those with it, and what those did."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.compared import Comparison
from freepage.analysis.definition import Area
from freepage.analysis.footprints import FORECASTS, forecast_footprint, pair_trials
from freepage.analysis.passes import find_experiment_reporting
from freepage.analysis.series import hold, resident_series, vms_of
from freepage.records import Arm
from freepage.report.chart import MOST_POINTS, TIME_WORDS, Figure, Lines, band_rows, draw_lines, rounded
from freepage.report.table import Cell, Table, estimate_cell
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.results import Results
    from freepage.analysis.series import Series
    from freepage.report.chart import Row
    from freepage.store import Run, TrialData

    Curve = NDArray[np.float64]
    # Finds one series of an instance of a trial; None where it has none.
    Finder = Callable[[TrialData, str], Series | None]

FORECAST = "forecast from the VM without FPR"
TITLE = "Forecast from the VM without FPR; what the VM with it did"
# A forecast that is further off is no finding to stand above the figure.
WORTH_A_TITLE = 0.05


def draw_forecast(run: Run, results: Results, experiment: str) -> Figure | None:
    """Draw resident memory of all VMs over time: without FPR, with it, and as it was forecast from the former."""
    pairs = list(pair_trials(run.ok_trials(experiment)))
    if not pairs:
        return None
    interval_s, duration_s = run.manifest.interval_s, pairs[0][0].record.planned_duration_s
    grid = np.linspace(0, duration_s, min(MOST_POINTS, 2 * int(duration_s / interval_s) + 2))
    forecasts = _list_curves([t for t, _ in pairs], _find_forecast(run, experiment), grid, interval_s)
    if not forecasts:
        return None
    rows = _forecast_rows(forecasts, grid)
    for arm, trials in zip((Arm.VM, Arm.VM_FPR), zip(*pairs, strict=True), strict=True):
        rows += band_rows(_list_curves(trials, resident_series, grid, interval_s), arm, grid, 1 / GIB)
    words = (TIME_WORDS, "resident memory of all VMs (GiB)")
    title, caption = _write_title(results.experiments[experiment]), _write_caption(experiment, len(pairs))
    return Figure(
        f"forecast-{experiment}",
        title,
        caption,
        f"{title}. {caption}",
        draw_lines(Lines(rows, (Arm.VM, Arm.VM_FPR), *words, FORECAST, steps=True, span_s=duration_s)),
        FORECAST,
        tuple(d.id for d in results.doubts_touching(Area.MEMORY, experiment)),
        span_s=duration_s,
    )


def _find_forecast(run: Run, experiment: str) -> Finder:
    """Return what forecasts the memory of one VM of an experiment."""
    reporting = find_experiment_reporting(run, experiment)

    def forecast(trial: TrialData, instance: str) -> Series | None:
        found = None if reporting is None else forecast_footprint(trial, instance, reporting)
        return None if found is None else found.resident

    return forecast


def _list_curves(trials: Sequence[TrialData], find: Finder, grid: Curve, interval_s: float) -> list[Curve]:
    curves = (_add_up(trial, find, grid, interval_s) for trial in trials)
    return [curve for curve in curves if curve is not None]


def _add_up(trial: TrialData, find: Finder, grid: Curve, interval_s: float) -> Curve | None:
    """Return one series of all VMs of a trial together; None where one of them has none."""
    found = [find(trial, instance) for instance in vms_of(trial)]
    known = [hold(series, grid, interval_s) for series in found if series is not None]
    return np.sum(known, axis=0) if known and len(known) == len(found) else None


def _forecast_rows(curves: Sequence[Curve], grid: Curve) -> list[Row]:
    """Return the mean over blocks as the rows of a line; null where one of them has a gap."""
    values = zip(grid.tolist(), np.mean(curves, axis=0).tolist(), strict=True)
    return [
        {"t": rounded(t_s), "arm": FORECAST, "y": None if math.isnan(y) else rounded(y / GIB)}
        for t_s, y in values
    ]


def _write_title(found: ExperimentResults) -> str:
    """Return how near the forecast came, where all blocks together show it."""
    ratios = [found.compared(n) for n in (Comparison.FORECAST_SETTLED_RATIO, Comparison.FORECAST_GIB_S_RATIO)]
    ends = [end for ratio in ratios if ratio is not None for end in (ratio.low, ratio.high)]
    known = [abs(end - 1) for end in ends if end is not None]
    if not known or len(known) < len(ends) or max(known) > WORTH_A_TITLE:
        return TITLE
    return f"The VM without FPR forecasts the one with it within {math.ceil(max(known) * 100)}\u00a0%"


def _write_caption(experiment: str, blocks: int) -> str:
    return (
        f"Experiment {experiment}, {blocks} block{'s' if blocks > 1 else ''}: resident memory of all VMs on the host, swap included; each sample "
        "until the next one. The thin grey line is forecast from the VMs without FPR alone: what they take in whole, less their free "
        "blocks of at least the reporting order, and what of those waits for a pass at the pace of the guests' kernel."
    )


def forecast_table(results: Results) -> Table:
    """Return the forecasts of each experiment beside what was measured."""
    rows = tuple(
        (Cell(name), *(estimate_cell(experiment.compared(number)) for number in FORECASTS))
        for name, experiment in results.experiments.items()
        if experiment.compared(Comparison.FORECAST_GIB_S_RATIO) is not None
    )
    return Table(
        "forecast",
        "Forecast from VMs without FPR, and what VMs with it did",
        "Settled: resident memory of one VM that is idle and has reported all it can. Over the trial: of all VMs, integrated, what waits for a "
        "pass included. Ratio: forecast / measured, by block. Passes: by which 90 % of what came back was there later than the guests' "
        "kernel predicts (below 0: earlier); 0 within what it predicts.",
        (
            "experiment",
            "settled, forecast",
            "settled, measured",
            "settled, ratio",
            "over the trial, forecast",
            "over the trial, measured",
            "over the trial, ratio",
            "passes",
        ),
        rows,
    )

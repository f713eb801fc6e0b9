"""The part on Prometheus: its values beside freepage's own samples: the node's memory, the VMs', and every metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import numpy as np

from freepage.analysis.prometheus import (
    IN_USE,
    IN_USE_PARTS,
    RESIDENT,
    describe_pace,
    in_use_series,
    own_node_series,
    resident_totals,
)
from freepage.analysis.series import resample
from freepage.report.arms import ARM_STYLES
from freepage.report.chart import (
    MOST_POINTS,
    TIME_WORDS,
    Figure,
    arm_colour,
    arms_in,
    build_spec,
    time_tooltip,
)
from freepage.report.numbers import MISSING
from freepage.report.table import Cell, Table
from freepage.units import GIB, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freepage.analysis.prometheus import PrometheusMetric, PrometheusResults
    from freepage.analysis.results import Results
    from freepage.analysis.series import Series
    from freepage.analysis.stats import Estimate
    from freepage.report.chart import Row, Spec
    from freepage.store import PrometheusSamples, Run, TrialData

PART = "prometheus"
OURS = "freepage"
THEIRS = "Prometheus"


def draw_prometheus(run: Run, results: Results) -> list[Figure]:
    """Draw the node's memory in use and the VMs' resident memory; nothing where Prometheus has nothing of them."""
    if run.prometheus is None or results.prometheus is None:
        return []
    figures = (draw(run, run.prometheus, results, results.prometheus) for draw in (_draw_node, _draw_vms))
    return [figure for figure in figures if figure is not None]


def _draw_node(
    run: Run, collected: PrometheusSamples, results: Results, found: PrometheusResults
) -> Figure | None:
    def both(trial: TrialData) -> tuple[Series, Series]:
        return own_node_series(trial, IN_USE), in_use_series(collected, trial)

    experiment, rows = _find_rows(run, results, both)
    if not rows:
        return None
    pace, own = _find_pace(found, IN_USE_PARTS["mem_free_bytes"]), format_duration(run.manifest.interval_s)
    return _build_figure(
        "prometheus-node",
        f"Prometheus sees the node's memory {pace}, freepage every {own}",
        f"Experiment {experiment}, the first trial of each arm: total − free − cached − buffers − reclaimable.",
        _draw_points(rows, "node memory in use (GiB)"),
    )


def _draw_vms(
    run: Run, collected: PrometheusSamples, results: Results, found: PrometheusResults
) -> Figure | None:
    experiment, rows = _find_rows(run, results, lambda trial: resident_totals(collected, trial))
    if not rows:
        return None
    return _build_figure(
        "prometheus-vms",
        f"KubeVirt shows what VMs take of the node {_find_pace(found, RESIDENT)}",
        f"Experiment {experiment}, the first trial of each arm: resident memory of all its VMs together.",
        _draw_points(rows, "resident memory of VMs (GiB)"),
    )


def _build_figure(name: str, title: str, caption: str, spec: Spec) -> Figure:
    caption += " Lines: freepage's own samples; points: those of Prometheus, at their own times."
    return Figure(name, title, caption, f"{title}. {caption}", spec, part=PART)


def _find_pace(found: PrometheusResults, name: str) -> str:
    """Return how often a metric really had something new: no oftener than it was sampled, or than it changed."""
    metric = next(m for m in found.metrics if m.id == name)
    known = [s for s in (metric.sampled_s, metric.changed_s) if s is not None]
    return f"every {format_duration(round(max(known), 1))}" if known else "once"


def _find_rows(
    run: Run, results: Results, both: Callable[[TrialData], tuple[Series, Series]]
) -> tuple[str, list[Row]]:
    """Return the first experiment Prometheus has something of, the headline before others, and its rows."""
    headline = results.headline
    for name in sorted(results.experiments, key=lambda name: name != headline):
        firsts = [t for arm in run.arms_of(name) for t in run.ok_trials(name, arm)[:1]]
        rows = [row for trial in firsts for row in _trial_rows(run, trial, *both(trial))]
        if rows:
            return name, rows
    return "", []


def _trial_rows(run: Run, trial: TrialData, ours: Series, theirs: Series) -> list[Row]:
    """Return points of both from the trial's zero to its end, in GiB; nothing where Prometheus has nothing."""
    end_s = trial.record.planned_duration_s
    seen = theirs.between(0.0, end_s)
    if len(seen.t_s) == 0:
        return []
    grid = np.linspace(0.0, end_s, min(MOST_POINTS, 2 * int(end_s / run.manifest.interval_s) + 2))
    line = zip(grid, resample(ours, grid, run.manifest.interval_s), strict=True)
    thin = -(-len(seen.t_s) // MOST_POINTS)
    points = zip(seen.t_s[::thin], seen.values[::thin], strict=True)
    arm = str(trial.record.arm)
    return [_row(t, v, arm, OURS) for t, v in line] + [_row(t, v, arm, THEIRS) for t, v in points]


def _row(t_s: float, value: float, arm: str, by: str) -> Row:
    y = None if np.isnan(value) else round(float(value) / GIB, 4)
    return {"t": round(float(t_s), 3), "y": y, "arm": arm, "by": by}


def _draw_points(rows: list[Row], y: str) -> Spec:
    arms = arms_in(rows)
    dashes = alt.Scale(domain=[str(a) for a in arms], range=[list(ARM_STYLES[a].dash) for a in arms])
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("t:Q", title=TIME_WORDS, scale=alt.Scale(nice=False, zero=True)),
        y=alt.Y("y:Q", title=y, scale=alt.Scale(zero=False)),
        color=arm_colour(arms),
    )
    line = (
        base.transform_filter(alt.datum.by == OURS)
        .mark_line(strokeWidth=1.5)
        .encode(strokeDash=alt.StrokeDash("arm:N", title=None, scale=dashes))
    )
    points = (
        base.transform_filter(alt.datum.by == THEIRS)
        .mark_point(filled=True, size=50, opacity=1)
        .encode(tooltip=time_tooltip(TIME_WORDS, y))
    )
    return build_spec(line, points)


def prometheus_table(results: Results) -> Table:
    """Return every metric that something came for, or that was refused; the note names the others."""
    metrics = results.prometheus.metrics if results.prometheus else ()
    return Table(
        "prometheus",
        "Metrics of Prometheus",
        _write_note(metrics),
        ("metric", "source", "expected", "samples", "changes", "points", "difference from ours"),
        tuple(_metric_cells(metric) for metric in metrics if metric.points or metric.error),
    )


def _write_note(metrics: Sequence[PrometheusMetric]) -> str:
    reasons = dict.fromkeys(f"{m.refresh_why}." for m in metrics if m.points)
    silent = [m.id for m in metrics if not m.points and not m.error]
    pace = describe_pace((m.id, m.sampled_s) for m in metrics)
    return " ".join(
        (
            *filter(None, [pace]),
            "Expected: how often there should be something new:",
            *reasons,
            "Samples: how far apart they are (an expression has none of its own). Changes: how far apart the value really changed;",
            "samples closer than that repeat it. Difference: Prometheus' samples less freepage's own at the same times, median and",
            "what the middle nine tenths span.",
            *([f"Nothing came for {', '.join(silent)}."] if silent else []),
        )
    )


def _metric_cells(metric: PrometheusMetric) -> tuple[Cell, ...]:
    evaluated = "" if metric.raw else f"evaluated every {metric.step_s:g} s"
    series = f"{metric.entities} series" if metric.entities > 1 else ""
    return (
        Cell(metric.id, metric.error or ""),
        Cell(metric.source),
        Cell(f"{metric.refresh_s:g} s", numeric=True),
        _duration_cell(metric.sampled_s, evaluated),
        _duration_cell(metric.changed_s),
        Cell(str(metric.points), series, numeric=True),
        _difference_cell(metric.difference),
    )


def _duration_cell(seconds: float | None, words: str = "") -> Cell:
    return Cell(MISSING if seconds is None else format_duration(seconds), words, numeric=True)


def _difference_cell(found: Estimate | None) -> Cell:
    if found is None or found.low is None or found.high is None:
        return Cell(MISSING, numeric=True)
    low, value, high = (_show(number, found.unit) for number in (found.low, found.value, found.high))
    return Cell(value, f"{low} to {high}", numeric=True, estimate=found)


def _show(value: float, unit: str) -> str:
    text = format_bytes(value) if unit == "bytes" else f"{value:.2f} {unit}"
    return text.replace("-", "−")

"""What Prometheus saw of a run beside freepage's own samples: the node's memory, and the VMs'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from freepage.analysis.prometheus import (
    IN_USE,
    IN_USE_PARTS,
    RESIDENT,
    in_use_series,
    own_node_series,
    resident_totals,
)
from freepage.analysis.results import headline_experiment
from freepage.analysis.series import resample
from freepage.records import Arm
from freepage.report.figures import ARM_COLOURS, ARM_DASHES, MOST_POINTS, Figure
from freepage.units import GIB, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.analysis.series import Series
    from freepage.store import PrometheusSamples, Run, TrialData

PART = "prometheus"
OURS = "freepage"
THEIRS = "Prometheus"
TIME_WORDS = "seconds since the schedules started"

Row = dict[str, Any]


def draw_prometheus(run: Run, results: dict[str, Any]) -> list[Figure]:
    """Draw the node's memory in use and the VMs' resident memory; nothing where Prometheus has nothing of them."""
    if run.prometheus is None:
        return []
    figures = (_draw_node(run, run.prometheus, results), _draw_vms(run, run.prometheus, results))
    return [figure for figure in figures if figure is not None]


def _draw_node(run: Run, collected: PrometheusSamples, results: dict[str, Any]) -> Figure | None:
    def both(trial: TrialData) -> tuple[Series, Series]:
        return own_node_series(trial, IN_USE), in_use_series(collected, trial)

    experiment, rows = _find_rows(run, results, both)
    if not rows:
        return None
    pace, own = _find_pace(results, IN_USE_PARTS["mem_free_bytes"]), format_duration(run.manifest.interval_s)
    return _build_figure(
        "prometheus-node",
        f"Prometheus sees the node's memory {pace}, freepage every {own}",
        f"Experiment {experiment}, the first trial of each arm: total − free − cached − buffers − reclaimable.",
        _build_spec(rows, "node memory in use (GiB)"),
    )


def _draw_vms(run: Run, collected: PrometheusSamples, results: dict[str, Any]) -> Figure | None:
    experiment, rows = _find_rows(run, results, lambda trial: resident_totals(collected, trial))
    if not rows:
        return None
    return _build_figure(
        "prometheus-vms",
        f"KubeVirt shows what VMs take of the node {_find_pace(results, RESIDENT)}",
        f"Experiment {experiment}, the first trial of each arm: resident memory of all its VMs together.",
        _build_spec(rows, "resident memory of VMs (GiB)"),
    )


def _build_figure(name: str, title: str, caption: str, spec: dict[str, Any]) -> Figure:
    caption += " Lines: freepage's own samples; points: those of Prometheus, at their own times."
    return Figure(name, title, caption, f"{title}. {caption}", spec, part=PART)


def _find_pace(results: dict[str, Any], name: str) -> str:
    """Say how often a metric really had something new: no oftener than it was sampled, or than it changed."""
    metric = next(m for m in results["prometheus"]["metrics"] if m["id"] == name)
    known = [s for s in (metric["sampled_s"], metric["changed_s"]) if s is not None]
    return f"every {format_duration(round(max(known), 1))}" if known else "once"


def _find_rows(
    run: Run, results: dict[str, Any], both: Callable[[TrialData], tuple[Series, Series]]
) -> tuple[str, list[Row]]:
    """Give the first experiment Prometheus has something of, the headline before others, and its rows."""
    experiments = results["experiments"]
    headline = headline_experiment({name: e["arms"] for name, e in experiments.items()})
    for name in sorted(experiments, key=lambda name: name != headline):
        rows = [row for trial in _first_trials(run, name) for row in _trial_rows(run, trial, *both(trial))]
        if rows:
            return name, rows
    return "", []


def _first_trials(run: Run, experiment: str) -> list[TrialData]:
    return [t for arm in run.arms_of(experiment) for t in run.ok_trials(experiment, arm)[:1]]


def _trial_rows(run: Run, trial: TrialData, ours: Series, theirs: Series) -> list[Row]:
    """Give points of both from the trial's zero to its end, in GiB; nothing where Prometheus has nothing."""
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


def _build_spec(rows: list[Row], y: str) -> dict[str, Any]:
    import altair as alt

    arms = [a for a in Arm if any(r["arm"] == a for r in rows)]
    domain = [str(a) for a in arms]
    colours = alt.Scale(domain=domain, range=[ARM_COLOURS[a] for a in arms])
    dashes = alt.Scale(domain=domain, range=[ARM_DASHES[a] for a in arms])
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("t:Q", title=TIME_WORDS, scale=alt.Scale(nice=False, zero=True)),
        y=alt.Y("y:Q", title=y, scale=alt.Scale(zero=False)),
        color=alt.Color("arm:N", title=None, scale=colours),
    )
    line = (
        base.transform_filter(alt.datum.by == OURS)
        .mark_line(strokeWidth=1.5)
        .encode(strokeDash=alt.StrokeDash("arm:N", title=None, scale=dashes))
    )
    points = (
        base.transform_filter(alt.datum.by == THEIRS)
        .mark_point(filled=True, size=50, opacity=1)
        .encode(
            tooltip=[
                alt.Tooltip("arm:N"),
                alt.Tooltip("t:Q", title=TIME_WORDS, format=".1f"),
                alt.Tooltip("y:Q", title=y, format=".2f"),
            ]
        )
    )
    chart: dict[str, Any] = alt.layer(line, points).properties(width="container", height=300).to_dict()
    chart.pop("config", None)
    return chart

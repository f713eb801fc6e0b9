"""The report's figures, drawn from a stored run: node memory over time, and how freed memory comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from freepage.analysis.series import (
    Series,
    baseline_bytes,
    busy_cores_series,
    demand_steps,
    metric_series,
    node_in_use_series,
    resample,
    sample_steps,
)
from freepage.analysis.trial_values import LEAST_WINDOW_S, find_releases
from freepage.fpr.mechanics import PASS_DELAY_S, predicted_release
from freepage.kinds import FigureName, Subject, find_kind
from freepage.records import NODE, Arm
from freepage.report.numbers import show_interval, show_value
from freepage.units import GIB, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from freepage.store import Run, TrialData

MOST_POINTS = 400
ARM_COLOURS = {Arm.POD: "#1b9e77", Arm.VM: "#d1462f", Arm.VM_FPR: "#2f6fc4", Arm.BASELINE: "#8a6d3b"}
ARM_DASHES = {Arm.POD: [7, 3], Arm.VM: [2, 2], Arm.VM_FPR: [1, 0], Arm.BASELINE: [10, 3, 2, 3]}
ARM_WORDS = {
    Arm.POD: "pod",
    Arm.VM: "vm (FPR off)",
    Arm.VM_FPR: "vm-fpr (FPR on)",
    Arm.BASELINE: "baseline (no other instances)",
}
DEMAND = "held by the workload"
PREDICTED = "predicted from the kernel's pace"
DEVICE = "the device itself"
IN_USE = "total − free − cached − buffers − reclaimable (free pages on per-CPU lists count as free)"
IN_USE_OF_CGROUP = "usage − page cache + shared memory − reclaimable of the cgroup that plays the node"
REFERENCE_COLOUR = "#8a8f98"
RELEASE_SECONDS = 40.0


@dataclass(frozen=True)
class Figure:
    """One figure: a Vega-Lite specification, a title that says what was found, a caption, and its text alternative.

    reference: what its thin grey line stands for; "" without one. doubts: ids of those that touch what it shows.
    part: the section of the page it stands in; "" for the article's own figures.
    """

    id: str
    title: str
    caption: str
    alternative: str
    spec: dict[str, Any]
    reference: str = ""
    doubts: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    part: str = ""


def draw_figures(run: Run, results: dict[str, Any]) -> list[Figure]:
    """Draw every figure the run has data for, in the order of the page."""
    from freepage.report.prometheus_figures import draw_prometheus

    figures = [
        draw(run, results, name)
        for name, experiment in results["experiments"].items()
        for draw in (_DRAW[figure] for figure in find_kind(experiment["kind"]).figures)
    ]
    drawn = [figure for figure in (*figures, *draw_prometheus(run, results)) if figure is not None]
    return [replace(figure, arms=_arms_shown(figure.spec)) for figure in drawn]


def _arms_shown(spec: dict[str, Any]) -> tuple[str, ...]:
    """Give the arms that a specification has marks of, in the order of Arm."""
    text = json.dumps(spec)
    return tuple(str(arm) for arm in Arm if f'"{arm}"' in text)


def draw_node_memory(run: Run, results: dict[str, Any], experiment: str) -> Figure | None:
    """Draw node memory in use above its baseline over time: one line per arm, the range over repeats, the demand."""
    trials = run.ok_trials(experiment)
    if not trials:
        return None
    duration_s = trials[0].record.planned_duration_s
    grid = np.linspace(0, duration_s, min(MOST_POINTS, 2 * int(duration_s / run.manifest.interval_s) + 2))
    rows = [row for arm in run.arms_of(experiment) for row in _node_rows(run, trials, arm, grid)]
    fullest = max(trials, key=lambda t: len(t.schedules))
    demand = sample_steps(demand_steps(s for p in fullest.schedules.values() for s in p), _fine(grid)) / GIB
    reference = DEMAND if demand.any() else ""
    if reference:
        rows += [
            {"t": _round(t), "y": _round(v), "arm": DEMAND} for t, v in zip(_fine(grid), demand, strict=True)
        ]
    title, alternative = _node_words(results["experiments"][experiment], experiment)
    spec = _lines(
        rows,
        run.arms_of(experiment),
        reference,
        x="seconds since the schedules started",
        y="node memory in use (GiB)",
    )
    return Figure(
        f"node-memory-{experiment}",
        title,
        _node_caption(experiment, trials, reference),
        alternative,
        spec,
        reference,
        _touching(results, "node", experiment),
    )


def draw_release(run: Run, results: dict[str, Any], experiment: str) -> Figure | None:
    """Draw which share of freed memory has left the host, against the seconds since the free."""
    trials = run.ok_trials(experiment)
    rows = [row for arm in run.arms_of(experiment) for row in _release_rows(run, trials, arm)]
    if not any(row["arm"] == Arm.VM_FPR for row in rows):
        return None
    estimates = results["experiments"][experiment]["arms"].get(Arm.VM_FPR, {})
    t90 = estimates.get("release_t90_s")
    title = (
        f"90 % of what a VM frees is back on the host after {format_duration(round(t90['value'], 1))}"
        if t90
        else "Not all of what a VM freed came back within its window"
    )
    predicted = _predicted_rows(trials, max(row["t"] for row in rows))
    caption = (
        f"Experiment {experiment}: mean over all releases that were followed by at least {LEAST_WINDOW_S:g} s without an "
        f"allocation; the band spans them. The guest reports free memory in passes {PASS_DELAY_S:g} s apart, so it comes back in "
        f"steps; samples {run.manifest.interval_s:g} s apart make them slopes."
    )
    reference = PREDICTED if predicted else ""
    words = {"x": "seconds since the memory was freed", "y": "share back on the host (%)"}
    spec = _lines(rows + predicted, run.arms_of(experiment), reference, **words)
    return Figure(
        f"release-{experiment}",
        title,
        caption,
        f"{title}. {caption}",
        spec,
        reference,
        _touching(results, "memory", experiment),
    )


def draw_cpu(run: Run, results: dict[str, Any], experiment: str) -> Figure | None:
    """Draw how many cores the host is busy with over time, for experiments that are about CPU."""
    trials = run.ok_trials(experiment)
    if not trials:
        return None
    duration_s = trials[0].record.planned_duration_s
    grid = np.linspace(0, duration_s, min(MOST_POINTS, int(duration_s / run.manifest.interval_s) + 2))
    rows = [row for arm in run.arms_of(experiment) for row in _cpu_rows(run, trials, arm, grid)]
    found = results["experiments"][experiment]
    title = _cpu_title(found["comparisons"]["extra_cpu_cores"], experiment)
    caption = (
        f"Experiment {experiment}: user, system and interrupt time of the whole host, per second between samples "
        f"{run.manifest.interval_s:g} s apart, mean over repeats with their range. How much VMs use themselves, which other work "
        "on the host does not touch, is in the table of CPU."
    )
    spec = _lines(
        rows,
        run.arms_of(experiment),
        "",
        x="seconds since the schedules started",
        y="cores the host is busy with",
    )
    return Figure(
        f"cpu-{experiment}",
        title,
        caption,
        f"{title}. {caption}",
        spec,
        "",
        _touching(results, "time", experiment),
    )


def draw_throughput(run: Run, results: dict[str, Any], experiment: str) -> Figure | None:
    """Draw what fio measured in every cell, against the device itself."""
    from freepage.report.io_figures import throughput_spec, throughput_title

    del run
    found = results["experiments"][experiment]
    spec = throughput_spec(found, ARM_COLOURS)
    if spec is None:
        return None
    title = throughput_title(found, experiment)
    caption = (
        f"Experiment {experiment}: bytes per second that fio moved, mean over repeats with its interval. Filled: from the page "
        "cache; hollow: from the device, or not known; the grey tick is what the device itself gave, by direct I/O."
    )
    doubts = (
        _touching(results, "time", experiment)
        if Subject.GUEST_IO in find_kind(found["kind"]).measures
        else ()
    )
    return Figure(f"throughput-{experiment}", title, caption, f"{title}. {caption}", spec, DEVICE, doubts)


def _cpu_rows(run: Run, trials: list[TrialData], arm: Arm, grid: NDArray[np.float64]) -> list[dict[str, Any]]:
    mine = [t for t in trials if t.record.arm is arm]
    return _band_rows(
        [resample(busy_cores_series(t), grid, run.manifest.interval_s) for t in mine], arm, grid, 1.0
    )


def _cpu_title(extra: dict[str, Any] | None, experiment: str) -> str:
    if extra is None:
        return f"CPU of the host while {experiment} runs"
    if extra["low"] is not None and extra["low"] <= 0 <= extra["high"]:
        return f"VMs with FPR use no more CPU than this run can tell ({show_interval(extra)} cores)"
    more = show_value(extra | {"value": abs(extra["value"])})
    return f"VMs with FPR use {more} {'more' if extra['value'] > 0 else 'less'} than without"


def _node_rows(
    run: Run, trials: list[TrialData], arm: Arm, grid: NDArray[np.float64]
) -> list[dict[str, Any]]:
    curves = [_above_baseline(t, grid, run.manifest.interval_s) for t in trials if t.record.arm is arm]
    known = [c for c in curves if c is not None]
    return _band_rows(known, arm, grid, 1 / GIB)


def _above_baseline(
    trial: TrialData, grid: NDArray[np.float64], interval_s: float
) -> NDArray[np.float64] | None:
    node = node_in_use_series(trial)
    baseline = baseline_bytes(trial, node)
    return None if baseline is None else resample(Series(node.t_s, node.values - baseline), grid, interval_s)


def _release_rows(run: Run, trials: list[TrialData], arm: Arm) -> list[dict[str, Any]]:
    releases = [r for t in trials if t.record.arm is arm for r in find_releases(t)]
    if not releases:
        return []
    window_s = min(RELEASE_SECONDS, *(r.window_s for r in releases))
    grid = np.linspace(0, window_s, 80)
    curves = [_release_curve(r.curve, grid, run.manifest.interval_s) for r in releases]
    return _band_rows(curves, arm, grid, 100.0)


def _predicted_rows(trials: list[TrialData], end_s: float) -> list[dict[str, Any]]:
    """Give the staircase that the kernel's pace predicts, where every release with FPR is one block of one size."""
    if any(len(processes) > 1 for t in trials for processes in t.schedules.values()):
        return []
    owed = [r.owed_bytes for t in trials if t.record.arm is Arm.VM_FPR for r in find_releases(t)]
    if not owed or max(owed) > 1.05 * min(owed):
        return []
    steps = [(0.0, 0.0), *predicted_release(round(min(owed)))]
    shown = [(t, share) for t, share in steps if t <= end_s]
    shown.append((end_s, shown[-1][1]))
    return [{"t": _round(t), "y": _round(share * 100), "arm": PREDICTED} for t, share in shown]


def _release_curve(
    curve: Sequence[tuple[float, float]], grid: NDArray[np.float64], interval_s: float
) -> NDArray[np.float64]:
    points = [(0.0, 0.0), *curve]
    series = Series(np.array([p[0] for p in points]), np.array([p[1] for p in points]))
    return resample(series, np.minimum(grid, points[-1][0]), interval_s)


def _band_rows(
    curves: list[NDArray[np.float64]], arm: Arm, grid: NDArray[np.float64], factor: float
) -> list[dict[str, Any]]:
    """Give a row per grid point: mean, least and greatest over the curves; null where one has a gap.

    A mean over those that go on would jump where another ends.
    """
    if not curves:
        return []
    rows: list[dict[str, Any]] = []
    stacked = np.vstack(curves) * factor
    for t, column in zip(grid, stacked.T, strict=True):
        known = column[~np.isnan(column)]
        row = {"t": _round(t), "arm": str(arm), "y": None, "low": None, "high": None}
        if len(known) == len(column):
            row |= {"y": _round(known.mean()), "low": _round(known.min()), "high": _round(known.max())}
        rows.append(row)
    return rows


def _lines(
    rows: list[dict[str, Any]], arms: Sequence[Arm], reference: str, *, x: str, y: str
) -> dict[str, Any]:
    import altair as alt

    shown = [str(a) for a in arms if any(r["arm"] == a for r in rows)]
    domain = shown + ([reference] if reference else [])
    colours = [ARM_COLOURS[Arm(a)] for a in shown] + ([REFERENCE_COLOUR] if reference else [])
    dashes = [ARM_DASHES[Arm(a)] for a in shown] + ([[1, 0]] if reference else [])
    colour = alt.Color("arm:N", title=None, scale=alt.Scale(domain=domain, range=colours))
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("t:Q", title=x, scale=alt.Scale(nice=False, zero=True)), color=colour
    )
    band = base.mark_area(opacity=0.16).encode(
        y=alt.Y("low:Q", title=y), y2="high:Q", strokeWidth=alt.value(0)
    )
    thin = (
        base.transform_filter(alt.datum.arm == reference)
        .mark_line(interpolate="step-after", strokeWidth=1)
        .encode(y=alt.Y("y:Q", title=y))
    )
    line = (
        base.transform_filter(alt.datum.arm != reference)
        .mark_line(strokeWidth=2.25)
        .encode(
            y=alt.Y("y:Q", title=y),
            strokeDash=alt.StrokeDash("arm:N", title=None, scale=alt.Scale(domain=domain, range=dashes)),
            tooltip=[
                alt.Tooltip("arm:N"),
                alt.Tooltip("t:Q", title=x, format=".1f"),
                alt.Tooltip("y:Q", title=y, format=".2f"),
            ],
        )
    )
    layers = [band.transform_filter(alt.datum.arm != reference), *([thin] if reference else []), line]
    chart: dict[str, Any] = alt.layer(*layers).properties(width="container", height=300).to_dict()
    chart.pop("config", None)
    return chart


def _touching(results: dict[str, Any], what: str, experiment: str) -> tuple[str, ...]:
    found = (d for d in results["doubts"] if d["touches"] == what and d["experiment"] in {None, experiment})
    return tuple(d["id"] for d in found)


def _node_words(found: dict[str, Any], experiment: str) -> tuple[str, str]:
    """Say what the figure shows, from its estimates: a title, and the text alternative."""
    arms, measures = found["arms"], find_kind(found["kind"]).measures
    given = {arm: (e or {}).get("given_back_fraction") for arm, e in arms.items()}
    means = {arm: (e or {}).get("node_in_use_mean_bytes") for arm, e in arms.items()}
    fpr, vm = given.get(Arm.VM_FPR), given.get(Arm.VM)
    title = f"Node memory in use while {experiment} runs"
    if fpr and vm and Subject.RELEASES in measures:
        if vm["value"] < 0.1 <= fpr["value"]:
            title = "Without FPR the host never gets it back; with FPR it does"
        elif fpr["value"] < 0.1:
            title = "The host gets nothing back, with FPR or without"
    mean_words = ", ".join(f"{arm} {m['value'] / GIB:.2f} GiB" for arm, m in means.items() if m)
    without = means.get(Arm.VM)
    savings = found["comparisons"]["saved_mean_bytes"] if Subject.SAVINGS in measures else None
    if without and savings and (savings["low"] or savings["value"]) > 0:
        saved = savings["value"] / without["value"]
        # More than all of it: other work on the node ended in between.
        if 0.02 < saved <= 1:
            title = f"VMs with FPR take {saved:.0%} less of the node on average".replace("%", "\u00a0%")
    return title, f"{title}. Mean node memory in use above the baseline: {mean_words}."


def _node_caption(experiment: str, trials: list[TrialData], reference: str) -> str:
    repeats = len({t.record.repeat for t in trials})
    range_words = " The band spans the repeats." if repeats > 1 else ""
    line_words = " The thin grey line is what the schedules hold." if reference else ""
    is_cgroup = len(metric_series(trials[0], NODE, "node_cgroup_usage_bytes").t_s) > 0
    return (
        f"Experiment {experiment}, {repeats} repeat{'s' if repeats > 1 else ''}: {IN_USE_OF_CGROUP if is_cgroup else IN_USE}, "
        f"above what was in use before the trial.{range_words}{line_words}"
    )


def _fine(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linspace(float(grid[0]), float(grid[-1]), MOST_POINTS)


def _round(value: float) -> float:
    return round(float(value), 4)


_DRAW = {
    FigureName.NODE_MEMORY: draw_node_memory,
    FigureName.RELEASE: draw_release,
    FigureName.CPU: draw_cpu,
    FigureName.THROUGHPUT: draw_throughput,
}

"""The part on CPU: what instances and the host use, and how well common starts were kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.compared import Comparison
from freepage.analysis.comparisons import find_margin
from freepage.analysis.definition import Area
from freepage.analysis.estimates import Quantity
from freepage.analysis.series import busy_cores_series, resample, smooth
from freepage.analysis.significance import Difference, judge_difference
from freepage.kinds import FigureName
from freepage.records import Arm
from freepage.report.article import ARTICLE, find_article_figure
from freepage.report.chart import (
    MOST_POINTS,
    TIME_WORDS,
    Figure,
    Lines,
    band_rows,
    draw_lines,
    rounded,
)
from freepage.report.numbers import show_interval, show_value
from freepage.report.table import build_arm_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.results import Results
    from freepage.analysis.stats import Estimate
    from freepage.report.chart import Row
    from freepage.report.table import Table
    from freepage.store import Run, TrialData

# The widest window that CPU is smoothed over.
MOST_WINDOW_S = 5.0


def draw_cpu(run: Run, results: Results, experiment: str) -> Figure | None:
    """Draw how many cores the host is busy with over time, smoothed, with the highest sample of each arm."""
    trials = run.ok_trials(experiment)
    if not trials:
        return None
    duration_s, interval_s, found = (
        trials[0].record.planned_duration_s,
        run.manifest.interval_s,
        results.experiments[experiment],
    )
    window_s, arms = find_window_s(duration_s, interval_s), run.arms_of(experiment)
    grid = np.linspace(0, duration_s, min(MOST_POINTS, int(duration_s / interval_s) + 2))
    rows = [row for arm in arms for row in _cpu_rows(run, experiment, arm, grid, window_s)]
    peaks = find_peaks(run, experiment)
    known = find_article_figure(found.kind, FigureName.CPU)
    marks = _find_marks(run, found, trials, peaks) if known else []
    margin = find_margin(Comparison.EXTRA_CPU, Comparison.EXTRA_CPU.margin, found.find_size)
    title = describe_extra_cpu(found.compared(Comparison.EXTRA_CPU), margin, experiment)
    caption = _write_caption(experiment, window_s, interval_s, peaks) + (
        known.describe(drawn=bool(marks)) if known else ""
    )
    lines = Lines(
        rows, arms, TIME_WORDS, "cores the host is busy with", span_s=duration_s, peaks=peaks, article=marks
    )
    return Figure(
        f"cpu-{experiment}",
        title,
        caption,
        f"{title}. {caption}",
        draw_lines(lines),
        doubts=tuple(d.id for d in results.doubts_touching(Area.TIME, experiment)),
        article=ARTICLE if marks else "",
        span_s=duration_s,
    )


def find_window_s(duration_s: float, interval_s: float) -> float:
    """Return the window that CPU is smoothed over: at most 5 s, a twentieth of a short trial, never fewer than three samples."""
    return max(min(MOST_WINDOW_S, duration_s / 20), 3 * interval_s)


def _write_caption(experiment: str, window_s: float, interval_s: float, peaks: Sequence[Row]) -> str:
    highest = ", ".join(f"{peak['arm']} {peak['y']:.2f}" for peak in peaks)
    return (
        f"Experiment {experiment}: user, system and interrupt time of the whole host, smoothed over {window_s:g} s, mean over repeats. "
        f"Faint: the samples themselves, {interval_s:g} s apart, and their range; triangles: the highest of all ({highest} cores). "
        "How much VMs use themselves, which other work on the host does not touch, is in the table of CPU."
    )


def _cpu_rows(run: Run, experiment: str, arm: Arm, grid: NDArray[np.float64], window_s: float) -> list[Row]:
    """Return a row per grid point: the smoothed mean, the mean of the samples as `raw`, and the samples' range."""
    series = [busy_cores_series(t) for t in run.ok_trials(experiment, arm)]
    raw, smoothed = (
        band_rows([resample(s, grid, run.manifest.interval_s) for s in each], arm, grid, 1.0)
        for each in (series, [smooth(s, window_s) for s in series])
    )
    return [row | {"raw": row["y"], "y": mean["y"]} for row, mean in zip(raw, smoothed, strict=True)]


def find_peaks(run: Run, experiment: str) -> list[Row]:
    """Return the highest sample of each arm over its trials, and when it was."""
    peaks: list[Row] = []
    for arm in run.arms_of(experiment):
        trials = run.ok_trials(experiment, arm)
        during = [busy_cores_series(t).known().between(0, t.record.planned_duration_s) for t in trials]
        tops = [(s.values.max(), s.t_s[s.values.argmax()]) for s in during if len(s.values)]
        if tops:
            cores, t_s = max(tops)
            peaks.append({"t": rounded(t_s), "arm": str(arm), "y": rounded(cores)})
    return peaks


def _find_marks(
    run: Run, found: ExperimentResults, trials: Sequence[TrialData], peaks: Sequence[Row]
) -> list[Row]:
    """Return the article's values to the scale of this run: its peak where ours is, or what FPR adds at the end."""
    article = find_article_figure(found.kind, FigureName.CPU)
    instances = len(max(trials, key=lambda t: len(t.schedules)).schedules)
    shares = article.shares if article else {}
    if found.traits.synchronised:
        if instances > (_cpus(run) or 0):
            return []
        return [
            peak | {"y": rounded(shares[arm][0] * instances)}
            for peak in peaks
            if (arm := Arm(str(peak["arm"]))) in shares
        ]
    without = found.estimate(Arm.VM, Quantity.NODE_CPU)
    if without is None or Arm.VM_FPR not in shares:
        return []
    cores = rounded(without.value + shares[Arm.VM_FPR][0] * instances)
    return [{"t": rounded(trials[0].record.planned_duration_s), "arm": str(Arm.VM_FPR), "y": cores}]


def _cpus(run: Run) -> int | None:
    known = run.manifest.host.get("cpus_logical")
    return known if isinstance(known, int) else None


def describe_extra_cpu(extra: Estimate | None, margin: float | None, experiment: str) -> str:
    """Return the figure's title: how much more VMs with FPR use, where the interval shows a difference that matters."""
    neutral = f"CPU of the host while {experiment} runs"
    if extra is None or extra.low is None or extra.high is None:
        return neutral
    if extra.low <= 0 <= extra.high:
        return f"VMs with FPR use no more CPU than this run can tell ({show_interval(extra)} cores)"
    if margin is None or judge_difference(extra, margin) is not Difference.DIFFERENT:
        return neutral
    more = show_value(replace(extra, value=abs(extra.value)))
    return f"VMs with FPR use {more} {'more' if extra.value > 0 else 'less'} than without"


def cpu_table(results: Results) -> Table:
    return build_arm_table(
        results,
        "cpu",
        "CPU",
        "Cores the instances used on average, and cores that guests say they were busy with; CPU time of QEMU's threads: those that execute the guest, the main loop, where "
        "reports are handled (also for each GiB given back), and others; cores the whole host was busy with, mean and peak.",
        (
            Quantity.INSTANCE_CPU,
            Quantity.GUEST_CPU,
            Quantity.VCPU_CPU,
            Quantity.MAIN_LOOP_CPU,
            Quantity.OTHER_CPU,
            Quantity.MAIN_LOOP_CPU_PER_GIB,
            Quantity.NODE_CPU,
            Quantity.NODE_CPU_PEAK,
        ),
    )


def burst_table(results: Results) -> Table:
    """Return what instances that act together did together; time in barriers only where some have any."""
    arms = [arm for experiment in results.experiments.values() for arm in experiment.arms.values()]
    barriers = (Quantity.BARRIER_MEAN, Quantity.BARRIER_MAX)
    return build_arm_table(
        results,
        "burst",
        "Together",
        "How far apart instances that start together really started, of every experiment whose steps are synchronised; how long a "
        "process waited in a barrier for the others, the 0.25 s included in which all are told when to go on; and the host's "
        "highest CPU while they allocate, and in the 10 s after they free, when reports arrive.",
        (
            Quantity.SKEW_MAX,
            Quantity.SKEW_P99,
            *(barriers if any(arm[Quantity.BARRIER_MEAN] for arm in arms) else ()),
            Quantity.CPU_ALLOC_PEAK,
            Quantity.CPU_RELEASE_PEAK,
        ),
        lambda arm: arm[Quantity.SKEW_MAX] is not None,
    )

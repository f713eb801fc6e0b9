"""The part on CPU: what instances and the host use, and how well common starts were kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.compared import Comparison
from freepage.analysis.comparisons import find_margin
from freepage.analysis.definition import Area
from freepage.analysis.estimates import Quantity
from freepage.analysis.series import busy_cores_series, resample
from freepage.analysis.significance import Difference, judge_difference
from freepage.report.chart import MOST_POINTS, TIME_WORDS, Figure, band_rows, draw_lines
from freepage.report.numbers import show_interval, show_value
from freepage.report.table import build_arm_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freepage.analysis.results import Results
    from freepage.analysis.stats import Estimate
    from freepage.records import Arm
    from freepage.report.chart import Row
    from freepage.report.table import Table
    from freepage.store import Run


def draw_cpu(run: Run, results: Results, experiment: str) -> Figure | None:
    """Draw how many cores the host is busy with over time."""
    trials = run.ok_trials(experiment)
    if not trials:
        return None
    duration_s, interval_s = trials[0].record.planned_duration_s, run.manifest.interval_s
    grid = np.linspace(0, duration_s, min(MOST_POINTS, int(duration_s / interval_s) + 2))
    arms = run.arms_of(experiment)
    rows = [row for arm in arms for row in _cpu_rows(run, experiment, arm, grid)]
    found = results.experiments[experiment]
    margin = find_margin(Comparison.EXTRA_CPU, found.without)
    title = describe_extra_cpu(found.compared(Comparison.EXTRA_CPU), margin, experiment)
    caption = (
        f"Experiment {experiment}: user, system and interrupt time of the whole host, per second between samples "
        f"{interval_s:g} s apart, mean over repeats with their range. How much VMs use themselves, which other work "
        "on the host does not touch, is in the table of CPU."
    )
    return Figure(
        f"cpu-{experiment}",
        title,
        caption,
        f"{title}. {caption}",
        draw_lines(rows, arms, "", x=TIME_WORDS, y="cores the host is busy with"),
        doubts=tuple(d.id for d in results.doubts_touching(Area.TIME, experiment)),
    )


def _cpu_rows(run: Run, experiment: str, arm: Arm, grid: NDArray[np.float64]) -> list[Row]:
    series = [busy_cores_series(t) for t in run.ok_trials(experiment, arm)]
    return band_rows([resample(s, grid, run.manifest.interval_s) for s in series], arm, grid, 1.0)


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
    return build_arm_table(
        results,
        "burst",
        "Together",
        "How far apart instances that start together really started; and the host's highest CPU while they allocate, and in "
        "the 10 s after they free, when reports arrive.",
        (Quantity.SKEW_MAX, Quantity.SKEW_P99, Quantity.CPU_ALLOC_PEAK, Quantity.CPU_RELEASE_PEAK),
        lambda arm: arm[Quantity.SKEW_MAX] is not None,
    )

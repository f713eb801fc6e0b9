"""The part on memory: the node's memory in use over time, above its baseline, and what each arm takes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.compared import Comparison
from freepage.analysis.definition import Area
from freepage.analysis.estimates import Quantity
from freepage.analysis.series import (
    Series,
    baseline_bytes,
    demand_steps,
    metric_series,
    node_in_use_series,
    resample,
    sample_steps,
)
from freepage.kinds import Subject
from freepage.records import NODE, Arm
from freepage.report.chart import MOST_POINTS, TIME_WORDS, Figure, band_rows, draw_lines, rounded
from freepage.report.table import build_arm_table
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.results import Results
    from freepage.report.chart import Row
    from freepage.report.table import Table
    from freepage.store import Run, TrialData

DEMAND = "held by the workload"
IN_USE = "total − free − cached − buffers − reclaimable (free pages on per-CPU lists count as free)"
IN_USE_OF_CGROUP = "usage − page cache + shared memory − reclaimable of the cgroup that plays the node"
# Savings of less are not worth a title; of more than all, other work on the node ended in between.
WORTH_A_TITLE = Bounds(at_least=0.05, at_most=1.0)
# VMs gave something back, or they did not.
SOMETHING = 0.1


def draw_node_memory(run: Run, results: Results, experiment: str) -> Figure | None:
    """Draw node memory in use above its baseline over time: one line per arm, the range over repeats, the demand."""
    trials = run.ok_trials(experiment)
    if not trials:
        return None
    duration_s, interval_s = trials[0].record.planned_duration_s, run.manifest.interval_s
    grid = np.linspace(0, duration_s, min(MOST_POINTS, 2 * int(duration_s / interval_s) + 2))
    arms, demand = run.arms_of(experiment), _demand_rows(trials, duration_s)
    rows = [row for arm in arms for row in _node_rows(run, experiment, arm, grid)] + demand
    reference = DEMAND if demand else ""
    title, alternative = describe_node_memory(results.experiments[experiment], experiment)
    return Figure(
        f"node-memory-{experiment}",
        title,
        _write_caption(experiment, trials, reference),
        alternative,
        draw_lines(rows, arms, reference, x=TIME_WORDS, y="node memory in use (GiB)"),
        reference,
        tuple(d.id for d in results.doubts_touching(Area.NODE, experiment)),
    )


def _demand_rows(trials: Sequence[TrialData], duration_s: float) -> list[Row]:
    """Return what the schedules hold, in GiB; nothing where they hold nothing."""
    fullest = max(trials, key=lambda t: len(t.schedules))
    fine = np.linspace(0.0, duration_s, MOST_POINTS)
    demand = sample_steps(demand_steps(s for p in fullest.schedules.values() for s in p), fine) / GIB
    if not demand.any():
        return []
    return [{"t": rounded(t), "y": rounded(v), "arm": DEMAND} for t, v in zip(fine, demand, strict=True)]


def _node_rows(run: Run, experiment: str, arm: Arm, grid: NDArray[np.float64]) -> list[Row]:
    mine = run.ok_trials(experiment, arm)
    curves = [_above_baseline(t, grid, run.manifest.interval_s) for t in mine]
    return band_rows([c for c in curves if c is not None], arm, grid, 1 / GIB)


def _above_baseline(
    trial: TrialData, grid: NDArray[np.float64], interval_s: float
) -> NDArray[np.float64] | None:
    node = node_in_use_series(trial)
    baseline = baseline_bytes(trial, node)
    return None if baseline is None else resample(Series(node.t_s, node.values - baseline), grid, interval_s)


def describe_node_memory(found: ExperimentResults, experiment: str) -> tuple[str, str]:
    """Return what the figure shows, from the experiment's estimates: a title, and the text alternative."""
    means = {arm: found.estimate(arm, Quantity.NODE_MEAN) for arm in found.arms}
    words = ", ".join(f"{arm} {mean.value / GIB:.2f} GiB" for arm, mean in means.items() if mean)
    title = (
        _title_of_savings(found) or _title_of_releases(found) or f"Node memory in use while {experiment} runs"
    )
    return title, f"{title}. Mean node memory in use above the baseline: {words}."


def _title_of_savings(found: ExperimentResults) -> str | None:
    """Return how much less VMs with FPR take, where that is what one looks at and the interval shows it."""
    saved = found.compared(Comparison.SAVED_MEAN_SHARE)
    if Subject.SAVINGS not in found.traits.measures or saved is None:
        return None
    if WORTH_A_TITLE.locate(saved) is not IntervalPosition.WITHIN:
        return None
    return f"VMs with FPR take {saved.value:.0%} less of the node on average".replace("%", "\u00a0%")


def _title_of_releases(found: ExperimentResults) -> str | None:
    """Return whether VMs give back what they free, where they are meant to."""
    fpr, vm = (found.estimate(arm, Quantity.GIVEN_BACK) for arm in (Arm.VM_FPR, Arm.VM))
    if Subject.RELEASES not in found.traits.measures or fpr is None or vm is None:
        return None
    something = Bounds(at_least=SOMETHING)
    at_vm, at_fpr = something.locate(vm), something.locate(fpr)
    if (at_vm, at_fpr) == (IntervalPosition.BEYOND, IntervalPosition.WITHIN):
        return "Without FPR the host never gets it back; with FPR it does"
    nothing = (at_vm, at_fpr) == (IntervalPosition.BEYOND, IntervalPosition.BEYOND)
    return "The host gets nothing back, with FPR or without" if nothing else None


def _write_caption(experiment: str, trials: Sequence[TrialData], reference: str) -> str:
    repeats = len({t.record.repeat for t in trials})
    range_words = " The band spans the repeats." if repeats > 1 else ""
    line_words = " The thin grey line is what the schedules hold." if reference else ""
    is_cgroup = len(metric_series(trials[0], NODE, "node_cgroup_usage_bytes").t_s) > 0
    return (
        f"Experiment {experiment}, {repeats} repeat{'s' if repeats > 1 else ''}: {IN_USE_OF_CGROUP if is_cgroup else IN_USE}, "
        f"above what was in use before the trial.{range_words}{line_words}"
    )


def memory_table(results: Results) -> Table:
    return build_arm_table(
        results,
        "memory",
        "Memory",
        "Given back: share of what was freed that had left the host when the instance next allocated. Held needlessly: "
        "resident memory beyond what the workload held, integrated over time; no finer than samples are. Node memory in use is above the trial's own baseline; "
        "idle overhead is what one instance costs before its workload starts.",
        (
            Quantity.GIVEN_BACK,
            Quantity.HELD_NEEDLESSLY,
            Quantity.NODE_MEAN,
            Quantity.NODE_MAX,
            Quantity.IDLE_OVERHEAD,
        ),
    )

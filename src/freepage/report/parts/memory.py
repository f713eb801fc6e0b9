"""The part on memory: the node's memory in use over time, above its baseline and absolute, and what each arm takes of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
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
    hold,
    metric_series,
    node_in_use_series,
    sample_steps,
)
from freepage.kinds import FigureName, Subject
from freepage.records import NODE, Action, Arm
from freepage.report.article import ARTICLE, find_article_figure
from freepage.report.chart import MOST_POINTS, TIME_WORDS, Figure, Lines, band_rows, draw_lines, rounded
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
    """Draw node memory in use over time, above its baseline and absolute: a line per arm, the range over repeats, the demand."""
    trials = run.ok_trials(experiment)
    if not trials:
        return None
    found, demand = results.experiments[experiment], _find_demand(trials)
    marks, known = find_article_marks(trials, found), find_article_figure(found.kind, FigureName.NODE_MEMORY)
    above, absolute = (
        draw_lines(_lines(run, experiment, demand, marks, absolute=absolute)) for absolute in (False, True)
    )
    title, alternative = describe_node_memory(found, experiment)
    return Figure(
        f"node-memory-{experiment}",
        title,
        _write_caption(experiment, trials, demand) + (known.describe(drawn=bool(marks)) if known else ""),
        alternative,
        above,
        demand.name,
        tuple(d.id for d in results.doubts_touching(Area.NODE, experiment)),
        absolute=absolute,
        article=ARTICLE if marks else "",
        span_s=trials[0].record.planned_duration_s,
    )


@dataclass(frozen=True)
class Demand:
    """The bytes that schedules hold from each time on: those of all blocks, or of one where each draws its own.

    block: its number, from 1; None where all are the same.
    """

    steps: list[tuple[float, float]]
    block: int | None

    @property
    def name(self) -> str:
        """The words of its line; "" where nothing is held."""
        if not any(held for _, held in self.steps):
            return ""
        return DEMAND if self.block is None else f"{DEMAND} in block {self.block}"


def _find_demand(trials: Sequence[TrialData]) -> Demand:
    """Return the demand of the first block that has a trial with all instances, and whether it is that of every such block."""
    most = max(len(t.schedules) for t in trials)
    full = {t.record.repeat: t for t in trials if len(t.schedules) == most}
    blocks = {n: demand_steps(s for p in t.schedules.values() for s in p) for n, t in full.items()}
    first = min(blocks)
    alike = all(steps == blocks[first] for steps in blocks.values())
    return Demand(blocks[first], None if alike else first + 1)


def _lines(run: Run, experiment: str, demand: Demand, marks: Sequence[Mark], *, absolute: bool) -> Lines:
    """Return the lines of one view: above the baseline, or memory in use as it is."""
    trials, interval_s = run.ok_trials(experiment), run.manifest.interval_s
    duration_s = trials[0].record.planned_duration_s
    grid = np.linspace(0, duration_s, min(MOST_POINTS, 2 * int(duration_s / interval_s) + 2))
    arms = run.arms_of(experiment)
    rows: list[Row] = []
    for arm in arms:
        curves = [_hold(t, grid, interval_s, absolute=absolute) for t in run.ok_trials(experiment, arm)]
        rows += band_rows([c for c in curves if c is not None], arm, grid, 1 / GIB)
    ground = _mean_baseline(trials) if absolute else 0.0
    article: list[Row] = [
        {"t": rounded(m.t_s), "arm": str(m.arm), "y": rounded((m.bytes + ground) / GIB)} for m in marks
    ]
    return Lines(
        rows + _demand_rows(demand, duration_s, ground),
        arms,
        TIME_WORDS,
        f"node memory in use{'' if absolute else ' above baseline'} (GiB)",
        demand.name,
        steps=True,
        span_s=duration_s,
        article=article,
    )


def _demand_rows(demand: Demand, duration_s: float, ground: float) -> list[Row]:
    """Return what the schedules hold above `ground`, in GiB, as the staircase it is; nothing where they hold nothing."""
    if not demand.name:
        return []
    times = np.unique([0.0, duration_s, *(t for t, _ in demand.steps if 0 <= t <= duration_s)])
    if len(times) > MOST_POINTS:
        times = np.linspace(0.0, duration_s, MOST_POINTS)
    held = (sample_steps(demand.steps, times) + ground) / GIB
    return [{"t": rounded(t), "y": rounded(v), "arm": demand.name} for t, v in zip(times, held, strict=True)]


def _hold(
    trial: TrialData, grid: NDArray[np.float64], interval_s: float, *, absolute: bool
) -> NDArray[np.float64] | None:
    """Return memory in use as the last sample saw it; None where the baseline it should be above is not known."""
    node = node_in_use_series(trial)
    if absolute:
        return hold(node, grid, interval_s)
    baseline = baseline_bytes(trial, node)
    return None if baseline is None else hold(Series(node.t_s, node.values - baseline), grid, interval_s)


def _mean_baseline(trials: Sequence[TrialData]) -> float:
    known = [b for t in trials if (b := baseline_bytes(t, node_in_use_series(t))) is not None]
    return fmean(known) if known else 0.0


@dataclass(frozen=True)
class Mark:
    """One value of the article at a time of the trial, in bytes above the baseline."""

    arm: Arm
    t_s: float
    bytes: float


def find_article_marks(trials: Sequence[TrialData], found: ExperimentResults) -> list[Mark]:
    """Return the article's values to the scale of these trials: of what is in use before each new block, or before fio."""
    article = find_article_figure(found.kind, FigureName.NODE_MEMORY)
    if article is None or not article.shares:
        return []
    fullest = max(trials, key=lambda t: len(t.schedules))
    steps = [s for processes in fullest.schedules.values() for p in processes for s in p.steps]
    taken = [s for s in steps if s.action is Action.ALLOCATE]
    if not taken:
        return []
    if found.traits.shares_node:
        start_s = min((s.at_s for s in steps if s.action is Action.RUN), default=0.0)
        times, whole, idle = [start_s], _mean_blocks(fullest), dict.fromkeys(article.shares, 0.0)
    else:
        times = [*sorted({s.at_s for s in taken} - {0.0}), fullest.record.planned_duration_s]
        whole = max(held for _, held in demand_steps(p for ps in fullest.schedules.values() for p in ps))
        idle = _idle_bytes(found, len(fullest.schedules))
    return [
        Mark(arm, t_s, share * whole + idle[arm])
        for arm, shares in article.shares.items()
        if arm in found.arms and arm in idle
        for share in shares
        for t_s in times
    ]


def _mean_blocks(trial: TrialData) -> float:
    """Return the mean size of the blocks of each process, in bytes, all of them together."""
    processes = [p.steps for ps in trial.schedules.values() for p in ps]
    sizes = [[s.bytes for s in steps if s.action is Action.ALLOCATE] for steps in processes]
    return sum(fmean(blocks) for blocks in sizes if blocks)


def _idle_bytes(found: ExperimentResults, instances: int) -> dict[Arm, float]:
    """Return what an arm's instances take together before they work, where that is known."""
    seen = {arm: found.estimate(arm, Quantity.IDLE_OVERHEAD) for arm in found.arms}
    return {arm: idle.value * instances for arm, idle in seen.items() if idle is not None}


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


def _write_caption(experiment: str, trials: Sequence[TrialData], demand: Demand) -> str:
    repeats = len({t.record.repeat for t in trials})
    range_words = " The band spans the repeats." if repeats > 1 else ""
    is_cgroup = len(metric_series(trials[0], NODE, "node_cgroup_usage_bytes").t_s) > 0
    return (
        f"Experiment {experiment}, {repeats} repeat{'s' if repeats > 1 else ''}: {IN_USE_OF_CGROUP if is_cgroup else IN_USE}, "
        f"above what was in use before the trial, or absolute; each sample until the next one.{range_words}{_describe_demand(demand)}"
    )


def _describe_demand(demand: Demand) -> str:
    if not demand.name:
        return ""
    if demand.block is None:
        return " The thin grey line is what the schedules hold."
    return f" The thin grey line is what the schedules of block {demand.block} hold; each block has schedules of its own."


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

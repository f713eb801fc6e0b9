"""The warm-up of a run: one short trial of each arm, which pays what only the first would pay, and is not counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.records import Action
from freepage.study.blocks import draw_blocks
from freepage.study.demand import list_carriers
from freepage.study.plan import plan_block, plan_trials, planned_overhead_s

if TYPE_CHECKING:
    from freepage.records import ProcessSchedule, Step
    from freepage.study.plan import Trial
    from freepage.study.study import Experiment, Study

# Seconds from the first step of a warm-up in which steps start; what is still held then is freed.
WARMUP_S = 3.0


def plan_run_trials(study: Study) -> list[Trial]:
    """Return all trials of a run in order: the warm-up, then those that count."""
    warmup = plan_warmup(study)
    return [*warmup, *plan_trials(study, len(warmup))]


def plan_warmup(study: Study) -> list[Trial]:
    """Return a short trial of the first experiment on each of its arms; none for a smoke run, which decides nothing."""
    if study.smoke:
        return []
    first = study.experiments[0]
    block = draw_blocks(study.seed, first.name, first.arms, first.repeats)[0]
    return [_cut_trial(trial) for trial in plan_block(study, first, block, 0)]


def warmup_duration_s(first: Experiment, accelerator: str) -> float:
    """Return the seconds that the warm-up by a study's first experiment is expected to take."""
    carriers = (list_carriers(first, arm) for arm in first.arms)
    return sum(WARMUP_S + planned_overhead_s(each, accelerator, settles=False) for each in carriers)


def _cut_trial(trial: Trial) -> Trial:
    """Return a trial with the steps of its first seconds alone; they start at its zero."""
    start_s = min((s.at_s for i in trial.instances for p in i.schedules for s in p.steps), default=0.0)
    instances = tuple(
        replace(i, schedules=tuple(_cut_schedule(p, start_s) for p in i.schedules)) for i in trial.instances
    )
    name = f"{trial.order + 1:03d}-warmup-{trial.arm}"
    return replace(trial, id=name, instances=instances, duration_s=WARMUP_S, settles=False, warmup=True)


def _cut_schedule(schedule: ProcessSchedule, start_s: float) -> ProcessSchedule:
    """Return the steps that start within the warm-up, and the frees of what they allocate; a program is ended with it."""
    shifted = [replace(step, at_s=round(step.at_s - start_s, 6)) for step in schedule.steps]
    started = {s.iteration for s in shifted if s.at_s < WARMUP_S and s.action is not Action.FREE}
    return replace(schedule, steps=tuple(_end_early(s) for s in shifted if s.iteration in started))


def _end_early(step: Step) -> Step:
    return replace(step, at_s=min(step.at_s, WARMUP_S), timeout_s=min(step.timeout_s, WARMUP_S))

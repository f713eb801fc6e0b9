"""Show the trials of a study, their schedules, memory and time; starts nothing."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from freepage.cli.cluster_options import naming_manifest
from freepage.cli.manifests import print_manifests
from freepage.cli.options import add_study_arguments, open_preview
from freepage.fpr.pace import find_schedule_pace
from freepage.study.more import list_more
from freepage.study.repeats import describe_repeats
from freepage.units import format_bytes, format_duration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

    from freepage.records import ProcessSchedule
    from freepage.study.plan import Trial
    from freepage.study.request import RunPlan
    from freepage.targets.base import Preview


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    asyncio.run(_show(open_preview(options), with_objects=False))
    return 0


def show_dry_run(target: AbstractAsyncContextManager[Preview]) -> int:
    """Print every object a run would create, as YAML; where it creates none, the plan."""
    asyncio.run(_show(target, with_objects=True))
    return 0


async def _show(target: AbstractAsyncContextManager[Preview], *, with_objects: bool) -> None:
    with naming_manifest("run"):
        async with target as preview:
            objects = list(preview.list_objects()) if with_objects else []
            if objects:
                print_manifests(objects)
            else:
                _print_plan(preview.plan, preview.execution)


def _print_plan(run_plan: RunPlan, execution: str) -> None:
    _print_summary(run_plan, execution)
    print_left_out(run_plan)
    _print_experiments(run_plan)
    _print_more(run_plan)
    _print_trials(run_plan.trials)
    _print_schedules(run_plan.trials)


def _print_summary(run_plan: RunPlan, execution: str) -> None:
    study, budget = run_plan.study, run_plan.budget
    largest = max(run_plan.trials, key=lambda t: t.demand_bytes)
    print(f"{study.name}: {study.title}")
    print(f"seed {study.seed}, guests executed by {execution}")
    print(
        f"{len(run_plan.trials)} trials, about {format_duration(run_plan.planned_duration_s)}; "
        f"at most {format_bytes(largest.demand_bytes)} of the {format_bytes(run_plan.available_bytes)} available"
    )
    if budget is not None and run_plan.planned_duration_s > budget.duration_s:
        print(f"this is the least of it: the study's own {format_duration(budget.duration_s)} do not suffice")
    elif budget is not None:
        print(
            f"fitted into {format_duration(budget.duration_s)} (--time) and {format_bytes(budget.memory_bytes)} (--memory)"
        )


def print_left_out(run_plan: RunPlan) -> None:
    if run_plan.left_out:
        print(f"a smoke run; left out: {', '.join(run_plan.left_out)}")


def _print_experiments(run_plan: RunPlan) -> None:
    """Print what each experiment runs instead of what, and what it can decide; a smoke run decides nothing anyway."""
    first_trials = {t.experiment.name: t for t in _first_block(run_plan.trials)}
    for experiment in run_plan.study.experiments:
        scale = experiment.sizing.factor
        sizes = run_plan.sizes.get(experiment.name, "at its own size")
        print(f"{experiment.name}: {sizes} (scale {scale:.2g})")
        if run_plan.study.smoke:
            continue
        print(f"  {describe_repeats(experiment.repeats)}")
        for claim, reason in _foresee(first_trials[experiment.name], scale):
            print(f"  {claim} {reason}")


def _foresee(trial: Trial, scale: float) -> Iterator[tuple[str, str]]:
    """Return the claims that the experiment of a trial cannot decide, with the reasons."""
    # This loads the article's claims, which a run does without before its end.
    from freepage.analysis.foresight import foresee_undecidable

    schedules = {i.name: i.schedules for i in trial.instances}
    pace = find_schedule_pace(schedules, trial.duration_s)
    return foresee_undecidable(trial.experiment.kind, pace, scale)


def _print_more(run_plan: RunPlan) -> None:
    """Print what a longer run would add."""
    if run_plan.way is None or run_plan.budget is None:
        return
    for seconds, words in list_more(run_plan.way, run_plan.budget.duration_s):
        minutes = math.ceil(seconds / 60)
        print(f"with --time {minutes}min ({format_duration(minutes * 60)}): {words}")


def _print_trials(trials: list[Trial]) -> None:
    print("\ntrials, in order")
    for trial in trials:
        which = "warm-up, not counted" if trial.warmup else f"repeat {trial.repeat + 1}"
        print(
            f"  {trial.order + 1:3}  {trial.experiment.name:13} {trial.arm:8} {which}  "
            f"{_describe_instances(trial)}, needs {format_bytes(trial.demand_bytes)}, {format_duration(trial.duration_s)}"
        )


def _describe_instances(trial: Trial) -> str:
    """Describe how many instances of each carrier and size a trial has."""
    counts: dict[str, int] = {}
    for plan in trial.instances:
        guest = "" if plan.carrier == "pod" else f", {format_bytes(plan.vm_memory_bytes)} guest"
        disk = "" if plan.data is None else f", {format_bytes(plan.data.bytes)} {plan.data.filesystem}"
        count = len(plan.schedules)
        words = f"{plan.carrier} ({count} process{'es' if count > 1 else ''}{guest}{disk})"
        counts[words] = counts.get(words, 0) + 1
    return " + ".join(f"{count} x {words}" for words, count in counts.items())


def _print_schedules(trials: list[Trial]) -> None:
    """Print the schedules of the first block, of the arm with all instances."""
    print(
        "\nschedules of repeat 1, the same on every arm; each repeat draws its own"
        " (a: allocate, f: free, r: run, at seconds after the start)"
    )
    for trial in {t.experiment.name: t for t in _first_block(trials)}.values():
        for instance in trial.instances:
            for process in instance.schedules:
                print(f"  {instance.name} process {process.process}: {_describe_steps(process)}")


def _first_block(trials: list[Trial]) -> list[Trial]:
    """Return the trials of the first block, the arm with all instances last."""
    return sorted((t for t in trials if t.repeat == 0 and not t.warmup), key=_count_instances)


def _count_instances(trial: Trial) -> int:
    return len(trial.instances)


def _describe_steps(process: ProcessSchedule) -> str:
    words = {
        "allocate": lambda s: f"a {format_bytes(s.bytes)} @{s.at_s:g}",
        "free": lambda s: f"f @{s.at_s:g}",
        "run": lambda s: f"r {s.label} @{s.at_s:g}",
    }
    return ", ".join(words[s.action](s) for s in process.steps) or "nothing to do within the duration"

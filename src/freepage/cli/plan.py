"""Show the trials of a study, their schedules, memory and time; starts nothing."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from freepage.cli.cluster_options import naming_manifest
from freepage.cli.manifests import print_comments, print_manifests
from freepage.cli.options import add_study_arguments, open_preview
from freepage.cli.terminal import print_line
from freepage.fpr.pace import find_schedule_pace
from freepage.records import Arm
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


# What a server does not judge when it is only asked whether it would take a VM.
SERVER_DRY_RUN = (
    "a server's dry run (kubectl apply --dry-run=server) judges these objects alone: the pods that KubeVirt makes of the VMs",
    "meet pod security, quotas and SCCs only when they are created",
)


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
            summary = _describe_plan(preview)
            objects = list(preview.list_objects()) if with_objects else []
            if objects:
                print_comments([*summary, *(SERVER_DRY_RUN if _has_vms(preview.plan) else ())])
                print_manifests(objects)
            else:
                for line in summary:
                    print_line(line)
                _print_trials(preview.plan.trials)
                _print_schedules(preview.plan.trials)


def _has_vms(run_plan: RunPlan) -> bool:
    return any(instance.carrier is not Arm.POD for trial in run_plan.trials for instance in trial.instances)


def _describe_plan(preview: Preview) -> list[str]:
    """Describe a plan but for its trials, a line each: its size, what it can decide, what a reader should know."""
    run_plan, study = preview.plan, preview.plan.study
    largest = max(run_plan.trials, key=lambda t: t.demand_bytes)
    memory = f"at most {format_bytes(largest.demand_bytes)} of the {format_bytes(run_plan.available_bytes)} available"
    return [
        f"{study.name}: {study.title}",
        f"seed {study.seed}, guests executed by {preview.execution}",
        f"{len(run_plan.trials)} trials, about {format_duration(run_plan.planned_duration_s)}; {memory}",
        *_describe_budget(run_plan),
        *describe_notes(preview),
        *_describe_experiments(run_plan),
        *_describe_more(run_plan),
        *_describe_skipped(preview),
    ]


def describe_notes(preview: Preview) -> list[str]:
    """Describe what a reader should know before a run: of the target, and what does not run."""
    left_out = preview.plan.left_out
    why = "a smoke run" if preview.plan.study.smoke else "for want of time or memory"
    notes = [f"{why}; left out: {', '.join(left_out)}"] if left_out else []
    return [*preview.notes, *notes]


def _describe_budget(run_plan: RunPlan) -> list[str]:
    """Describe what a plan was fitted into; nothing where its scale is given, or all has its own size."""
    budget = run_plan.budget
    if budget is None:
        return []
    time = format_duration(budget.duration_s)
    if run_plan.planned_duration_s > budget.duration_s:
        return [f"this is the least of it: the study's own {time} do not suffice"]
    if run_plan.way is not None and run_plan.way.factor is not None:
        return [
            f"at the scale that is given, as many repeats as {time} allow (--time; --repeats for a number of them)"
        ]
    if not run_plan.sizes:
        return []
    return [f"fitted into {time} (--time) and {format_bytes(budget.memory_bytes)} (--memory)"]


def _describe_experiments(run_plan: RunPlan) -> list[str]:
    """Describe what each experiment runs instead of what, and what it can decide; a smoke run decides nothing anyway."""
    first_trials = {t.experiment.name: t for t in _first_block(run_plan.trials)}
    lines = []
    for experiment in run_plan.study.experiments:
        scale = experiment.sizing.factor
        sizes = run_plan.sizes.get(experiment.name, "at its own size")
        lines.append(f"{experiment.name}: {sizes} (scale {scale:.2g})")
        if not run_plan.study.smoke:
            undecidable = _foresee(first_trials[experiment.name], scale)
            lines.append(f"  {describe_repeats(experiment.repeats)}")
            lines += [f"  {claim} {reason}" for claim, reason in undecidable]
    return lines


def _foresee(trial: Trial, scale: float) -> Iterator[tuple[str, str]]:
    """Return the claims that the experiment of a trial cannot decide, with the reasons."""
    # This loads the article's claims, which a run does without before its end.
    from freepage.analysis.foresight import foresee_undecidable

    schedules = {i.name: i.schedules for i in trial.instances}
    pace = find_schedule_pace(schedules, trial.duration_s)
    return foresee_undecidable(trial.experiment.kind, pace, scale)


def _describe_more(run_plan: RunPlan) -> list[str]:
    """Describe what a longer run would add."""
    if run_plan.way is None or run_plan.budget is None:
        return []
    more = list_more(run_plan.way, run_plan.budget.duration_s)
    if run_plan.whole_s is not None and run_plan.whole_s > run_plan.budget.duration_s:
        more.append((run_plan.whole_s, "every point of the map that fits the memory"))
    minutes = [(math.ceil(seconds / 60), words) for seconds, words in more]
    return [f"with --time {n}min ({format_duration(n * 60)}): {words}" for n, words in minutes]


def _describe_skipped(preview: Preview) -> list[str]:
    """Describe the trials that a run would skip, by what stands in their way."""
    skipped: dict[tuple[str, str | None], list[str]] = {}
    for trial in preview.plan.trials:
        obstacle = preview.find_obstacle(trial)
        if obstacle is not None:
            skipped.setdefault((obstacle.message, obstacle.hint), []).append(trial.id)
    return [
        f"skipped: {', '.join(trials)}: {message}{f' (hint: {hint})' if hint else ''}"
        for (message, hint), trials in skipped.items()
    ]


def _print_trials(trials: list[Trial]) -> None:
    print("\ntrials, in order")
    for trial in trials:
        which = "warm-up, not counted" if trial.warmup else f"repeat {trial.repeat + 1}"
        print_line(
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
                print_line(f"  {instance.name} process {process.process}: {_describe_steps(process)}")


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

"""Show the trials of a study, their schedules, memory and time; starts nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from freepage.cli.cluster_options import naming_manifest
from freepage.cli.manifests import print_comments, print_manifests
from freepage.cli.options import add_study_arguments, open_preview
from freepage.cli.terminal import print_line
from freepage.records import Arm
from freepage.study.repeats import describe_repeats
from freepage.units import format_bytes, format_duration

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractAsyncContextManager

    from freepage.records import ProcessSchedule
    from freepage.study.plan import Trial
    from freepage.study.request import RunPlan
    from freepage.study.study import Study
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
    """Describe a plan but for its trials, a line each: its size, what its repeats can decide, what a reader should know."""
    run_plan, study = preview.plan, preview.plan.study
    largest = max(run_plan.trials, key=lambda t: t.demand_bytes)
    memory = f"at most {format_bytes(largest.demand_bytes)} of the {format_bytes(run_plan.available_bytes)} available"
    return [
        f"{study.name}: {study.title}",
        f"scale {study.scale:g}, seed {study.seed}, guests executed by {preview.execution}",
        f"{len(run_plan.trials)} trials, about {format_duration(run_plan.planned_duration_s)}; {memory}",
        *describe_notes(preview),
        *_describe_repeats(study),
        *_describe_skipped(preview),
    ]


def describe_notes(preview: Preview) -> list[str]:
    """Describe what a reader should know before a run: of the target, and what a smoke run leaves out."""
    left_out = preview.plan.left_out
    smoke = [f"a smoke run at this scale; left out: {', '.join(left_out)}"] if left_out else []
    return [*preview.notes, *smoke]


def _describe_repeats(study: Study) -> list[str]:
    """Describe what the planned repeats of each experiment can decide; a smoke run decides nothing anyway."""
    experiments = () if study.smoke else study.experiments
    return [f"{experiment.name}: {describe_repeats(experiment.repeats)}" for experiment in experiments]


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
    first_block = sorted((t for t in trials if t.repeat == 0 and not t.warmup), key=_count_instances)
    for trial in {t.experiment.name: t for t in first_block}.values():
        for instance in trial.instances:
            for process in instance.schedules:
                print_line(f"  {instance.name} process {process.process}: {_describe_steps(process)}")


def _count_instances(trial: Trial) -> int:
    return len(trial.instances)


def _describe_steps(process: ProcessSchedule) -> str:
    words = {
        "allocate": lambda s: f"a {format_bytes(s.bytes)} @{s.at_s:g}",
        "free": lambda s: f"f @{s.at_s:g}",
        "run": lambda s: f"r {s.label} @{s.at_s:g}",
    }
    return ", ".join(words[s.action](s) for s in process.steps) or "nothing to do within the duration"

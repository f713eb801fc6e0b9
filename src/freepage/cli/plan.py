"""Show the trials of a study, their schedules, memory and time; starts nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from freepage.cli.options import add_study_arguments, build_request

if TYPE_CHECKING:
    import argparse

    from freepage.records import ProcessSchedule
    from freepage.study.plan import Trial
    from freepage.study.request import RunPlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    if options.target == "cluster":
        return asyncio.run(_plan_for_cluster(options))
    from freepage.cli.targets import refuse_cluster_options
    from freepage.study.request import plan_run
    from freepage.targets.local.accelerator import guess_accelerator
    from freepage.targets.local.facts import read_host_facts

    refuse_cluster_options(options)
    accelerator = guess_accelerator(options.accel)
    run_plan = plan_run(build_request(options), accelerator.name, read_host_facts())
    _print_plan(run_plan, f"{accelerator.name} ({accelerator.reason})")
    return 0


async def _plan_for_cluster(options: argparse.Namespace) -> int:
    """Plan for a cluster's nodes; a dry run shows every object it would create, as YAML with the plan for a comment."""
    from freepage.cli.manifests import print_manifests
    from freepage.cli.targets import open_planned_survey

    async with open_planned_survey(options) as (site, run_plan):
        execution = f"{site.execution.accelerator} ({site.execution.reason}), on {', '.join(site.node_names)}"
        if getattr(options, "dry_run", False):
            print_manifests(site, run_plan)
        else:
            _print_plan(run_plan, execution)
    return 0


def _print_plan(run_plan: RunPlan, execution: str) -> None:
    _print_summary(run_plan, execution)
    print_left_out(run_plan)
    _print_trials(run_plan.trials)
    _print_schedules(run_plan.trials)


def _print_summary(run_plan: RunPlan, execution: str) -> None:
    from freepage.units import format_bytes, format_duration

    study = run_plan.study
    largest = max(run_plan.trials, key=lambda t: t.demand_bytes)
    print(f"{study.name}: {study.title}")
    print(f"scale {study.scale:g}, seed {study.seed}, guests executed by {execution}")
    print(
        f"{len(run_plan.trials)} trials, about {format_duration(run_plan.planned_duration_s)}; "
        f"at most {format_bytes(largest.demand_bytes)} of the {format_bytes(run_plan.available_bytes)} available"
    )


def print_left_out(run_plan: RunPlan) -> None:
    if run_plan.left_out:
        print(f"only tried at this scale; left out: {', '.join(run_plan.left_out)}")


def _print_trials(trials: list[Trial]) -> None:
    from freepage.units import format_bytes, format_duration

    print("\ntrials, in order")
    for trial in trials:
        print(
            f"  {trial.order + 1:3}  {trial.experiment.name:13} {trial.arm:8} repeat {trial.repeat + 1}  "
            f"{_describe_instances(trial)}, needs {format_bytes(trial.demand_bytes)}, {format_duration(trial.duration_s)}"
        )


def _describe_instances(trial: Trial) -> str:
    """Say how many instances of each kind a trial has."""
    from freepage.units import format_bytes

    kinds: dict[str, int] = {}
    for plan in trial.instances:
        guest = "" if plan.carrier == "pod" else f", {format_bytes(plan.vm_memory_bytes)} guest"
        disk = "" if plan.data is None else f", {format_bytes(plan.data.bytes)} {plan.data.filesystem}"
        count = len(plan.schedules)
        words = f"{plan.carrier} ({count} process{'es' if count > 1 else ''}{guest}{disk})"
        kinds[words] = kinds.get(words, 0) + 1
    return " + ".join(f"{count} x {words}" for words, count in kinds.items())


def _print_schedules(trials: list[Trial]) -> None:
    print(
        "\nschedules, the same on every arm and repeat (a: allocate, f: free, r: run, at seconds after the start)"
    )
    for trial in {t.experiment.name: t for t in reversed(trials)}.values():
        for instance in trial.instances:
            for process in instance.schedules:
                print(f"  {instance.name} process {process.process}: {_describe_steps(process)}")


def _describe_steps(process: ProcessSchedule) -> str:
    from freepage.units import format_bytes

    words = {
        "allocate": lambda s: f"a {format_bytes(s.bytes)} @{s.at_s:g}",
        "free": lambda s: f"f @{s.at_s:g}",
        "run": lambda s: f"r {s.label} @{s.at_s:g}",
    }
    return ", ".join(words[s.action](s) for s in process.steps) or "nothing to do within the duration"

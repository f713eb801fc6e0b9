"""Show the trials of a study, their schedules, memory and time; starts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.options import add_study_arguments, build_request

if TYPE_CHECKING:
    import argparse

    from freepage.plan import Trial
    from freepage.run import Prepared
    from freepage.schedule import ProcessSchedule
    from freepage.targets.local.accelerator import Accelerator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    from freepage.facts import read_host_facts
    from freepage.run import prepare
    from freepage.targets.local.accelerator import guess_accelerator

    accelerator = guess_accelerator(options.accel)
    prepared = prepare(build_request(options), accelerator.name, read_host_facts())
    _print_summary(prepared, accelerator)
    _print_trials(prepared.trials)
    _print_schedules(prepared.trials)
    return 0


def _print_summary(prepared: Prepared, accelerator: Accelerator) -> None:
    from freepage.units import format_bytes, format_duration

    study = prepared.study
    largest = max(prepared.trials, key=lambda t: t.demand_bytes)
    print(f"{study.name}: {study.title}")
    print(
        f"scale {study.scale:g}, seed {study.seed}, guests executed by {accelerator.name} ({accelerator.reason})"
    )
    print(
        f"{len(prepared.trials)} trials, about {format_duration(prepared.planned_duration_s)}; "
        f"at most {format_bytes(largest.demand_bytes)} of the {format_bytes(prepared.available_bytes)} available"
    )


def _print_trials(trials: list[Trial]) -> None:
    from freepage.units import format_bytes, format_duration

    print("\ntrials, in order")
    for trial in trials:
        vm = "" if trial.arm == "pod" else f", {format_bytes(trial.instances[0].vm_memory_bytes)} guest"
        print(
            f"  {trial.order + 1:3}  {trial.experiment.name:10} {trial.arm:7} repeat {trial.repeat + 1}  "
            f"{len(trial.instances)} x {len(trial.instances[0].schedules)} processes{vm}, "
            f"needs {format_bytes(trial.demand_bytes)}, {format_duration(trial.duration_s)}"
        )


def _print_schedules(trials: list[Trial]) -> None:
    print("\nschedules, the same on every arm and repeat (a: allocate, f: free, at seconds after the start)")
    for trial in {t.experiment.name: t for t in reversed(trials)}.values():
        for instance in trial.instances:
            for process in instance.schedules:
                print(f"  {instance.name} process {process.process}: {_describe_steps(process)}")


def _describe_steps(process: ProcessSchedule) -> str:
    from freepage.units import format_bytes

    words = [
        f"a {format_bytes(s.bytes)} @{s.at_s:g}" if s.action == "allocate" else f"f @{s.at_s:g}"
        for s in process.steps
    ]
    return ", ".join(words) or "nothing to do within the duration"

"""The sizes of an experiment beside those of its original, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.records import Arm
from freepage.study.scaling.memory import SMALLEST_VM_BYTES
from freepage.study.scaling.scale import Scale
from freepage.study.scaling.study import find_experiments, scale_experiment
from freepage.study.study import FioGroup, MemoryGroup, Sizing
from freepage.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.study.file import StudyFile
    from freepage.study.study import AnyGroup, Conditions, Experiment, Study


def describe_sizes(file: StudyFile, study: Study, conditions: Conditions) -> dict[str, str]:
    """Return by experiment what it runs instead of what; those that run whole are left out."""
    by_name = {e.name: e for e in find_experiments(file)}
    found = {}
    for experiment in study.experiments:
        own = scale_experiment(by_name[experiment.name], file, Scale(Sizing(), conditions, sketch=True))
        here, there = describe_experiment(experiment), describe_experiment(own)
        given_up = list(_list_given_up(experiment, own))
        if here != there or given_up:
            size = f"{here} instead of {there}" if here != there else "at its own size"
            found[experiment.name] = "; ".join((size, *given_up))
    return found


def _list_given_up(experiment: Experiment, own: Experiment) -> Iterator[str]:
    """Yield what an experiment has less of beside sizes and times, with the reason."""
    sizing = experiment.sizing
    if sizing.compact and any(g.vm_memory_bytes < SMALLEST_VM_BYTES for g in experiment.groups):
        yield "its guests are so small that Linux uses no huge pages in them"
    for here, there in zip(experiment.groups, own.groups, strict=True):
        if here.instances < there.instances and sizing.instances < 1:
            yield f"{here.instances} of {there.instances} instances, since there is no more memory"
        kept, wanted = (g.iterations if isinstance(g, MemoryGroup) else 0 for g in (here, there))
        if kept < wanted and sizing.iterations < 1:
            yield f"{kept} of {wanted} allocations, since there is no more time"
    if experiment.repeats < own.repeats:
        yield f"{experiment.repeats} of {own.repeats} repeats, since there is no more time"


def describe_experiment(experiment: Experiment) -> str:
    """Return the instances of an experiment with what they use, and the seconds that a trial takes."""
    groups = " beside ".join(_describe_group(g) for g in experiment.groups)
    return f"{groups} for {format_duration(round(experiment.duration_s))}"


def _describe_group(group: AnyGroup) -> str:
    if isinstance(group, MemoryGroup):
        times = f" {group.iterations} times" if group.workload.cyclic and group.iterations else ""
        return f"{_count_instances(group)} of {format_bytes(group.processes * group.size.maximum)}{times}"
    if isinstance(group, FioGroup):
        return f"fio on {format_bytes(group.job.file_bytes)}"
    return f"{_count_instances(group)} of {format_bytes(group.vm_memory_bytes)}"


def _count_instances(group: AnyGroup) -> str:
    noun = "pod" if group.carrier is Arm.POD else "VM"
    return f"{group.instances} {noun}{'' if group.instances == 1 else 's'}"

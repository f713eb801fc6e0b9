"""The trials of a study in the order they will run, and what they need of the host."""

from __future__ import annotations

import math
import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import CapacityError
from freepage.records import Arm
from freepage.study.fio import SMALLEST_DISK_BYTES
from freepage.study.scaling import instance_name, scale_study
from freepage.study.schedule import build_schedule
from freepage.units import MIB, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from freepage.records import ProcessSchedule
    from freepage.study.file import StudyFile
    from freepage.study.study import Conditions, Experiment, Group, Study

# What a trial needs beside its schedule, for the plan's time only: a settled baseline, start, clocks, teardown.
PLANNED_OVERHEAD_S = {"kvm": 4.0, "tcg": 6.0}
PLANNED_START_S = {"kvm": 0.3, "tcg": 1.2}
# What an emulator takes beside the guest's memory, for the capacity check only.
PLANNED_EMULATOR_BYTES = 160 * MIB
SMALLEST_SCALE = 1 / 1024


@dataclass(frozen=True)
class ToolsPlan:
    """What stands read-only at /tools: these programs of the host with their libraries, and a folder's content."""

    programs: tuple[str, ...] = ()
    folder: str | None = None


@dataclass(frozen=True)
class DataPlan:
    """The file system at /data that programs work on, `bytes` large; "host" is a folder of the host, for pods."""

    filesystem: str
    bytes: int


@dataclass(frozen=True)
class InstancePlan:
    """One pod or VM of a trial. `carrier` is what it really is: usually the trial's arm."""

    name: str
    carrier: Arm
    cpus: int
    vm_memory_bytes: int
    schedules: tuple[ProcessSchedule, ...]
    tools: ToolsPlan | None = None
    data: DataPlan | None = None

    @property
    def demand_bytes(self) -> int:
        """What it may take of the host: all the VM may grow to, or the peak of a pod's processes."""
        if self.carrier is Arm.POD:
            return sum(max((s.bytes for s in p.steps), default=0) for p in self.schedules)
        return self.vm_memory_bytes + PLANNED_EMULATOR_BYTES


@dataclass(frozen=True)
class Trial:
    """One experiment on one arm, once. `order` counts from 0 over the whole run; `duration_s` from the trial's zero.

    node_memory_bytes: the memory of the cgroup that plays its node; None for the run's node.
    """

    id: str
    order: int
    experiment: Experiment
    arm: Arm
    repeat: int
    instances: tuple[InstancePlan, ...]
    duration_s: float
    node_memory_bytes: int | None = None

    @property
    def disk_bytes(self) -> int:
        """What its file systems may take of the disk."""
        return sum(i.data.bytes for i in self.instances if i.data is not None)

    @property
    def demand_bytes(self) -> int:
        """What it may take of the memory: of a node of its own all, page cache included."""
        return max(sum(i.demand_bytes for i in self.instances), self.node_memory_bytes or 0)


def plan_trials(study: Study) -> list[Trial]:
    """Order the trials in blocks: each experiment of each repeat runs its arms, in an order drawn from the seed."""
    trials: list[Trial] = []
    for repeat in range(max(e.repeats for e in study.experiments)):
        for experiment in (e for e in study.experiments if repeat < e.repeats):
            arms = list(experiment.arms)
            random.Random(f"{study.seed}:{experiment.name}:{repeat}:arms").shuffle(arms)
            trials += [
                _plan_trial(study, experiment, arm, repeat, len(trials) + n) for n, arm in enumerate(arms)
            ]
    return trials


def planned_duration_s(trials: list[Trial], accelerator: str) -> float:
    """Give the seconds the whole run is expected to take."""
    return sum(t.duration_s + _overhead_s(len(t.instances), t.arm, accelerator) for t in trials)


def _overhead_s(instances: int, arm: Arm, accelerator: str) -> float:
    """Give what a trial takes beside its schedules: VMs start as many at a time as there are cores (planned: two)."""
    further = max(0, instances - 2) if arm in {Arm.VM, Arm.VM_FPR} else 0
    return PLANNED_OVERHEAD_S[accelerator] + further * PLANNED_START_S[accelerator]


@dataclass(frozen=True)
class Budget:
    """What a study that chooses its scale itself has to fit into."""

    memory_bytes: float
    duration_s: float


def find_budget(file: StudyFile, conditions: Conditions, available_bytes: int) -> Budget | None:
    """Return what the study's [fit] allows here; None where the study gives a scale."""
    if file.scale is not None:
        return None
    memory = file.fit.memory
    kvm_s = file.fit.duration_kvm if conditions.accelerator == "kvm" else None
    return Budget(
        memory_bytes=memory * available_bytes if memory <= 1 else float(memory),
        duration_s=file.fit.duration if kvm_s is None else kvm_s,
    )


def fit_scale(file: StudyFile, conditions: Conditions, available_bytes: int) -> float:
    """Find the largest scale, at most 1, whose memory and duration fit what the study's [fit] allows here.

    Raises CapacityError where not even the smallest scale fits that memory.
    """
    budget = find_budget(file, conditions, available_bytes)
    if file.scale is not None or budget is None:
        return file.scale or 1.0
    scale = _largest_scale(
        lambda scale: (
            _demand_bytes(file, scale, conditions) <= budget.memory_bytes
            and _duration_s(file, scale, conditions) <= budget.duration_s
        )
    )
    needed_bytes = _demand_bytes(file, scale, conditions)
    if needed_bytes > budget.memory_bytes:
        memory = file.fit.memory
        share = f" ({memory:.0%} of what is available)".replace("%", " %", 1) if memory <= 1 else ""
        raise CapacityError(
            f"even at its smallest scale the study needs {format_bytes(needed_bytes)}, and its [fit] memory allows "
            f"{format_bytes(budget.memory_bytes)}{share}",
            hint=f"free some memory, or insist with --scale {scale:.2g}",
        )
    return scale


def check_capacity(file: StudyFile, study: Study, conditions: Conditions, available_bytes: int) -> None:
    """Refuse a study whose largest trial needs more memory than is available; the error names a scale that fits."""
    largest = max(plan_trials(study), key=lambda t: t.demand_bytes)
    if largest.demand_bytes <= available_bytes:
        return
    fitting = _largest_scale(lambda scale: _demand_bytes(file, scale, conditions) <= 0.9 * available_bytes)
    fits = _demand_bytes(file, fitting, conditions) <= available_bytes
    raise CapacityError(
        f"the study is too large: {largest.id} needs {format_bytes(largest.demand_bytes)} "
        f"({len(largest.instances)} instances), {format_bytes(available_bytes)} are available",
        hint=f"--scale {fitting:.2g} fits" if fits else "no scale fits: give sizes of your own with --set",
    )


def check_disk(trials: Sequence[Trial], folder: Path) -> None:
    """Raise CapacityError when the test files of one trial do not fit where `folder` will be."""
    needed = max(t.disk_bytes for t in trials)
    home = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(home).free
    if needed > free:
        raise CapacityError(
            f"the test files need {format_bytes(needed)}, and {home} has {format_bytes(free)} free",
            hint="choose an --out on a larger disk, or a smaller --scale",
        )


def plan_as_json(trials: Sequence[Trial]) -> list[dict[str, object]]:
    """Give the plan's trials without their schedules, which each trial keeps."""
    return [
        {
            "id": t.id,
            "experiment": t.experiment.name,
            "arm": t.arm,
            "repeat": t.repeat,
            "duration_s": t.duration_s,
            "instances": [
                {"name": i.name, "carrier": i.carrier, "cpus": i.cpus, "vm_memory_bytes": i.vm_memory_bytes}
                for i in t.instances
            ],
        }
        for t in trials
    ]


def describe_time(trials: list[Trial], accelerator: str) -> str:
    return format_duration(planned_duration_s(trials, accelerator))


def _plan_trial(study: Study, experiment: Experiment, arm: Arm, repeat: int, order: int) -> Trial:
    return Trial(
        id=f"{order + 1:03d}-{experiment.name}-{arm}-{repeat + 1}",
        order=order,
        experiment=experiment,
        arm=arm,
        repeat=repeat,
        instances=tuple(
            _plan_instance(study, experiment, group, arm, n)
            for group in experiment.groups
            if arm is not Arm.BASELINE or group.carrier is not None
            for n in range(group.instances)
        ),
        duration_s=experiment.duration_s,
        node_memory_bytes=experiment.node_memory_bytes,
    )


def _plan_instance(study: Study, experiment: Experiment, group: Group, arm: Arm, number: int) -> InstancePlan:
    name = instance_name(experiment.name, group, number)
    carrier = group.carrier or arm
    return InstancePlan(
        name=name,
        carrier=carrier,
        cpus=group.cpus,
        vm_memory_bytes=group.vm_memory_bytes,
        schedules=tuple(build_schedule(group, study.seed, name, p) for p in range(group.processes)),
        tools=_plan_tools(group),
        data=_plan_data(group, carrier),
    )


def _plan_tools(group: Group) -> ToolsPlan | None:
    if group.io is not None:
        return ToolsPlan(programs=("fio",))
    if group.command is not None:
        return ToolsPlan(programs=group.command.programs, folder=group.command.folder)
    return None


def _plan_data(group: Group, carrier: Arm) -> DataPlan | None:
    if group.io is not None:
        return DataPlan(
            group.io.filesystem or ("host" if carrier is Arm.POD else "ext4"), group.io.disk_bytes
        )
    if group.command is not None and group.command.filesystem is not None:
        return DataPlan(group.command.filesystem, max(group.command.data_bytes, SMALLEST_DISK_BYTES))
    return None


def _largest_scale(fits: Callable[[float], bool]) -> float:
    """Bisect for the largest scale that fits, rounded down to two digits; the smallest where none does."""
    if fits(1.0):
        return 1.0
    low, high = SMALLEST_SCALE, 1.0
    for _ in range(12):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    digits = 1 - math.floor(math.log10(low))
    rounded = math.floor(low * 10**digits) / 10**digits
    return rounded if rounded > 0 and fits(rounded) else low


def _demand_bytes(file: StudyFile, scale: float, conditions: Conditions) -> int:
    """Give the largest memory any arm's trial needs, without computing schedules."""
    study = scale_study(file, scale, conditions)
    return max(_experiment_bytes(e) for e in study.experiments)


def _experiment_bytes(experiment: Experiment) -> int:
    grown = sum(
        g.instances * (g.vm_memory_bytes + PLANNED_EMULATOR_BYTES)
        for g in experiment.groups
        if g.carrier is not Arm.POD
    )
    return max(grown, experiment.node_memory_bytes or 0)


def _duration_s(file: StudyFile, scale: float, conditions: Conditions) -> float:
    study = scale_study(file, scale, conditions)
    return sum(
        e.repeats
        * (
            e.duration_s
            + _overhead_s(
                sum(g.instances for g in e.groups if g.carrier is None), arm, conditions.accelerator
            )
        )
        for e in study.experiments
        for arm in e.arms
    )

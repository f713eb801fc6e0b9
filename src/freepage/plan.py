"""The trials of a study in the order they will run, and what they need of the host."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import CapacityError
from freepage.records import Arm
from freepage.schedule import build_schedule
from freepage.study import Conditions, scale_study
from freepage.units import MIB, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.schedule import ProcessSchedule
    from freepage.study import Experiment, Study
    from freepage.study_file import StudyFile

# What a trial needs beside its schedule, for the plan's time only: a settled baseline, start, clocks, teardown.
PLANNED_OVERHEAD_S = {"kvm": 4.0, "tcg": 5.5}
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
    """One experiment on one arm, once. `order` counts from 0 over the whole run; `duration_s` from the trial's zero."""

    id: str
    order: int
    experiment: Experiment
    arm: Arm
    repeat: int
    instances: tuple[InstancePlan, ...]
    duration_s: float

    @property
    def demand_bytes(self) -> int:
        return sum(i.demand_bytes for i in self.instances)


def plan_trials(study: Study) -> list[Trial]:
    """Order the trials in blocks: each experiment of each repeat runs all arms, in an order drawn from the seed."""
    trials: list[Trial] = []
    for repeat in range(max(e.repeats for e in study.experiments)):
        for experiment in (e for e in study.experiments if repeat < e.repeats):
            arms = list(study.arms)
            random.Random(f"{study.seed}:{experiment.name}:{repeat}:arms").shuffle(arms)
            trials += [
                _plan_trial(study, experiment, arm, repeat, len(trials) + n) for n, arm in enumerate(arms)
            ]
    return trials


def planned_duration_s(trials: list[Trial], accelerator: str) -> float:
    """Give the seconds the whole run is expected to take."""
    return sum(t.duration_s + PLANNED_OVERHEAD_S[accelerator] for t in trials)


def fit_scale(file: StudyFile, conditions: Conditions, available_bytes: int) -> float:
    """Find the largest scale, at most 1, whose memory and duration fit what the study's [fit] allows here."""
    memory = file.fit.memory
    budget_bytes = memory * available_bytes if memory <= 1 else float(memory)
    if file.scale is not None:
        return file.scale
    return _largest_scale(
        lambda scale: (
            _demand_bytes(file, scale, conditions) <= budget_bytes
            and _duration_s(file, scale, conditions) <= file.fit.duration
        )
    )


def check_capacity(file: StudyFile, study: Study, conditions: Conditions, available_bytes: int) -> None:
    """Refuse a study whose largest trial needs more memory than is available; the error names a scale that fits."""
    largest = max(plan_trials(study), key=lambda t: t.demand_bytes)
    if largest.demand_bytes <= available_bytes:
        return
    fitting = _largest_scale(lambda scale: _demand_bytes(file, scale, conditions) <= 0.9 * available_bytes)
    fits = _demand_bytes(file, fitting, conditions) <= available_bytes
    raise CapacityError(
        f"the study is too large for this host: {largest.id} needs {format_bytes(largest.demand_bytes)} "
        f"({len(largest.instances)} x {format_bytes(largest.instances[0].demand_bytes)}), "
        f"{format_bytes(available_bytes)} are available",
        hint=f"--scale {fitting:.2g} fits" if fits else "no scale fits: give sizes of your own with --set",
    )


def describe_time(trials: list[Trial], accelerator: str) -> str:
    return format_duration(planned_duration_s(trials, accelerator))


def _plan_trial(study: Study, experiment: Experiment, arm: Arm, repeat: int, order: int) -> Trial:
    return Trial(
        id=f"{order + 1:03d}-{experiment.name}-{arm}-{repeat + 1}",
        order=order,
        experiment=experiment,
        arm=arm,
        repeat=repeat,
        instances=tuple(_plan_instance(study, experiment, arm, n) for n in range(experiment.instances)),
        duration_s=experiment.duration_s,
    )


def _plan_instance(study: Study, experiment: Experiment, arm: Arm, number: int) -> InstancePlan:
    name = f"{experiment.name}-{number}"
    return InstancePlan(
        name=name,
        carrier=arm,
        cpus=experiment.cpus,
        vm_memory_bytes=experiment.vm_memory_bytes,
        schedules=tuple(build_schedule(experiment, study.seed, name, p) for p in range(experiment.processes)),
    )


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
    return max(e.instances * (e.vm_memory_bytes + PLANNED_EMULATOR_BYTES) for e in study.experiments)


def _duration_s(file: StudyFile, scale: float, conditions: Conditions) -> float:
    study = scale_study(file, scale, conditions)
    overhead_s = PLANNED_OVERHEAD_S[conditions.accelerator]
    return len(study.arms) * sum(e.repeats * (e.duration_s + overhead_s) for e in study.experiments)

"""The trials of a study in the order they will run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.records import Arm
from freepage.study.blocks import Block, draw_blocks
from freepage.study.fio import PROGRAM, SMALLEST_DISK_BYTES
from freepage.study.schedule import build_schedule
from freepage.study.study import CommandGroup, FioGroup
from freepage.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.records import ProcessSchedule
    from freepage.study.study import AnyGroup, Experiment, Study

    Schedules = dict[str, tuple[ProcessSchedule, ...]]

# Seconds of a trial beside its schedule, for the plan's time only: a settled baseline, start, clocks, teardown; and
# until the memory of its instances is steady.
PLANNED_OVERHEAD_S = {"kvm": 4.0, "tcg": 6.0}
PLANNED_SETTLE_S = 5.0
# A guest with FPR first reports all that its boot left free, pass by pass, and is steady so much later.
PLANNED_REPORTS_S = 8.0
PLANNED_START_S = {"kvm": 0.3, "tcg": 1.3}
# An emulator takes this beside the guest's memory: for the capacity check only.
PLANNED_EMULATOR_BYTES = 160 * MIB


@dataclass(frozen=True)
class ToolsPlan:
    """The content of /tools, read-only: these programs of the host with their libraries, and a folder's content."""

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
        """Return the memory it may take of the host: all that a VM may grow to, or the peak of a pod's processes."""
        if self.carrier is Arm.POD:
            return sum(max((s.bytes for s in p.steps), default=0) for p in self.schedules)
        return self.vm_memory_bytes + PLANNED_EMULATOR_BYTES


@dataclass(frozen=True)
class Trial:
    """One experiment on one arm, once. `order` counts from 0 over the whole run; `duration_s` from the trial's zero.

    repeat: the number of its block. position: its place in the block, from 0. schedule_seed: the seed of the block's
    schedules. phase_s: when the first sample after the zero is taken. node_memory_bytes: the memory of the cgroup that
    plays its node; None for the run's node. settles: whether it waits until memory is steady before its zero. warmup: it
    is run first and not counted.
    """

    id: str
    order: int
    experiment: Experiment
    arm: Arm
    repeat: int
    instances: tuple[InstancePlan, ...]
    duration_s: float
    position: int
    schedule_seed: int
    phase_s: float
    node_memory_bytes: int | None = None
    settles: bool = True
    warmup: bool = False

    @property
    def disk_bytes(self) -> int:
        """Return the bytes its file systems may take of the disk."""
        return sum(i.data.bytes for i in self.instances if i.data is not None)

    @property
    def demand_bytes(self) -> int:
        """Return the memory it may take: of a node of its own all, page cache included."""
        return max(sum(i.demand_bytes for i in self.instances), self.node_memory_bytes or 0)


def plan_trials(study: Study, first: int = 0) -> list[Trial]:
    """Return the trials that count, block by block (study/blocks.py); `first` is the order of the first one."""
    trials: list[Trial] = []
    blocks = [draw_blocks(study.seed, e.name, e.arms, e.repeats) for e in study.experiments]
    for number in range(max(e.repeats for e in study.experiments)):
        for experiment, drawn in zip(study.experiments, blocks, strict=True):
            for block in drawn[number : number + 1]:
                trials += plan_block(study, experiment, block, first + len(trials))
    return trials


def planned_duration_s(trials: list[Trial], accelerator: str) -> float:
    """Return the seconds the whole run is expected to take."""
    return sum(
        t.duration_s + planned_overhead_s([i.carrier for i in t.instances], accelerator, settles=t.settles)
        for t in trials
    )


def planned_overhead_s(carriers: Sequence[Arm], accelerator: str, *, settles: bool) -> float:
    """Return the seconds of a trial beside its schedules, by what each of its instances is.

    VMs start as many at a time as there are cores (planned: two).
    """
    vms = sum(carrier is not Arm.POD for carrier in carriers)
    settle_s = PLANNED_SETTLE_S + (PLANNED_REPORTS_S if Arm.VM_FPR in carriers else 0.0)
    starts_s = max(0, vms - 2) * PLANNED_START_S[accelerator]
    return PLANNED_OVERHEAD_S[accelerator] + starts_s + (settle_s if settles else 0.0)


def plan_as_json(trials: Sequence[Trial]) -> list[dict[str, object]]:
    """Return the plan's trials without their schedules, which each trial keeps."""
    return [
        {
            "id": t.id,
            "experiment": t.experiment.name,
            "arm": t.arm,
            "repeat": t.repeat,
            "position": t.position,
            "schedule_seed": t.schedule_seed,
            "phase_s": t.phase_s,
            "warmup": t.warmup,
            "duration_s": t.duration_s,
            "instances": [
                {"name": i.name, "carrier": i.carrier, "cpus": i.cpus, "vm_memory_bytes": i.vm_memory_bytes}
                for i in t.instances
            ],
        }
        for t in trials
    ]


def plan_block(study: Study, experiment: Experiment, block: Block, first: int) -> list[Trial]:
    """Return the trials of one block, which share their schedules; `first` is the order of the first one."""
    schedules = _build_schedules(experiment, block.seed)
    return [
        Trial(
            id=f"{first + position + 1:03d}-{experiment.name}-{arm}-{block.number + 1}",
            order=first + position,
            experiment=experiment,
            arm=arm,
            repeat=block.number,
            instances=_plan_instances(experiment, arm, schedules),
            duration_s=experiment.duration_s,
            position=position,
            schedule_seed=block.seed,
            phase_s=round(block.phase * study.interval_s, 4),
            node_memory_bytes=experiment.node_memory_bytes,
            settles=not study.smoke,
        )
        for position, arm in enumerate(block.arms)
    ]


def _build_schedules(experiment: Experiment, seed: int) -> Schedules:
    """Return the schedules of every instance by its name."""
    return {
        name: tuple(build_schedule(group, seed, name, p) for p in range(group.processes))
        for group in experiment.groups
        for name in _names_of(group, experiment)
    }


def _plan_instances(experiment: Experiment, arm: Arm, schedules: Schedules) -> tuple[InstancePlan, ...]:
    return tuple(
        InstancePlan(
            name=name,
            carrier=carrier,
            cpus=group.cpus,
            vm_memory_bytes=group.vm_memory_bytes,
            schedules=schedules[name],
            tools=_plan_tools(group),
            data=_plan_data(group, carrier),
        )
        for carrier, group in experiment.instances_on(arm)
        for name in _names_of(group, experiment)
    )


def _names_of(group: AnyGroup, experiment: Experiment) -> list[str]:
    return [group.instance_name(experiment.name, number) for number in range(group.instances)]


def _plan_tools(group: AnyGroup) -> ToolsPlan | None:
    if isinstance(group, FioGroup):
        return ToolsPlan(programs=(PROGRAM,))
    if isinstance(group, CommandGroup):
        return ToolsPlan(programs=group.job.programs, folder=group.job.folder)
    return None


def _plan_data(group: AnyGroup, carrier: Arm) -> DataPlan | None:
    if isinstance(group, FioGroup):
        default = "host" if carrier is Arm.POD else "ext4"
        return DataPlan(group.job.filesystem or default, group.job.disk_bytes)
    if isinstance(group, CommandGroup) and group.job.filesystem is not None:
        return DataPlan(group.job.filesystem, max(group.job.data_bytes, SMALLEST_DISK_BYTES))
    return None

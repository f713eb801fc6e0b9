"""A study ready to be planned: experiments of groups of instances, in bytes and seconds at the scale they run at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.mechanics import LARGEST_BLOCK_BYTES
from freepage.records import Arm

if TYPE_CHECKING:
    from freepage.kinds import Kind, Workload
    from freepage.records import VerdictRule
    from freepage.study.fio import FioJob


@dataclass(frozen=True)
class Range:
    """Values minimum, minimum + step, ... up to maximum; a single value when all are equal."""

    minimum: float
    maximum: float
    step: float

    @property
    def mean(self) -> float:
        return (self.minimum + self.maximum) / 2

    def times(self, factor: float) -> Range:
        return Range(self.minimum * factor, self.maximum * factor, self.step * factor)


@dataclass(frozen=True)
class Sizing:
    """The size of an experiment beside its original.

    factor: of bytes and times. instances, iterations: the share of them that stays. repeats: None leaves them to the study.
    compact: guests may be so small that Linux uses no huge pages in them.
    """

    factor: float = 1.0
    instances: float = 1.0
    iterations: float = 1.0
    repeats: int | None = None
    compact: bool = False


@dataclass(frozen=True)
class CommandJob:
    """A program of the user's: run `count` times, `period_s` apart, for `timeout_s` at most.

    programs: host programs it needs beside it. folder: what stands at /tools/opt. data_bytes: the size of a file
    system at /data (0: none).
    """

    argv: tuple[str, ...]
    count: int
    period_s: float
    timeout_s: float
    programs: tuple[str, ...]
    folder: str | None
    data_bytes: int
    filesystem: str | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Instances that do the same within an experiment: the part that all groups have.

    name: "" where the experiment has only this group. carrier: what the instances are; None is the trial's arm.
    duration_s: seconds its schedules last, from after_s on.
    """

    name: str
    workload: Workload
    carrier: Arm | None
    instances: int
    processes: int = 1
    cpus: int
    vm_memory_bytes: int
    duration_s: float
    after_s: float = 0.0

    def instance_name(self, experiment: str, number: int) -> str:
        return f"{experiment}-{self.name}-{number}" if self.name else f"{experiment}-{number}"


@dataclass(frozen=True, kw_only=True)
class MemoryGroup(Group):
    """Instances whose processes allocate, hold and free memory.

    size: bytes of one allocation; hold, idle: seconds allocated and free; slot_s: seconds kept for touching it.
    iterations: of a cyclic workload. start: "duty-cycle", "held", "idle", or the probability of starting held.
    scan, stride_bytes, barriers: as in records.Step. tail_s: seconds at the end in which nothing is held.
    """

    size: Range
    hold: Range
    idle: Range
    slot_s: float = 0.0
    iterations: int = 0
    start: str | float = "duty-cycle"
    scan: str = "once"
    stride_bytes: int = 4096
    barriers: bool = False
    tail_s: float = 0.0

    @property
    def period_s(self) -> float:
        """Return the seconds of one iteration, the longest where they are drawn."""
        return self.slot_s + self.hold.maximum + self.idle.maximum


@dataclass(frozen=True, kw_only=True)
class FioGroup(Group):
    """Instances that run fio."""

    job: FioJob


@dataclass(frozen=True, kw_only=True)
class CommandGroup(Group):
    """Instances that run a program of the user's."""

    job: CommandJob


AnyGroup = MemoryGroup | FioGroup | CommandGroup


@dataclass(frozen=True)
class Experiment:
    """Groups of instances that run side by side.

    arms: those it runs on, Arm.BASELINE among them where the groups that do not follow the arm also run alone, and
    Arm.CONTROL where the one other arm runs twice.
    node_memory_bytes: the memory of a node of its own (a cgroup), None to take the run's. sizing: what it was made by.
    """

    name: str
    kind: Kind
    title: str
    repeats: int
    arms: tuple[Arm, ...]
    duration_s: float
    groups: tuple[AnyGroup, ...]
    node_memory_bytes: int | None = None
    sizing: Sizing = Sizing()

    def carrier_of(self, arm: Arm) -> Arm:
        """Return what the instances that follow the arm are: the control is the other arm once more."""
        return self.arms[0] if arm is Arm.CONTROL else arm

    def instances_on(self, arm: Arm) -> list[tuple[Arm, AnyGroup]]:
        """Return what a trial on an arm consists of: each group that takes part, with what its instances are."""
        return [
            (group.carrier or self.carrier_of(arm), group)
            for group in self.groups
            if arm is not Arm.BASELINE or group.carrier is not None
        ]


@dataclass(frozen=True)
class Study:
    """Experiments on one node. scale: the smallest factor of them; smoke: they only show that they run."""

    name: str
    title: str
    seed: int
    arms: tuple[Arm, ...]
    interval_s: float
    scale: float
    smoke: bool
    experiments: tuple[Experiment, ...]
    verdict_rule: VerdictRule


@dataclass(frozen=True)
class Conditions:
    """The host or the nodes as far as a scale depends on them: memory, cores, and how guests are executed.

    node_is_given: experiments get no node of their own (--node-memory was given, or the nodes are a cluster's).
    available_bytes: what of the memory is available; None where nobody asked.
    block_bytes: the largest free block of the guests that are expected, by which they report (fpr.mechanics).
    """

    node_memory_bytes: int
    cores: int
    accelerator: str
    node_is_given: bool = False
    available_bytes: int | None = None
    block_bytes: int = LARGEST_BLOCK_BYTES

"""The records of a run folder, and the words that all rooms share.

    RUN/manifest.json                 Manifest: what was asked, where, with which versions
    RUN/study.toml                    the study as it was read
    RUN/plan.json                     the trials in the order they were run
    RUN/trials/ID/trial.json          TrialRecord: the course of the trial, and its evidence
    RUN/trials/ID/schedule.json       the steps of every worker process
    RUN/trials/ID/samples.jsonl       SampleLine while running, then samples.parquet (t_s, entity, metric, value)
    RUN/trials/ID/events.jsonl        EventLine while running, then events.parquet (one column per field)
    RUN/trials/ID/console-NAME.log    the text of the instance's console
    RUN/trials/ID/output/NAME-P-N.out what the program of step N of process P of instance NAME wrote (.err: its errors)
    RUN/prometheus.json               the queries a Prometheus was sent, by which profile, and how often its values were new
    RUN/prometheus.parquet            its samples (wall_s, metric, entity, value), wall_s: seconds since 1970 by its clock
    RUN/results.json                  estimates, doubts, claims, verdict
    RUN/report.html

Times called `t_s` are seconds since the trial's zero, the instant the schedules start; before it they are negative.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.metrics import MetricValues

RUN_SCHEMA = 2
NODE = "node"
SAMPLER = "sampler"

# The labels of fio's steps, as DEVICE/OPERATION/STREAMS and CELL/OPERATION/STREAMS, and the block size of each operation.
PREPARE = "prepare"
DEVICE = "device"
CELL = "cell"
BLOCK_BYTES = {"read": MIB, "write": MIB, "randread": 4096, "randwrite": 4096}


class Arm(StrEnum):
    """The carrier of a trial's workload.

    "baseline" is the fio pod of host I/O with nothing beside it, "control" the experiment's other arm once more (A/A).
    """

    POD = "pod"
    VM = "vm"
    VM_FPR = "vm-fpr"
    BASELINE = "baseline"
    CONTROL = "control"


# The carriers of instances; a study's arms are chosen from them.
CARRIERS = (Arm.POD, Arm.VM, Arm.VM_FPR)


class TrialStatus(StrEnum):
    """The state a trial ended in."""

    OK = "ok"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    PLANNED = "planned"


class Action(StrEnum):
    """The action of one step of a worker process."""

    ALLOCATE = "allocate"
    FREE = "free"
    RUN = "run"


@dataclass(frozen=True)
class Step:
    """One action at a fixed time: `at_s` seconds after the trial's zero.

    An allocation maps `bytes` anonymously and writes one byte every `stride_bytes`; until it is freed it is held as
    `scan` says: "once" (left alone), "sequential" or "random" (touched again and again, in order or seeded order).
    A run starts the program `argv` and waits for its end, for `timeout_s` at most; `bytes` is 0, `label` says what it
    measures. With `barrier` the step waits for this same step (action and iteration) of all processes of the trial.
    """

    at_s: float
    action: Action
    bytes: int
    iteration: int
    scan: str = "once"
    stride_bytes: int = 4096
    seed: int = 0
    argv: tuple[str, ...] = ()
    timeout_s: float = 0.0
    label: str = ""
    barrier: bool = False


@dataclass(frozen=True)
class ProcessSchedule:
    """The steps of one process, in order of time."""

    process: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Evidence:
    """The traces of FPR on one instance; None is 'not known', never 'no'.

    report_count: of reports that QEMU handled since it started; report_count_at_zero: when the schedules were started,
    for a guest reports all its memory at boot.

    reporting_delay_s: the wait before each pass, where the guest's kernel shows it. page_bytes, free_lists: the guest's pages,
    and how many lists of free blocks it has (fpr.kernels). host_page_bytes, host_huge_page_bytes: what a fault of QEMU brings.

    Levels: configured (QEMU says so), negotiated (virtio feature bit 5 in the guest), active (reports arrive:
    the reporting queue's used index moved after the zero), effective (host memory fell; decided by the analysis).
    """

    instance: str
    configured: bool | None = None
    negotiated: bool | None = None
    active: bool | None = None
    report_count: int | None = None
    report_count_at_zero: int | None = None
    reporting_order: int | None = None
    guest_kernel: str | None = None
    guest_thp: str | None = None
    host_thp: str | None = None
    memory_backend: str | None = None
    accelerator: str | None = None
    reporting_delay_s: float | None = None
    page_bytes: int | None = None
    free_lists: int | None = None
    host_page_bytes: int | None = None
    host_huge_page_bytes: int | None = None

    @property
    def is_of_vm(self) -> bool:
        """Return whether it is of a VM: of a container nothing is known of FPR."""
        return self.configured is not None or self.negotiated is not None


@dataclass(frozen=True)
class ClockOffset:
    """Worker clock minus host clock (both CLOCK_MONOTONIC), and how far wrong it can be: half the round trip."""

    offset_s: float
    uncertainty_s: float


@dataclass(frozen=True)
class EventLine:
    """One finished step of one worker process; times in seconds, `t_s` and `end_s` since the trial's zero.

    read_bytes: what its programs read from block devices (not from the page cache).
    """

    t_s: float
    end_s: float
    instance: str
    process: int
    index: int
    iteration: int
    action: str
    bytes: int
    planned_s: float
    late_s: float
    wall_s: float
    user_s: float
    system_s: float
    minor_faults: int
    major_faults: int
    ok: bool
    error: str | None = None
    read_bytes: int | None = None


@dataclass(frozen=True)
class SampleLine:
    """One tick of the sampler: values by entity ("node", or an instance's name) and metric id; None is missing."""

    t_s: float
    late_s: float
    values: dict[str, MetricValues]


@dataclass(frozen=True)
class TrialRecord:
    """The course of one trial. `wall_zero` is the wall clock at the trial's zero (ISO 8601, UTC).

    repeat: the number of its block. warmup: it was run first and does not count. position: its place in the block, from
    0. schedule_seed: the seed of the block's schedules. phase_s: when after the zero the first sample was to be taken.
    settled: whether memory was steady before its instances started and again before the zero; settle_s: the seconds
    waited for it. None is not known: it was run before this was recorded.
    """

    id: str
    experiment: str
    arm: Arm
    repeat: int
    order: int
    status: TrialStatus
    planned_duration_s: float
    kind: str = ""
    wall_zero: str | None = None
    ready_s: float | None = None
    error: str | None = None
    hint: str | None = None
    evidence: tuple[Evidence, ...] = ()
    clock_start: dict[str, ClockOffset] = field(default_factory=dict)
    clock_end: dict[str, ClockOffset] = field(default_factory=dict)
    sampler_cpu_s: float | None = None
    sampler_wall_s: float | None = None
    warmup: bool = False
    position: int | None = None
    schedule_seed: int | None = None
    phase_s: float | None = None
    settled: bool | None = None
    settle_s: float | None = None


@dataclass(frozen=True)
class VerdictRule:
    """The thresholds of the verdict; a study may give its own, a run keeps all it was planned with.

    given_back: shares of what VMs with FPR, and without, free. reallocation_penalty: the time of later allocations with
    FPR against without. extra_cpu: what FPR adds, too much only where both limits are exceeded. io_ratio: throughput in
    guests with FPR against without. saved_mean: the share of node memory that FPR must save against VMs without it.
    headline: the experiment whose answer is the run's; "" for the first about releases.
    """

    min_given_back_fraction: float = 0.5
    max_given_back_fraction_without: float = 0.1
    max_reallocation_penalty: float = 2.0
    max_extra_cpu_s_per_gib: float = 1.0
    max_extra_cpu_cores_per_vm: float = 0.2
    min_io_ratio: float = 0.9
    min_saved_mean_fraction: float = 0.05
    headline: str = ""


@dataclass(frozen=True)
class Manifest:
    """A run as it was asked for, the conditions it ran under, and all that judges it later.

    host: the conditions of the host or the nodes, by name. smoke: whether experiments were only to show that
    they run. budget_bytes, budget_s: the memory of a trial and the time of the run that sizes were fitted into; None where a
    scale was given. scale: the smallest of `scales`, by experiment. sizes: by experiment what it ran instead of its original. target_noun: what a sentence calls what was measured ("host", "nodes"). target_title: what its nodes
    are of; "" for a host. node_is_fixed: whether no cgroup could have played the node. until_half_width: the share of its
    value at which half the interval that --until watches was narrow enough; None where all repeats were to be run.
    """

    schema: int
    freepage_version: str
    command: tuple[str, ...]
    study: str
    title: str
    seed: int
    scale: float
    repeats: int
    arms: tuple[Arm, ...]
    target: str
    accelerator: str
    accelerator_reason: str
    interval_s: float
    node: str
    node_memory_bytes: int
    started_at: str
    finished_at: str | None
    host: dict[str, object]
    tools: dict[str, str]
    verdict_rule: VerdictRule
    smoke: bool
    budget_bytes: int | None = None
    budget_s: float | None = None
    target_noun: str = "host"
    target_title: str = ""
    node_is_fixed: bool = False
    until_half_width: float | None = None
    scales: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """Return where it ran: the host's name; else the nodes', and what they are of."""
        names = str(self.host.get("hostname"))
        return f"{names} of {self.target_title}" if self.target_title else names

    @property
    def architecture(self) -> str | None:
        """The architecture of the host or the nodes, as they name it; None where it is not known."""
        found = self.host.get("architecture")
        return None if found is None else str(found)

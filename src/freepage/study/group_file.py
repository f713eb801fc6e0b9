"""The groups of instances that a study file can describe, at the size of the original: one model for each activity.

The key `kind` selects a workload, and the workload's traits select the model (docs/decisions/006-groups.md).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, model_validator

from freepage.kinds import WORKLOADS, Activity, Workload
from freepage.records import Arm
from freepage.study.values import (
    STRICT,
    Blocks,
    Duration,
    DurationRangeText,
    Holds,
    Idles,
    Size,
    SizeOrAuto,
    SizeRangeText,
)

Operation = Literal["read", "randread", "write", "randwrite"]
OPERATIONS: tuple[Operation, ...] = ("read", "randread", "write", "randwrite")


def _find_workload(value: object) -> object:
    if isinstance(value, str) and value in WORKLOADS:
        return WORKLOADS[value]
    raise ValueError(f"it must be one of {', '.join(map(repr, WORKLOADS))}")


class GroupFile(BaseModel):
    """The part that all groups have; name: "" for the only group of an experiment.

    carrier: what the instances are, "arm" for the trial's arm. after: seconds until its schedules begin.
    """

    model_config = STRICT
    workload: Annotated[Workload, BeforeValidator(_find_workload)] = Field(alias="kind")
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = ""
    carrier: Literal["arm", "pod", "vm", "vm-fpr"] = "arm"
    instances: Annotated[int, Field(ge=1, le=1000)] = 1
    cpus: Annotated[int, Field(ge=1, le=512)] = 1
    vm_memory: Size | None = None
    after: Duration = 0.0

    @property
    def follows_arm(self) -> bool:
        return self.carrier == "arm"

    @property
    def fixed_carrier(self) -> Arm | None:
        """Return what the instances are on every arm; None where they follow it."""
        return None if self.follows_arm else Arm(self.carrier)


class MemoryGroupFile(GroupFile):
    """Processes that allocate blocks of `size`, hold them, free them and idle; slot: seconds kept for touching a block."""

    processes: Annotated[int, Field(ge=1, le=256)] = 1
    size: SizeRangeText
    hold: DurationRangeText
    idle: DurationRangeText
    scan: Literal["once", "sequential", "random"] = "once"
    stride: Size = 4096
    barriers: bool = False

    @model_validator(mode="after")
    def _check_times(self) -> MemoryGroupFile:
        if self.hold.min + self.idle.min <= 0:
            raise ValueError("hold and idle cannot both be 0")
        return self


class CyclicGroupFile(MemoryGroupFile):
    """Memory used in the same way by all processes at the same times, `iterations` times."""

    slot: Duration | None = None
    iterations: Annotated[int, Field(ge=1, le=10_000)]

    @model_validator(mode="after")
    def _check_ranges(self) -> CyclicGroupFile:
        if self.size.min != self.size.max or not (self.hold.is_one_value and self.idle.is_one_value):
            others = " or ".join(repr(w.name) for w in WORKLOADS.values() if w.uses_memory and not w.cyclic)
            raise ValueError(
                f"kind '{self.workload.name}' repeats one size, hold and idle; for ranges use kind {others}"
            )
        return self


class GridGroupFile(GroupFile):
    """A block of memory used as in a cycle, at every combination of `size`, `hold` and `idle` (study/points.py), `iterations` times each."""

    processes: Annotated[int, Field(ge=1, le=256)] = 1
    size: Blocks
    hold: Holds
    idle: Idles
    slot: Duration | None = None
    iterations: Annotated[int, Field(ge=2, le=10_000)]


class DrawnGroupFile(MemoryGroupFile):
    """Memory used by each process as it draws, for `duration`; start: how it begins, or the probability to begin held."""

    duration: Duration
    start: Literal["duty-cycle", "held", "idle"] | Annotated[float, Field(ge=0, le=1)] = "duty-cycle"


class FioGroupFile(GroupFile):
    """fio on test files of `file` bytes in all, every operation with every number of streams for `runtime`.

    engine, depth, direct: as fio has them. block: the bytes of one I/O, by default those of the operation.
    """

    file: SizeOrAuto
    streams: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)] = (1,)
    operations: Annotated[tuple[Operation, ...], Field(min_length=1)] = OPERATIONS
    runtime: Duration
    filesystem: Literal["ext4", "xfs"] | None = None
    engine: Literal["psync", "sync", "libaio", "io_uring"] = "psync"
    depth: Annotated[int, Field(ge=1, le=1024)] = 1
    direct: bool = False
    block: Size | None = None

    @model_validator(mode="after")
    def _check_options(self) -> FioGroupFile:
        if len(set(self.streams)) < len(self.streams):
            raise ValueError(f"streams = {list(self.streams)}: a number of streams stands there twice")
        if self.depth > 1 and self.engine in {"psync", "sync"}:
            raise ValueError(
                f"engine '{self.engine}' has one I/O at a time; use libaio or io_uring, or depth = 1"
            )
        return self


class CommandGroupFile(GroupFile):
    """A program of the user's, run `iterations` times, `period` apart; folder: as seen from the study's file."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    folder: str | None = None
    programs: tuple[str, ...] = ()
    data: Size | None = None
    filesystem: Literal["ext4", "xfs"] | None = None
    timeout: Duration = 60.0
    period: Duration | None = None
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 1


_CYCLIC, _DRAWN, _GRID = "cyclic", "drawn", "grid"
GROUP_MODELS: dict[str, type[GroupFile]] = {
    _CYCLIC: CyclicGroupFile,
    _DRAWN: DrawnGroupFile,
    _GRID: GridGroupFile,
    Activity.FIO: FioGroupFile,
    Activity.COMMAND: CommandGroupFile,
}


def find_model_name(content: object) -> str:
    """Return the name in GROUP_MODELS for a group's content; any of them, which then refuses it, for an unknown kind."""
    kind = content.get("kind") if isinstance(content, dict) else None
    workload = WORKLOADS.get(kind) if isinstance(kind, str) else None
    if workload is not None and workload.grid:
        return _GRID
    if workload is None or workload.uses_memory:
        return _CYCLIC if workload is not None and workload.cyclic else _DRAWN
    return str(workload.activity)


AnyGroupFile = Annotated[
    Annotated[CyclicGroupFile, Tag(_CYCLIC)]
    | Annotated[DrawnGroupFile, Tag(_DRAWN)]
    | Annotated[GridGroupFile, Tag(_GRID)]
    | Annotated[FioGroupFile, Tag(Activity.FIO)]
    | Annotated[CommandGroupFile, Tag(Activity.COMMAND)],
    Discriminator(find_model_name),
]

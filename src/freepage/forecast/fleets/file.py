"""The file of a fleet (TOML): kinds of VMs and nodes as people write them, checked where they enter."""

from __future__ import annotations

from abc import abstractmethod
from math import log
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from freepage.forecast.fleet import (
    Distribution,
    Lognormal,
    Node,
    Quantiles,
    Schedule,
    Steps,
    VmKind,
)
from freepage.fpr.footprint import OVERHEAD_RANGE_BYTES
from freepage.study.values import STRICT, Duration, DurationRangeText, Share, SizeRangeText
from freepage.units import format_bytes, parse_share, parse_size

if TYPE_CHECKING:
    from freepage.study.values import DurationRange, SizeRange

# All else that a fleet does not say is nothing: no swap, no page cache, no memory that stays stranded.
USUAL_HOURS, USUAL_UPTIME_S = 24.0, 3600.0
USUAL_OVERHEAD_BYTES = round(OVERHEAD_RANGE_BYTES[1])
LONGEST_HOURS = 31 * 24.0
# Of a normal distribution: how many standard deviations the 95th percentile lies above the median.
_P95 = NormalDist().inv_cdf(0.95)


def _read_bytes(value: object) -> object:
    if isinstance(value, str):
        return parse_size(value)
    raise ValueError(f"{value!r} is not a size: write it as text with its unit, such as '512MiB'")


def _read_share(value: object) -> object:
    if isinstance(value, str):
        return parse_share(value)
    raise ValueError(f"{value!r} is not a percentage: write it as text, such as '10%'")


def _steps(values: SizeRange | DurationRange) -> Steps:
    """Return a range; ValueError for a share of a node, which is no size of a VM."""
    ends = (values.min, values.max, values.step)
    if any(isinstance(each, Share) for each in ends):
        raise ValueError("a share of the node is no size of a VM: write it with its unit, such as '512MiB'")
    return Steps(*ends)


Size = Annotated[int, BeforeValidator(_read_bytes)]
SomeSize = Annotated[Size, Field(gt=0)]
Fraction = Annotated[float, BeforeValidator(_read_share), Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$")]


class NodeFile(BaseModel):
    """One [[node]]."""

    model_config = STRICT
    name: Name = "node"
    memory: SomeSize
    reserved: Size = 0
    swap: Size = 0
    overcommit: Annotated[float, BeforeValidator(_read_share), Field(ge=0.1, le=10)] | None = None

    @model_validator(mode="after")
    def _check(self) -> NodeFile:
        if self.reserved >= self.memory:
            raise ValueError("a node reserves less than its memory; nothing is left for VMs")
        return self

    def build(self) -> Node:
        """Return the node."""
        return Node(self.name, self.memory, self.reserved, self.swap, self.overcommit)


class VmFile(BaseModel):
    """The part that all kinds of [[vm]] have."""

    model_config = STRICT
    name: Name
    count: Annotated[int, Field(ge=0, le=100_000)] = 0
    memory: SomeSize
    overhead: Size = USUAL_OVERHEAD_BYTES


class UsingVmFile(VmFile):
    """A kind of VMs whose use is described: base, always; cache, of pages, growing by cache_per_hour; stranded, of what is freed."""

    base: Size
    cache: Size = 0
    cache_per_hour: SomeSize | None = None
    stranded: Fraction = 0.0

    @model_validator(mode="after")
    def _check(self) -> UsingVmFile:
        if self.cache_per_hour is not None and not self.cache:
            raise ValueError("cache_per_hour is how fast a page cache grows to 'cache', which is missing")
        self.build()
        return self

    @abstractmethod
    def build(self) -> VmKind:
        """Return the kind; ValueError for what no guest can do."""

    def fill(self, demand: Schedule | Distribution, most_bytes: float) -> VmKind:
        """Return the kind; ValueError where its guest does not have the memory that it is to use."""
        if self.base + most_bytes > self.memory:
            needed, memory = format_bytes(self.base + most_bytes), format_bytes(self.memory)
            raise ValueError(f"its base and what it uses beside it need {needed}; the guest has {memory}")
        return VmKind(
            self.name,
            self.memory,
            demand,
            self.overhead,
            self.base,
            self.stranded,
            self.cache,
            None if self.cache_per_hour is None else self.cache_per_hour / 3600,
            self.count,
        )


class ScheduleVmFile(UsingVmFile):
    """Processes that allocate blocks of `size`, hold them, free them and idle, as in a study of kind 'random'."""

    kind: Literal["schedule"]
    size: SizeRangeText
    hold: DurationRangeText
    idle: DurationRangeText
    processes: Annotated[int, Field(ge=1, le=256)] = 1

    def build(self) -> VmKind:
        """Return the kind; ValueError for blocks and times that cannot be."""
        size, hold, idle = _steps(self.size), _steps(self.hold), _steps(self.idle)
        schedule = Schedule(size, hold, idle, self.processes)
        if schedule.cycle_s < 1:
            raise ValueError(
                "hold and idle together are less than a second; a fleet is computed second by second"
            )
        return self.fill(schedule, self.processes * size.maximum)


class DistributedVmFile(UsingVmFile):
    """Memory drawn anew after `correlation` in the mean."""

    correlation: Annotated[Duration, Field(ge=1)]


class LognormalVmFile(DistributedVmFile):
    """A lognormal distribution by its median and its 95th percentile; what lies beyond the guest's memory is cut."""

    kind: Literal["lognormal"]
    median: Size
    p95: Size

    def build(self) -> VmKind:
        """Return the kind; ValueError for a distribution that cannot be."""
        if not 0 < self.median < self.p95:
            raise ValueError("the median is above 0 and below p95")
        values = Lognormal(self.median, log(self.p95 / self.median) / _P95)
        return self.fill(Distribution(values, self.correlation), self.p95)


class UniformVmFile(DistributedVmFile):
    """A uniform distribution from min to max."""

    kind: Literal["uniform"]
    min: Size
    max: Size

    def build(self) -> VmKind:
        """Return the kind; ValueError for a distribution that cannot be."""
        if self.min > self.max:
            raise ValueError("min is greater than max")
        values = Quantiles((float(self.min), float(self.max)))
        return self.fill(Distribution(values, self.correlation), self.max)


class QuantilesVmFile(DistributedVmFile):
    """A distribution by its quantiles at equal steps of probability, from the least to the most."""

    kind: Literal["quantiles"]
    quantiles: Annotated[tuple[Size, ...], Field(min_length=2)]

    def build(self) -> VmKind:
        """Return the kind; ValueError for quantiles that are not in order."""
        if list(self.quantiles) != sorted(self.quantiles):
            raise ValueError("quantiles go from the least to the most")
        values = Quantiles(tuple(map(float, self.quantiles)))
        return self.fill(Distribution(values, self.correlation), self.quantiles[-1])


class TraceVmFile(VmFile):
    """A recorded VM, without FPR or with it; columns as `freepage forecast` takes them (docs/forecast.md)."""

    kind: Literal["trace"]
    trace: str
    columns: dict[str, str] = {}


AnyVmFile = Annotated[
    ScheduleVmFile | LognormalVmFile | UniformVmFile | QuantilesVmFile | TraceVmFile,
    Field(discriminator="kind"),
]
MODELS: dict[str, type[VmFile]] = {
    "schedule": ScheduleVmFile,
    "lognormal": LognormalVmFile,
    "uniform": UniformVmFile,
    "quantiles": QuantilesVmFile,
    "trace": TraceVmFile,
}


class FleetFile(BaseModel):
    """A whole fleet. uptime: how long all VMs have been up when the hours begin that are counted."""

    model_config = STRICT
    title: str = ""
    seed: Annotated[int, Field(ge=0)] = 1
    hours: Annotated[float, Field(gt=0, le=LONGEST_HOURS)] = USUAL_HOURS
    uptime: Annotated[Duration, Field(le=LONGEST_HOURS * 3600)] = USUAL_UPTIME_S
    node: Annotated[tuple[NodeFile, ...], Field(min_length=1)]
    vm: Annotated[tuple[AnyVmFile, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_names(self) -> FleetFile:
        for what, names in (
            ("kinds of VMs", [v.name for v in self.vm]),
            ("nodes", [n.name for n in self.node]),
        ):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"two {what} are called {twice!r}; give one of them another name")
        return self

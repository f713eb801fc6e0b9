"""What a person asks for: a study of one or more experiments, read from TOML, with sizes still unscaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freepage.records import Arm


@dataclass(frozen=True)
class Range:
    """Values minimum, minimum + step, ... up to maximum; a single value when all are equal."""

    minimum: float
    maximum: float
    step: float

    @property
    def mean(self) -> float:
        return (self.minimum + self.maximum) / 2


@dataclass(frozen=True)
class Experiment:
    """One workload with every size in bytes and every time in seconds, at the scale it will run at.

    kind: the registry's name of the schedule ("cycle", "random").
    size: bytes of one allocation; hold, idle: seconds allocated and free, slot: seconds kept for touching it.
    """

    name: str
    kind: str
    title: str
    instances: int
    processes: int
    cpus: int
    vm_memory_bytes: int
    size: Range
    hold: Range
    idle: Range
    slot_s: float
    iterations: int
    duration_s: float
    start: str
    scan: str
    stride_bytes: int


@dataclass(frozen=True)
class Study:
    """A study ready to be planned: its experiments at one scale on one node."""

    name: str
    title: str
    seed: int
    repeats: int
    arms: tuple[Arm, ...]
    interval_s: float
    scale: float
    experiments: tuple[Experiment, ...]
    verdict_rule: dict[str, float]

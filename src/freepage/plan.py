"""The trials of a study in the order they will run, and what each needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freepage.records import Arm
    from freepage.schedule import ProcessSchedule
    from freepage.study import Experiment


@dataclass(frozen=True)
class InstancePlan:
    """One pod or VM of a trial. `carrier` is what it really is: usually the trial's arm."""

    name: str
    carrier: Arm
    cpus: int
    vm_memory_bytes: int
    schedules: tuple[ProcessSchedule, ...]

    @property
    def peak_demand_bytes(self) -> int:
        return sum(max((s.bytes for s in p.steps), default=0) for p in self.schedules)


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

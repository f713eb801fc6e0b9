"""The memory and the time that an experiment needs, without its schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.records import Arm
from freepage.study.plan import PLANNED_EMULATOR_BYTES, planned_overhead_s
from freepage.study.study import MemoryGroup

if TYPE_CHECKING:
    from freepage.study.study import AnyGroup, Experiment


def list_carriers(experiment: Experiment, arm: Arm) -> list[Arm]:
    """Return what each instance of a trial on an arm is."""
    return [carrier for carrier, group in experiment.instances_on(arm) for _ in range(group.instances)]


def find_demand_bytes(experiment: Experiment) -> int:
    """Return the most memory that a trial on any of its arms may take (as Trial.demand_bytes, from above)."""
    grown = (
        sum(g.instances * _instance_bytes(carrier, g) for carrier, g in experiment.instances_on(arm))
        for arm in experiment.arms
    )
    return round(max(*grown, 0, experiment.node_memory_bytes or 0))


def find_duration_s(experiment: Experiment, accelerator: str) -> float:
    """Return the seconds that one repeat is expected to take, on all arms."""
    return sum(
        experiment.duration_s + planned_overhead_s(list_carriers(experiment, arm), accelerator, settles=True)
        for arm in experiment.arms
    )


def _instance_bytes(carrier: Arm, group: AnyGroup) -> float:
    """Return what one instance may grow to: all of a VM, or what a pod's processes hold together at most."""
    if carrier is not Arm.POD:
        return group.vm_memory_bytes + PLANNED_EMULATOR_BYTES
    return group.processes * group.size.maximum if isinstance(group, MemoryGroup) else 0

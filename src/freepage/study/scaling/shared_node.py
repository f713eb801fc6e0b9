"""fio on a node beside instances that use its memory: docs/decisions/006-groups.md."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.records import Arm
from freepage.study.blocks import block_seed
from freepage.study.scaling.fio import PLANNED_FIO_MARGIN_S, planned_prepare_s
from freepage.study.scaling.levels import BlockLevels, Levels, expected_levels
from freepage.study.study import FioGroup, MemoryGroup
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.study.scaling.scale import Scale
    from freepage.study.study import Experiment
    from freepage.study.values import Share

# A VM takes this of the node beside its blocks, for sizing a node and a test file: measured under emulation, a guess under KVM.
PLANNED_VM_BYTES = {"kvm": 260 * MIB, "tcg": 190 * MIB}
SMALLEST_FILE_BYTES = 64 * MIB
# The share of a node that stays free beside the memory that VMs without FPR hold.
NODE_RESERVE = 0.15
# The largest share of a node that its test file takes.
LARGEST_FILE_SHARE = 0.6
# A node of its own may be so much smaller than the study's, where the machine has no more available: its system needs the rest.
LEAST_NODE_SHARE = 0.9
# Memory is in use for at least so many periods before fio starts.
LEAD_PERIODS = 1.5
# Node and test file are sized by the schedules of so many blocks, which stand for any further ones.
SIZED_BLOCKS = 5


def share_node(
    experiment: Experiment, node_memory: int | Share | None, seed: int, scale: Scale
) -> Experiment:
    """Have the memory groups go on until fio has ended, and size the test file between their two levels of memory."""
    memory = tuple(g for g in experiment.groups if isinstance(g, MemoryGroup))
    (fio,) = (g for g in experiment.groups if isinstance(g, FioGroup))
    fio = replace(fio, after_s=_lead_s(fio, memory, scale))
    vms_bytes = sum(g.instances for g in memory) * PLANNED_VM_BYTES[scale.conditions.accelerator]
    levels = _find_levels(experiment, memory, fio, seed, scale)
    node_bytes = _node_bytes(node_memory, levels, vms_bytes, scale)
    fio = _fit_file(fio, node_bytes, vms_bytes, levels, scale)
    end_s = fio.after_s + fio.duration_s
    ended = {g.name: replace(_until(g, end_s), tail_s=0.0) for g in memory}
    return replace(
        experiment,
        arms=(Arm.BASELINE, *experiment.arms),
        duration_s=end_s,
        groups=tuple(fio if isinstance(g, FioGroup) else ended.get(g.name, g) for g in experiment.groups),
        node_memory_bytes=None if _node_is_given(node_memory, scale) else node_bytes,
    )


def _find_levels(
    experiment: Experiment, memory: tuple[MemoryGroup, ...], fio: FioGroup, seed: int, scale: Scale
) -> BlockLevels:
    """Return the levels while fio runs, in each block; for a sketch what no schedule can exceed."""
    if scale.sketch:
        most = sum(g.instances * g.processes * g.size.maximum for g in memory)
        return BlockLevels((Levels(0.0, most),))
    end_s = fio.after_s + fio.job.duration_s
    lasting = tuple(replace(_until(g, end_s), tail_s=0.0) for g in memory)
    seeds = (block_seed(seed, experiment.name, n) for n in range(min(experiment.repeats, SIZED_BLOCKS)))
    return BlockLevels(tuple(expected_levels(experiment.name, lasting, s, fio.after_s, end_s) for s in seeds))


def _node_is_given(node_memory: int | Share | None, scale: Scale) -> bool:
    return scale.conditions.node_is_given or node_memory is None


def _lead_s(fio: FioGroup, memory: tuple[MemoryGroup, ...], scale: Scale) -> float:
    """Return the seconds of memory use before fio starts: scaled as the article's wait, at least some periods."""
    if scale.smoke:
        return min(fio.after_s, scale.limits.lead_s)
    period_s = max(g.hold.mean + g.idle.mean for g in memory)
    return min(fio.after_s, max(fio.after_s * scale.factor, LEAD_PERIODS * period_s))


def _until(group: MemoryGroup, end_s: float) -> MemoryGroup:
    """Return the group with schedules that go on until `end_s`."""
    iterations = math.ceil(end_s / group.period_s) if group.workload.cyclic else group.iterations
    return replace(group, duration_s=end_s, iterations=iterations)


def _node_bytes(node_memory: int | Share | None, levels: BlockLevels, vms_bytes: int, scale: Scale) -> int:
    """Return the node's memory: its share of the original and the VMs' own, which does not shrink.

    A node at the study's own size is all that is available, where that is nearly as much.
    """
    if node_memory is None or scale.conditions.node_is_given:
        return scale.conditions.node_memory_bytes
    wanted = scale.scaled_bytes(node_memory)
    if scale.shrinks:
        wanted = max(wanted, round(levels.most_without_bytes * (1 + NODE_RESERVE))) + vms_bytes
    available = scale.conditions.available_bytes
    if available is not None and wanted * LEAST_NODE_SHARE <= available < wanted:
        return available // MIB * MIB
    return math.ceil(wanted / MIB) * MIB


def _fit_file(
    group: FioGroup, node_bytes: int, vms_bytes: int, levels: BlockLevels, scale: Scale
) -> FioGroup:
    """Return fio with a test file between what VMs leave of the node with FPR and without.

    The study's own size is taken where it lies there, and where nothing is scaled; else the middle.
    """
    file_bytes = group.job.file_bytes
    left_bytes = node_bytes - vms_bytes - levels.middle_bytes
    lies_between = not scale.sketch and levels.lies_between(node_bytes - vms_bytes - file_bytes)
    if not file_bytes or (scale.shrinks and not lies_between):
        most = math.inf if scale.conditions.node_is_given else LARGEST_FILE_SHARE * node_bytes
        wanted = node_bytes - vms_bytes if scale.sketch else left_bytes
        file_bytes = max(SMALLEST_FILE_BYTES, math.floor(min(wanted, most) / MIB) * MIB)
    # A smoke run fills no node.
    file_bytes = round(min(file_bytes, scale.limits.block_bytes))
    # fio runs in a pod, at the host's own pace.
    prepare_s = planned_prepare_s(file_bytes, "kvm")
    job = replace(group.job, file_bytes=file_bytes, prepare_s=prepare_s, margin_s=PLANNED_FIO_MARGIN_S["kvm"])
    return replace(group, job=job, duration_s=job.duration_s)

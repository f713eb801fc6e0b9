"""fio on a node beside instances that use its memory: docs/decisions/006-groups.md."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.records import Arm
from freepage.study.blocks import block_seed
from freepage.study.scaling.fio import PLANNED_FIO_MARGIN_S, planned_prepare_s
from freepage.study.scaling.levels import BlockLevels, expected_levels
from freepage.study.study import FioGroup, MemoryGroup
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.study.scaling.scale import Scale
    from freepage.study.study import Experiment
    from freepage.study.values import Share

# An idle VM takes this of the node, for sizing a node and a test file.
PLANNED_VM_BYTES = 260 * MIB
SMALLEST_FILE_BYTES = 64 * MIB
# The share of a node that stays free beside the memory that VMs without FPR hold.
NODE_RESERVE = 0.15
# Seconds that schedules go on after fio has started while the levels of memory are found.
LONGEST_FIO_S = 600.0
# Node and test file are sized by the schedules of so many blocks, which stand for any further ones.
SIZED_BLOCKS = 5


def share_node(
    experiment: Experiment, node_memory: int | Share | None, seed: int, scale: Scale
) -> Experiment:
    """Have the memory groups go on until fio has ended, and size the test file between their two levels of memory."""
    memory = tuple(g for g in experiment.groups if isinstance(g, MemoryGroup))
    (fio,) = (g for g in experiment.groups if isinstance(g, FioGroup))
    after_s = _lead_s(fio, memory, scale)
    lasting = tuple(replace(_until(g, after_s + LONGEST_FIO_S), tail_s=0.0) for g in memory)
    levels = _levels_of_blocks(experiment, lasting, seed, (after_s, after_s + fio.job.duration_s))
    vms_bytes = sum(g.instances for g in memory) * PLANNED_VM_BYTES
    node_bytes = _node_bytes(node_memory, levels, vms_bytes, scale)
    fio = _fit_file(replace(fio, after_s=after_s), node_bytes - vms_bytes - levels.middle_bytes, scale)
    end_s = fio.after_s + fio.duration_s
    ended = {g.name: _until(g, end_s) for g in lasting}
    return replace(
        experiment,
        arms=(Arm.BASELINE, *experiment.arms),
        duration_s=end_s,
        groups=tuple(fio if isinstance(g, FioGroup) else ended.get(g.name, g) for g in experiment.groups),
        node_memory_bytes=None if _node_is_given(node_memory, scale) else node_bytes,
    )


def _levels_of_blocks(
    experiment: Experiment, memory: tuple[MemoryGroup, ...], seed: int, window_s: tuple[float, float]
) -> BlockLevels:
    seeds = (block_seed(seed, experiment.name, n) for n in range(min(experiment.repeats, SIZED_BLOCKS)))
    return BlockLevels(tuple(expected_levels(experiment.name, memory, s, *window_s) for s in seeds))


def _node_is_given(node_memory: int | Share | None, scale: Scale) -> bool:
    return scale.conditions.node_is_given or node_memory is None


def _lead_s(fio: FioGroup, memory: tuple[MemoryGroup, ...], scale: Scale) -> float:
    """Return the seconds of memory use before fio starts: scaled as the article's wait, at least three periods."""
    if scale.smoke:
        return min(fio.after_s, scale.limits.lead_s)
    period_s = max(g.hold.mean + g.idle.mean for g in memory)
    return min(fio.after_s, max(fio.after_s * scale.factor, 3 * period_s))


def _until(group: MemoryGroup, end_s: float) -> MemoryGroup:
    """Return the group with schedules that go on until `end_s`."""
    iterations = math.ceil(end_s / group.period_s) if group.workload.cyclic else group.iterations
    return replace(group, duration_s=end_s, iterations=iterations)


def _node_bytes(node_memory: int | Share | None, levels: BlockLevels, vms_bytes: int, scale: Scale) -> int:
    """Return the node's memory: its share of the original and the VMs' own, which does not shrink."""
    if node_memory is None or scale.conditions.node_is_given:
        return scale.conditions.node_memory_bytes
    wanted = scale.scaled_bytes(node_memory)
    if scale.shrinks:
        wanted = max(wanted, round(levels.most_without_bytes * (1 + NODE_RESERVE))) + vms_bytes
    return math.ceil(wanted / MIB) * MIB


def _fit_file(group: FioGroup, left_bytes: float, scale: Scale) -> FioGroup:
    """Return fio with a test file as large as what is left of the node, where the study does not give its size."""
    file_bytes = group.job.file_bytes
    if not file_bytes:
        # A smoke run does not fill a node that could not be made smaller.
        most = scale.limits.block_bytes if scale.conditions.node_is_given else left_bytes
        file_bytes = max(SMALLEST_FILE_BYTES, math.floor(min(left_bytes, most) / MIB) * MIB)
    # fio runs in a pod, at the host's own pace.
    prepare_s = planned_prepare_s(file_bytes, "kvm")
    job = replace(group.job, file_bytes=file_bytes, prepare_s=prepare_s, margin_s=PLANNED_FIO_MARGIN_S["kvm"])
    return replace(group, job=job, duration_s=job.duration_s)

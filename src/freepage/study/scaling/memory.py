"""Groups that use memory, at a scale."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.errors import StudyError
from freepage.fpr.mechanics import USUAL_PASSES, Passes
from freepage.fpr.release import release_time_bound_s
from freepage.study.group_file import CyclicGroupFile, DrawnGroupFile
from freepage.study.study import MemoryGroup, Range
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.study.scaling.scale import Scale
    from freepage.study.values import DurationRange

# Schedules keep time free for touching memory at this rate, in bytes per second and core: a plan, never a result.
# Lateness against it is recorded.
PLANNED_TOUCH_RATE = {"kvm": 1024 * MIB, "tcg": 250 * MIB}
# Drawn schedules, which keep no time free, ask at most for this share of it on average.
TOUCHED_SHARE = 0.6
SMALLEST_BLOCK_BYTES = 4 * MIB
# An idle guest needs this beside what its processes allocate.
GUEST_RESERVE_BYTES = 320 * MIB
# One that boots and answers has so much; where memory is short, guests are no larger than that and their blocks.
COMPACT_RESERVE_BYTES = 192 * MIB
# Linux switches transparent huge pages off in machines with less than 512 MiB: they would be another kind of guest.
SMALLEST_VM_BYTES = 640 * MIB
GUEST_STEP_BYTES = 32 * MIB
# A slot up to this is planned in quarters of a second, a longer one in seconds.
FINE_SLOT_S = 3.0
SHORTEST_SLOT_S = 1.0
# Of a workload that does not follow FPR's pace, whose times do not shrink.
SHORTEST_DURATION_S = 20.0
# A guest's delay and passes leave so much of an idle time to save that it can be seen: idle times are so many times as long as a
# block needs to come back. Where all free at once for the sake of CPU, once is enough.
IDLE_RELEASES = {"cyclic": 1.7, "drawn": 2.0}
# Drawn schedules last at least so many times as long as a block is held and the next one awaited on average.
LEAST_PERIODS = 4


def scale_memory(file: CyclicGroupFile | DrawnGroupFile, experiment: str, scale: Scale) -> MemoryGroup:
    """Return a group that uses memory at a scale; `experiment` is named where its VMs are too small (StudyError)."""
    instances, processes = scale.count_instances(file.instances), scale.count_processes(file.processes)
    size = _scale_sizes(file, scale.factor, scale)
    factor = _time_factor(file, size.maximum, scale)
    hold, idle = _range_of(file.hold).times(factor), _range_of(file.idle).times(factor)
    if isinstance(file, DrawnGroupFile) and scale.shrinks:
        size = _bound_by_cores(file, size, instances * processes / (hold.mean + idle.mean), scale)
    group = MemoryGroup(
        name=file.name,
        workload=file.workload,
        carrier=file.fixed_carrier,
        instances=instances,
        processes=processes,
        cpus=file.cpus,
        vm_memory_bytes=_vm_memory_bytes(file, experiment, processes * size.maximum, scale),
        duration_s=0.0,
        after_s=file.after * factor,
        size=size,
        hold=hold,
        idle=idle,
        scan=file.scan,
        stride_bytes=scale.in_bytes(file.stride),
        barriers=file.barriers,
    )
    if isinstance(file, CyclicGroupFile):
        return _finish_cyclic(group, file, factor, scale)
    return _finish_drawn(group, file, scale)


def _time_factor(file: CyclicGroupFile | DrawnGroupFile, block_bytes: float, scale: Scale) -> float:
    """Return the factor for a group's times, 1 for those that do not follow FPR's pace."""
    if not file.workload.paced:
        return 1.0
    releases = 1.0 if file.workload.synchronised or scale.smoke else IDLE_RELEASES[file.workload.schedule]
    mean_idle_s = (file.idle.min + file.idle.max) / 2
    return scale_time(scale.factor, block_bytes, mean_idle_s / releases, _passes_at(scale))


def _passes_at(scale: Scale) -> Passes:
    return Passes(block_bytes=scale.conditions.block_bytes)


def scale_time(scale: float, block_bytes: float, idle_s: float, passes: Passes = USUAL_PASSES) -> float:
    """Return the factor for hold and idle: the scale, but never so small that a block cannot come back while idle.

    The bound is the kernel's own pace (release.release_time_bound_s); hold shrinks by the same factor, so that
    the duty cycle stays what it was. Times never grow.
    """
    least = release_time_bound_s(round(block_bytes), passes) / idle_s if idle_s > 0 else 1.0
    return min(1.0, max(scale, least))


def _finish_cyclic(group: MemoryGroup, file: CyclicGroupFile, factor: float, scale: Scale) -> MemoryGroup:
    if scale.shrinks:
        # All do the same at once: nothing depends on the duty cycle.
        shortest = scale.limits.shortest_hold_s / (file.hold.max or 1.0)
        group = replace(group, hold=_range_of(file.hold).times(max(scale.factor, min(factor, shortest))))
    iterations = scale.count_iterations(file.iterations)
    slot_s = _slot_s(group, scale) if file.slot is None else file.slot
    group = replace(group, iterations=iterations, slot_s=slot_s)
    last_idle_s = min(scale.limits.last_idle_s, group.idle.maximum)
    duration_s = iterations * group.period_s - group.idle.maximum + last_idle_s
    return replace(group, duration_s=duration_s)


def _finish_drawn(group: MemoryGroup, file: DrawnGroupFile, scale: Scale) -> MemoryGroup:
    if group.workload.paced:
        fit = min(1.0, scale.limits.duration_s / group.period_s)
        group = replace(group, hold=group.hold.times(fit), idle=group.idle.times(fit))
    shortest_s = SHORTEST_DURATION_S
    if group.workload.paced:
        shortest_s = max(LEAST_PERIODS * (group.hold.mean + group.idle.mean), group.period_s)
    duration_s = max(file.duration * min(1.0, scale.factor), min(file.duration, shortest_s))
    duration_s = min(duration_s, scale.limits.duration_s)
    tail_s = min(release_time_bound_s(round(group.size.maximum), _passes_at(scale)), duration_s / 3)
    return replace(group, start=file.start, duration_s=duration_s, tail_s=tail_s)


def _scale_sizes(file: CyclicGroupFile | DrawnGroupFile, factor: float, scale: Scale) -> Range:
    """Return the sizes of blocks: whole MiB, within a smoke run's limit."""
    values = [scale.in_bytes(v, factor) for v in (file.size.min, file.size.max, file.size.step)]
    smallest, largest = (max(SMALLEST_BLOCK_BYTES, math.ceil(v / MIB) * MIB) for v in values[:2])
    step = max(MIB, math.ceil(values[2] / MIB) * MIB)
    sizes = (smallest, max(smallest, largest), step)
    return Range(*(min(v, scale.limits.block_bytes) for v in sizes))


def _bound_by_cores(file: DrawnGroupFile, size: Range, blocks_per_s: float, scale: Scale) -> Range:
    """Return sizes that the cores can touch as often as blocks are drawn; a block is never below the smallest."""
    rate = TOUCHED_SHARE * PLANNED_TOUCH_RATE[scale.conditions.accelerator] * scale.conditions.cores
    too_much = blocks_per_s * size.mean / rate
    return size if too_much <= 1 else _scale_sizes(file, scale.factor / too_much, scale)


def _range_of(durations: DurationRange) -> Range:
    return Range(durations.min, durations.max, durations.step)


def _slot_s(group: MemoryGroup, scale: Scale) -> float:
    """Return the seconds kept for touching a block, from the planned rate."""
    touching = group.instances * group.processes
    rate = PLANNED_TOUCH_RATE[scale.conditions.accelerator] * min(touching, scale.conditions.cores)
    needed_s = group.size.maximum * touching / rate
    rounded_s = math.ceil(needed_s) if needed_s > FINE_SLOT_S else math.ceil(needed_s * 4) / 4
    return max(SHORTEST_SLOT_S, rounded_s)


def _vm_memory_bytes(
    file: CyclicGroupFile | DrawnGroupFile, experiment: str, peak_bytes: float, scale: Scale
) -> int:
    """Return a VM's memory: its peak demand, 6 % for page tables and page structures, and an idle guest's own need."""
    reserve_bytes = COMPACT_RESERVE_BYTES if scale.sizing.compact else GUEST_RESERVE_BYTES
    needed = math.ceil((peak_bytes * 1.06 + reserve_bytes) / GUEST_STEP_BYTES) * GUEST_STEP_BYTES
    least = needed if scale.sizing.compact else max(needed, SMALLEST_VM_BYTES)
    if file.vm_memory is None:
        return least
    wanted = scale.scaled_bytes(file.vm_memory)
    if not scale.shrinks and wanted < peak_bytes + GUEST_RESERVE_BYTES:
        raise StudyError(
            f"experiment {experiment}: vm_memory is smaller than the {round(peak_bytes / MIB)} MiB its processes "
            "allocate at their peak, and what the guest itself needs",
            hint="raise vm_memory, leave it out, or shrink size or processes",
        )
    return max(math.ceil(wanted / MIB) * MIB, least)

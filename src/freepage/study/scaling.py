"""A study at a scale: docs/decisions/003-scaling.md."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.errors import StudyError
from freepage.fpr.mechanics import PASS_DELAY_S, release_time_bound_s
from freepage.records import Arm, VerdictRule
from freepage.study.file import CYCLIC, MEMORY, Share, name_of
from freepage.study.fio import IoJob
from freepage.study.schedule import build_schedule
from freepage.study.study import CommandJob, Experiment, Group, Range, Study
from freepage.units import GIB, MIB

if TYPE_CHECKING:
    from freepage.records import ProcessSchedule
    from freepage.study.file import DurationRange, ExperimentFile, GroupFile, StudyFile
    from freepage.study.study import Conditions

# What a schedule keeps free for touching memory, in bytes per second and core: a plan, never a result. Lateness
# against it is recorded.
PLANNED_TOUCH_RATE = {"kvm": 1024 * MIB, "tcg": 250 * MIB}
# Likewise for laying out test files, in bytes per second, and for a fio to start and end beside its runtime.
PLANNED_WRITE_RATE = {"kvm": 400 * MIB, "tcg": 100 * MIB}
PLANNED_FIO_MARGIN_S = {"kvm": 0.4, "tcg": 1.3}
# What an idle VM takes of the node, for sizing a node and a test file, and for the capacity check.
PLANNED_VM_BYTES = 260 * MIB
SMALLEST_BLOCK_BYTES = 4 * MIB
GUEST_RESERVE_BYTES = 320 * MIB
# Linux switches transparent huge pages off in machines with less than 512 MiB: they would be another kind of guest.
SMALLEST_VM_BYTES = 640 * MIB
# A guest needs this beside its files, for its kernel and fio, however small its share of the original is.
GUEST_IO_RESERVE_BYTES = 224 * MIB
PAGE_CACHE_SHARE = 0.85
# Below this it is a smoke run, which only shows that experiments run: each is cut to a few seconds a trial.
SMOKE_SCALE = 0.015
SMOKE_DURATION_S = 11.0
SMOKE_BLOCK_BYTES = 512 * MIB
SMOKE_LEAD_S = 4.0
SMOKE_SLOT_S = 3.0
SMOKE_INTERVAL_S = 0.5
SMOKE_RUNTIME_S = 0.5
SHORTEST_RUNTIME_S = 1.0
SHORTEST_CHURN_S = 20.0
SHORTEST_HOLD_S = 2.0
SHORTEST_SMOKE_HOLD_S = 0.5


def scale_study(study: StudyFile, scale: float, conditions: Conditions) -> Study:
    """Give the study at `scale`; StudyError for one that makes no sense there."""
    fitting = [e for e in study.experiment if _arms_of(e, study)]
    if not fitting:
        raise StudyError(
            f"no experiment of the study runs on {', '.join(study.arms)}",
            hint=f"they run on {', '.join(dict.fromkeys(a for e in study.experiment for a in e.arms or ()))}",
        )
    return Study(
        name=study.name,
        title=study.title or study.name,
        seed=study.seed,
        arms=study.arms,
        interval_s=min(study.interval, SMOKE_INTERVAL_S) if scale < SMOKE_SCALE else study.interval,
        scale=scale,
        experiments=tuple(scale_experiment(e, scale, conditions, study) for e in fitting),
        verdict_rule=VerdictRule(**study.verdict),
    )


def scale_experiment(
    file: ExperimentFile, scale: float, conditions: Conditions, study: StudyFile
) -> Experiment:
    """Give one experiment at `scale` on a node of these conditions."""
    experiment = Experiment(
        name=name_of(file),
        kind=file.kind,
        title=file.title or name_of(file),
        repeats=file.repeats or study.repeats,
        arms=_arms_of(file, study),
        duration_s=0.0,
        groups=tuple(scale_group(g, scale, conditions, experiment=file) for g in file.groups),
    )
    if file.kind == "host-io":
        return _join_groups(experiment, file, scale, conditions, study.seed)
    return replace(experiment, duration_s=max(g.after_s + g.duration_s for g in experiment.groups))


def _arms_of(file: ExperimentFile, study: StudyFile) -> tuple[Arm, ...]:
    return tuple(a for a in study.arms if file.arms is None or a in file.arms)


def scale_group(
    file: GroupFile, scale: float, conditions: Conditions, *, experiment: ExperimentFile
) -> Group:
    """Give one group of instances at `scale`."""
    workload = file.workload
    group = Group(
        name=name_of(file) if experiment.group else "",
        kind=workload,
        carrier=None if file.carrier == "arm" else Arm(file.carrier),
        instances=_scale_count(file.instances, scale) if workload in MEMORY else file.instances,
        processes=_scale_count(file.processes, scale) if workload in MEMORY else 1,
        cpus=file.cpus,
        vm_memory_bytes=0,
        after_s=file.after,
    )
    if workload == "fio":
        return _scale_io(group, file, scale, conditions)
    if workload == "command":
        return _scale_command(group, file, conditions)
    return _scale_memory(group, file, scale, conditions)


def scale_time(scale: float, block_bytes: float, idle_s: float) -> float:
    """Give the factor for hold and idle: the scale, but never so small that a block cannot come back while idle.

    The bound is the kernel's own pace (mechanics.release_time_bound_s); hold shrinks by the same factor, so that
    the duty cycle stays what it was. Times never grow.
    """
    least = release_time_bound_s(round(block_bytes)) / idle_s if idle_s > 0 else 1.0
    return min(1.0, max(scale, least))


def _scale_memory(group: Group, file: GroupFile, scale: float, conditions: Conditions) -> Group:
    if file.size is None or file.hold is None or file.idle is None:
        raise TypeError(file.kind)
    size = _scale_sizes(file, _size_factor(group, file, scale), conditions.node_memory_bytes)
    if scale < SMOKE_SCALE:
        size = Range(*(min(v, SMOKE_BLOCK_BYTES) for v in (size.minimum, size.maximum, size.step)))
    mean_idle_s = (file.idle.min + file.idle.max) / 2
    # Churn is about times far shorter than FPR's own: they stay.
    time = 1.0 if file.kind == "churn" else scale_time(scale, size.maximum, mean_idle_s)
    slot_s = _slot_s(file, size, group.instances * group.processes, conditions)
    hold, idle = _scale_durations(file.hold, time), _scale_durations(file.idle, time)
    if scale < 1 and file.kind in CYCLIC:
        # All do the same at once: nothing depends on the duty cycle.
        shortest_s = SHORTEST_SMOKE_HOLD_S if scale < SMOKE_SCALE else SHORTEST_HOLD_S
        hold = _times(
            _scale_durations(file.hold, 1.0), max(scale, min(time, shortest_s / (file.hold.max or 1.0)))
        )
    elif scale < SMOKE_SCALE and file.kind == "random":
        fit = min(1.0, SMOKE_DURATION_S / (slot_s + hold.maximum + idle.maximum))
        hold, idle = _times(hold, fit), _times(idle, fit)
    scaled = replace(
        group,
        vm_memory_bytes=_vm_memory_bytes(file, scale, group.processes * size.maximum, conditions),
        size=size,
        hold=hold,
        idle=idle,
        slot_s=slot_s,
        iterations=_scale_count(file.iterations or 0, scale),
        start=file.start,
        scan=file.scan,
        stride_bytes=_in_bytes(file.stride, 1.0, conditions.node_memory_bytes),
        barriers=file.barriers,
        after_s=file.after * time,
        # A last idle that is too short to be a release is none that is measured.
        last_idle_s=min(1.0, idle.maximum) if scale < SMOKE_SCALE else idle.maximum,
    )
    return _last(scaled, file, scale, time)


def _size_factor(group: Group, file: GroupFile, scale: float) -> float:
    """Give the factor for blocks: what is left of the scale once there are fewer of them, so that their sum follows it.

    Churn keeps to the scale itself: larger blocks would not be touched in the time they are held.
    """
    if scale >= 1 or file.kind == "churn":
        return scale
    return min(1.0, scale * file.instances * file.processes / (group.instances * group.processes))


def _last(group: Group, file: GroupFile, scale: float, time: float) -> Group:
    """Say how long the group's schedules last, and how long nothing is held at their end."""
    period_s = group.slot_s + group.hold.maximum + group.idle.maximum
    if group.kind in CYCLIC:
        return replace(group, duration_s=group.iterations * period_s - group.idle.maximum + group.last_idle_s)
    root = math.sqrt(scale) if scale < 1 else 1.0
    duration_s = max((file.duration or 0.0) * time * root, period_s)
    if group.kind == "churn" and scale < 1:
        duration_s = max(min(file.duration or 0.0, SHORTEST_CHURN_S), duration_s)
    if scale < SMOKE_SCALE:
        duration_s = min(duration_s, SMOKE_DURATION_S)
    tail_s = min(release_time_bound_s(round(group.size.maximum)), duration_s / 3)
    return replace(group, duration_s=duration_s, tail_s=tail_s)


def _scale_io(group: Group, file: GroupFile, scale: float, conditions: Conditions) -> Group:
    if file.file is None or file.runtime is None:
        raise TypeError(file.kind)
    if len(set(file.streams)) > 2 or (len(set(file.streams)) == 2 and 1 not in file.streams):
        raise StudyError(
            f"streams = {list(file.streams)}: fio runs one stream through all files, or as many as there are files",
            hint="give one number, or 1 and another one, such as [1, 7]",
        )
    file_bytes = (
        0 if isinstance(file.file, str) else _in_bytes(file.file, scale, conditions.node_memory_bytes)
    )
    smoke = scale < SMOKE_SCALE
    shortest_s = SMOKE_RUNTIME_S if smoke else SHORTEST_RUNTIME_S
    job = IoJob(
        file_bytes=file_bytes,
        streams=(min(file.streams),) if smoke else file.streams,
        operations=file.operations[::2] if smoke else file.operations,
        runtime_s=min(file.runtime, max(shortest_s, file.runtime * scale)),
        prepare_s=_prepare_s(file_bytes, conditions),
        margin_s=PLANNED_FIO_MARGIN_S[conditions.accelerator],
        filesystem=file.filesystem,
    )
    return replace(
        group,
        io=job,
        duration_s=job.duration_s,
        vm_memory_bytes=_io_vm_bytes(file, file_bytes, scale, conditions),
    )


def _prepare_s(file_bytes: float, conditions: Conditions) -> float:
    return (
        math.ceil(file_bytes / PLANNED_WRITE_RATE[conditions.accelerator])
        + PLANNED_FIO_MARGIN_S[conditions.accelerator]
    )


def _io_vm_bytes(file: GroupFile, file_bytes: int, scale: float, conditions: Conditions) -> int:
    """Give a guest its share of the original, and beside its files at least what does not shrink (kernel, fio)."""
    wanted = (
        file_bytes / PAGE_CACHE_SHARE
        if file.vm_memory is None
        else _in_bytes(file.vm_memory, scale, conditions.node_memory_bytes)
    )
    if scale < 1 or file.vm_memory is None:
        wanted = max(wanted, min(file_bytes, wanted) + GUEST_IO_RESERVE_BYTES)
    return max(SMALLEST_VM_BYTES, math.ceil(wanted / (16 * MIB)) * 16 * MIB)


def _scale_command(group: Group, file: GroupFile, conditions: Conditions) -> Group:
    count = file.iterations or 1
    period_s = file.period if file.period is not None else file.timeout
    job = CommandJob(
        argv=file.command or (),
        count=count,
        period_s=period_s,
        timeout_s=file.timeout,
        programs=file.programs,
        folder=file.folder,
        data_bytes=0 if file.data is None else _in_bytes(file.data, 1.0, conditions.node_memory_bytes),
        filesystem=file.filesystem or ("ext4" if file.data is not None else None),
    )
    wanted = GIB if file.vm_memory is None else _in_bytes(file.vm_memory, 1.0, conditions.node_memory_bytes)
    return replace(group, command=job, duration_s=count * period_s, vm_memory_bytes=wanted)


def _join_groups(
    experiment: Experiment, file: ExperimentFile, scale: float, conditions: Conditions, seed: int
) -> Experiment:
    """Have the memory groups go on until fio has ended, and size the test file between their two levels of memory."""
    memory = tuple(g for g in experiment.groups if g.kind in MEMORY)
    (io,) = (g for g in experiment.groups if g.io is not None)
    after_s = _lead_s(io, memory, scale)
    long_s = after_s + 600.0
    lasting = tuple(replace(g, duration_s=long_s, tail_s=0.0, iterations=_lasting(g, long_s)) for g in memory)
    window = (after_s, after_s + (io.io.duration_s if io.io else 0.0))
    levels = expected_levels(experiment.name, lasting, seed, *window)
    node_bytes = _node_bytes(file, memory, levels, scale, conditions)
    io = _fit_io(replace(io, after_s=after_s), memory, levels, node_bytes, conditions, scale)
    end_s = io.after_s + io.duration_s
    ended = {g.name: replace(g, duration_s=end_s, iterations=_lasting(g, end_s)) for g in lasting}
    return replace(
        experiment,
        arms=(Arm.BASELINE, *experiment.arms),
        duration_s=end_s,
        groups=tuple(io if g.io is not None else ended.get(g.name, g) for g in experiment.groups),
        node_memory_bytes=None if conditions.node_is_given or file.node_memory is None else node_bytes,
    )


def _lead_s(io: Group, memory: tuple[Group, ...], scale: float) -> float:
    """Give how long the memory groups run before fio starts: scaled as the article's wait, at least three periods."""
    period_s = max(g.hold.mean + g.idle.mean for g in memory)
    if scale < SMOKE_SCALE:
        return min(io.after_s, SMOKE_LEAD_S)
    return min(io.after_s, max(io.after_s * scale, 3 * period_s))


def _lasting(group: Group, end_s: float) -> int:
    period_s = group.slot_s + group.hold.maximum + group.idle.maximum
    return math.ceil(end_s / period_s) if group.kind in CYCLIC else group.iterations


def _node_bytes(
    file: ExperimentFile,
    memory: tuple[Group, ...],
    levels: tuple[float, float],
    scale: float,
    conditions: Conditions,
) -> int:
    """Give the node's memory: its share of the original and the VMs' own, which does not shrink."""
    if conditions.node_is_given or file.node_memory is None:
        return conditions.node_memory_bytes
    overhead = sum(g.instances for g in memory) * PLANNED_VM_BYTES
    wanted = _in_bytes(file.node_memory, scale, conditions.node_memory_bytes)
    if scale < 1:
        wanted = max(wanted, round(levels[1] * 1.15)) + overhead
    return math.ceil(wanted / MIB) * MIB


def _fit_io(
    group: Group,
    memory: tuple[Group, ...],
    levels: tuple[float, float],
    node_bytes: int,
    conditions: Conditions,
    scale: float,
) -> Group:
    """Size the test file, where the study leaves it to us: what is left of the node half way between the levels."""
    if group.io is None:
        raise TypeError(group.kind)
    file_bytes = group.io.file_bytes
    if not file_bytes:
        overhead = sum(g.instances for g in memory) * PLANNED_VM_BYTES
        left = node_bytes - overhead - sum(levels) / 2
        # A smoke run does not fill a node that could not be made smaller.
        most = SMOKE_BLOCK_BYTES if scale < SMOKE_SCALE and conditions.node_is_given else left
        file_bytes = max(64 * MIB, math.floor(min(left, most) / MIB) * MIB)
    prepare_s = _prepare_s(file_bytes, replace(conditions, accelerator="kvm"))
    job = replace(group.io, file_bytes=file_bytes, prepare_s=prepare_s, margin_s=PLANNED_FIO_MARGIN_S["kvm"])
    return replace(group, io=job, duration_s=job.duration_s)


def expected_levels(
    experiment: str, groups: tuple[Group, ...], seed: int, start_s: float, end_s: float
) -> tuple[float, float]:
    """Give what VMs with FPR, and without, hold of the node on average from `start_s` to `end_s`, in bytes.

    From the schedules alone: with FPR an instance keeps what it held at most within the last two passes, without FPR
    what it ever held at most. The overhead of VMs is not in it.
    """
    step_s = 0.5
    times = [n * step_s for n in range(math.ceil(end_s / step_s) + 1)]
    lag = round(2 * PASS_DELAY_S / step_s)
    with_fpr = without = 0.0
    count = sum(t >= start_s for t in times) or 1
    for group in groups:
        for number in range(group.instances):
            name = instance_name(experiment, group, number)
            processes = [build_schedule(group, seed, name, p) for p in range(group.processes)]
            held = _held_at(processes, times)
            highest = 0.0
            for n, t in enumerate(times):
                highest = max(highest, held[n])
                if t >= start_s:
                    without += highest / count
                    with_fpr += max(held[max(0, n - lag) : n + 1]) / count
    return with_fpr, without


def instance_name(experiment: str, group: Group, number: int) -> str:
    return f"{experiment}-{group.name}-{number}" if group.name else f"{experiment}-{number}"


def _held_at(processes: list[ProcessSchedule], times: list[float]) -> list[float]:
    changes = sorted(
        (s.at_s, float(s.bytes) if s.action == "allocate" else -float(s.bytes))
        for p in processes
        for s in p.steps
    )
    held, total, index = [], 0.0, 0
    for t in times:
        while index < len(changes) and changes[index][0] <= t:
            total += changes[index][1]
            index += 1
        held.append(total)
    return held


def _scale_sizes(file: GroupFile, scale: float, node_memory_bytes: int) -> Range:
    if file.size is None:
        raise TypeError(file.kind)
    values = [_in_bytes(v, scale, node_memory_bytes) for v in (file.size.min, file.size.max, file.size.step)]
    smallest, largest, step = (max(SMALLEST_BLOCK_BYTES, math.ceil(v / MIB) * MIB) for v in values)
    return Range(
        smallest, max(smallest, largest), max(MIB, math.ceil(values[2] / MIB) * MIB) if step else MIB
    )


def _scale_durations(durations: DurationRange, factor: float) -> Range:
    return _times(Range(durations.min, durations.max, durations.step), factor)


def _times(durations: Range, factor: float) -> Range:
    return Range(durations.minimum * factor, durations.maximum * factor, durations.step * factor)


def _in_bytes(size: int | Share, scale: float, node_memory_bytes: int) -> int:
    return round(size * node_memory_bytes) if isinstance(size, Share) else round(size * scale)


def _scale_count(count: int, scale: float) -> int:
    return max(min(count, 2), round(count * math.sqrt(scale))) if scale < 1 else count


def _slot_s(file: GroupFile, size: Range, touching: int, conditions: Conditions) -> float:
    if file.kind not in CYCLIC:
        return 0.0
    if file.slot is not None:
        return file.slot
    rate = PLANNED_TOUCH_RATE[conditions.accelerator] * min(touching, conditions.cores)
    needed_s = size.maximum * touching / rate
    return max(1.0, math.ceil(needed_s) if needed_s > SMOKE_SLOT_S else math.ceil(needed_s * 4) / 4)


def _vm_memory_bytes(file: GroupFile, scale: float, peak_bytes: float, conditions: Conditions) -> int:
    """Give a VM its peak demand, 6 % for page tables and page structures, and what an idle guest needs."""
    needed = math.ceil((peak_bytes * 1.06 + GUEST_RESERVE_BYTES) / (128 * MIB)) * 128 * MIB
    least = max(needed, SMALLEST_VM_BYTES)
    if file.vm_memory is None:
        return least
    wanted = _in_bytes(file.vm_memory, scale, conditions.node_memory_bytes)
    if scale >= 1 and wanted < peak_bytes + GUEST_RESERVE_BYTES:
        raise StudyError(
            f"experiment {name_of(file)}: vm_memory is smaller than the {round(peak_bytes / MIB)} MiB its processes "
            "allocate at their peak, and what the guest itself needs",
            hint="raise vm_memory, leave it out, or shrink size or processes",
        )
    return max(wanted, least)

"""The memory, time and disk that a study needs, held against those of the host: docs/decisions/003-scaling.md."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import CapacityError
from freepage.records import Arm
from freepage.study.plan import PLANNED_EMULATOR_BYTES, plan_trials, planned_overhead_s
from freepage.study.scaling.study import scale_study
from freepage.study.warmup import warmup_duration_s
from freepage.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from freepage.study.file import StudyFile
    from freepage.study.plan import Trial
    from freepage.study.study import Conditions, Experiment, Study

SMALLEST_SCALE = 1 / 1024


@dataclass(frozen=True)
class Budget:
    """The memory and the time that a default scale has to fit into."""

    memory_bytes: float
    duration_s: float


def find_budget(file: StudyFile, conditions: Conditions, available_bytes: int) -> Budget | None:
    """Return the bounds of the study's [fit] on this host; None where the study gives a scale."""
    if file.scale is not None:
        return None
    memory = file.fit.memory
    kvm_s = file.fit.duration_kvm if conditions.accelerator == "kvm" else None
    return Budget(
        memory_bytes=memory * available_bytes if memory <= 1 else float(memory),
        duration_s=file.fit.duration if kvm_s is None else kvm_s,
    )


def fit_scale(file: StudyFile, conditions: Conditions, available_bytes: int) -> float:
    """Return the largest scale, at most 1, whose memory and duration fit the study's budget.

    Raises CapacityError where not even the smallest scale fits that memory.
    """
    budget = find_budget(file, conditions, available_bytes)
    if file.scale is not None or budget is None:
        return file.scale or 1.0
    scale = _largest_scale(
        lambda scale: (
            _demand_bytes(file, scale, conditions) <= budget.memory_bytes
            and _duration_s(file, scale, conditions) <= budget.duration_s
        )
    )
    needed_bytes = _demand_bytes(file, scale, conditions)
    if needed_bytes > budget.memory_bytes:
        memory = file.fit.memory
        share = f" ({memory:.0%} of what is available)".replace("%", " %", 1) if memory <= 1 else ""
        raise CapacityError(
            f"even at its smallest scale the study needs {format_bytes(needed_bytes)}, and its [fit] memory allows "
            f"{format_bytes(budget.memory_bytes)}{share}",
            hint=f"free some memory, or insist with --scale {scale:.2g}",
        )
    return scale


def check_capacity(file: StudyFile, study: Study, conditions: Conditions, available_bytes: int) -> None:
    """Raise CapacityError when the largest trial needs more memory than is available; it names a scale that fits."""
    largest = max(plan_trials(study), key=lambda t: t.demand_bytes)
    if largest.demand_bytes <= available_bytes:
        return
    fitting = _largest_scale(lambda scale: _demand_bytes(file, scale, conditions) <= 0.9 * available_bytes)
    fits = _demand_bytes(file, fitting, conditions) <= available_bytes
    raise CapacityError(
        f"the study is too large: {largest.id} needs {format_bytes(largest.demand_bytes)} "
        f"({len(largest.instances)} instances), {format_bytes(available_bytes)} are available",
        hint=f"--scale {fitting:.2g} fits" if fits else "no scale fits: give sizes of your own with --set",
    )


def check_disk(trials: Sequence[Trial], folder: Path) -> None:
    """Raise CapacityError when the test files of one trial do not fit where `folder` will be."""
    needed = max(t.disk_bytes for t in trials)
    home = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(home).free
    if needed > free:
        raise CapacityError(
            f"the test files need {format_bytes(needed)}, and {home} has {format_bytes(free)} free",
            hint="choose an --out on a larger disk, or a smaller --scale",
        )


def _largest_scale(fits: Callable[[float], bool]) -> float:
    """Return the largest scale that fits, by bisection, rounded down to two digits; the smallest where none does."""
    if fits(1.0):
        return 1.0
    low, high = SMALLEST_SCALE, 1.0
    for _ in range(12):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    digits = 1 - math.floor(math.log10(low))
    rounded = math.floor(low * 10**digits) / 10**digits
    return rounded if rounded > 0 and fits(rounded) else low


def _demand_bytes(file: StudyFile, scale: float, conditions: Conditions) -> int:
    """Return the largest memory any arm's trial needs, without computing schedules."""
    study = scale_study(file, scale, conditions)
    return max(_experiment_bytes(e) for e in study.experiments)


def _experiment_bytes(experiment: Experiment) -> int:
    grown = sum(
        g.instances * (g.vm_memory_bytes + PLANNED_EMULATOR_BYTES)
        for g in experiment.groups
        if g.carrier is not Arm.POD
    )
    return max(grown, experiment.node_memory_bytes or 0)


def _duration_s(file: StudyFile, scale: float, conditions: Conditions) -> float:
    study = scale_study(file, scale, conditions)
    accelerator = conditions.accelerator
    return warmup_duration_s(study, accelerator) + sum(
        e.repeats
        * (
            e.duration_s
            + planned_overhead_s(e.following_instances, arm, accelerator, settles=not study.smoke)
        )
        for e in study.experiments
        for arm in e.arms
    )

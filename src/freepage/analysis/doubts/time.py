"""Doubts about times and CPU: how guests were executed, and whether schedule and sampler were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.definition import Area
from freepage.analysis.doubts.base import Doubt
from freepage.analysis.series import metric_series
from freepage.records import NODE, SAMPLER, Arm

if TYPE_CHECKING:
    from freepage.analysis.doubts.base import DoubtInput

LATE_FRACTION = 0.25
LATE_STEP_S = 0.25
STEAL_FRACTION = 0.02


def find_emulation(found: DoubtInput) -> Doubt | None:
    manifest = found.run.manifest
    if manifest.accelerator != "tcg" or not {Arm.VM, Arm.VM_FPR} & set(manifest.arms):
        return None
    return Doubt(
        "emulated",
        f"Guests ran under emulation (TCG): {manifest.accelerator_reason}. Memory behaves as on real hardware; "
        "times and CPU do not, so they do not decide the verdict.",
        "Run where KVM works to measure times and CPU.",
        Area.TIME,
    )


def find_steal(found: DoubtInput) -> Doubt | None:
    stolen = sum(metric_series(t, NODE, "cpu_steal_s").rise() or 0.0 for t in found.run.trials)
    cpus = float(str(found.run.manifest.host.get("cpus_logical") or 1))
    capacity_s = cpus * sum(t.record.planned_duration_s for t in found.run.trials)
    if capacity_s <= 0 or stolen / capacity_s < STEAL_FRACTION:
        return None
    return Doubt(
        "steal",
        f"{found.host.capitalize()} lost {stolen / capacity_s:.0%} of the CPU time to other virtual machines.",
        "Use a host of your own, or more repeats.",
        Area.TIME,
    )


def find_late_sampler(found: DoubtInput) -> Doubt | None:
    late = [
        value
        for t in found.run.trials
        for value in metric_series(t, SAMPLER, "late_s").values
        if value > LATE_FRACTION * found.run.manifest.interval_s
    ]
    ticks = sum(len(metric_series(t, SAMPLER, "late_s").values) for t in found.run.trials)
    if not ticks or len(late) / ticks < 0.02:
        return None
    return Doubt(
        "sampler-late",
        f"{len(late)} of {ticks} samples came late by more than {LATE_FRACTION:.0%} of their interval (at most {max(late):.2f} s).",
        "Use a longer interval, or fewer instances.",
        Area.TIME,
    )


def find_late_steps(found: DoubtInput) -> Doubt | None:
    lateness = [s for t in found.run.ok_trials() for s in t.events["late_s"].to_list()]
    late = [s for s in lateness if s > LATE_STEP_S]
    if not late:
        return None
    return Doubt(
        "steps-late",
        f"{len(late)} of {len(lateness)} steps started more than {LATE_STEP_S} s late (at most {max(late):.1f} s): {found.host} could not keep up with "
        "the schedule. Later steps were not shifted.",
        "Use a smaller --scale, or give the experiment a longer slot.",
        Area.TIME,
    )

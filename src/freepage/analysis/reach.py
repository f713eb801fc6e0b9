"""The reach of a run: what a claim could have shown at its scale, and the scale at which it could have failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, IntervalPosition, format_bound
from freepage.analysis.cpu import RELEASE_WATCH_S
from freepage.analysis.series import demand_steps
from freepage.fpr.mechanics import USUAL_PASSES, predicted_release
from freepage.records import Action
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from freepage.analysis.stats import Estimate
    from freepage.fpr.mechanics import Passes
    from freepage.records import ProcessSchedule
    from freepage.store import TrialData

# FPR that costs this much CPU for each GiB has to break a limit on CPU: it is what the verdict's rule allows.
DEAR_S_PER_GIB = 1.0
ROUNDED_UP = 1.05
# Of less room at the peak FPR, which needs its time, can save nothing that counts.
LEAST_ROOM = 0.1


@dataclass(frozen=True)
class Pace:
    """Describe what the VMs of an experiment move together, in GiB/s: allocated, mean of the trial; freed, after they all free at once.

    peak_room: the share of the sum of their own peaks that they never hold together, and FPR could save at the peak.
    saved_in_time: the share of the GiB x s between frees and the next allocations that the kernel's passes leave to save.
    """

    allocated_gib_s: float
    freed_gib_s: float
    peak_room: float = 1.0
    saved_in_time: float = 1.0


def find_pace(trial: TrialData, passes: Passes | None = USUAL_PASSES) -> Pace:
    """Return the pace of a trial, from its schedules and the passes of its guests; None: those are not known."""
    processes = [p for schedules in trial.schedules.values() for p in schedules]
    allocated = sum(s.bytes for p in processes for s in p.steps if s.action is Action.ALLOCATE)
    peak, peaks = _find_peak(processes), sum(_find_peak(schedules) for schedules in trial.schedules.values())
    duration_s = trial.record.planned_duration_s or 1.0
    room = 1 - peak / peaks if peaks else 0.0
    return Pace(
        allocated / GIB / duration_s,
        peak / GIB / RELEASE_WATCH_S,
        room,
        1.0 if passes is None else _find_saved_in_time(processes, duration_s, passes),
    )


def _find_saved_in_time(processes: Iterable[ProcessSchedule], end_s: float, passes: Passes) -> float:
    """Return the share of bytes x s between each process' frees and its next allocations in which FPR has given memory back.

    By the kernel's delay and passes (fpr/mechanics.py), for blocks that lie alone in their lists, which is slowest.
    """
    idle = saved = 0.0
    for process in processes:
        for step, following in zip(process.steps, (*process.steps[1:], None), strict=True):
            if step.action is Action.FREE:
                span_s = max(0.0, (end_s if following is None else following.at_s) - step.at_s)
                idle += step.bytes * span_s
                saved += step.bytes * _integrate(predicted_release(step.bytes, passes=passes), span_s)
    return saved / idle if idle else 1.0


def _integrate(staircase: Sequence[tuple[float, float]], end_s: float) -> float:
    """Return the integral of a staircase of (seconds, share reached) from 0 to an end, in seconds."""
    reached = [0.0, *(share for _, share in staircase)]
    return sum(
        (share - before) * max(0.0, end_s - t_s)
        for (t_s, share), before in zip(staircase, reached, strict=False)
    )


def _find_peak(schedules: Iterable[ProcessSchedule]) -> float:
    return max((held for _, held in demand_steps(schedules)), default=0.0)


def explain_no_room(room: float) -> str:
    """Return why nothing could be saved at the peak, whose schedules peak together; "" where something could."""
    if room >= LEAST_ROOM:
        return ""
    return (
        f"Not decidable at this scale: the schedules of so few processes peak together and leave {room * 100:.0f}\u00a0% of the "
        "peak to save; a larger scale, with more VMs, would do."
    )


def explain_no_time(saved: float, at_least: float) -> str:
    """Return why memory could not have been back in time, at the kernel's own pace; "" where it could."""
    if saved > at_least * ROUNDED_UP:
        return ""
    return (
        f"Not decidable at this scale: memory is used again so soon that the kernel's passes leave {saved * 100:.0f}\u00a0% to save; "
        "longer pauses, as at a larger scale, would do."
    )


def explain_too_slow(gib_s: float, limit_cores: float, scale: float) -> str:
    """Return why a limit on CPU could not have been reached at a pace, and the scale that would do; "" where it could."""
    if gib_s <= 0:
        return "Nothing was allocated that could have cost CPU."
    dearest = limit_cores / gib_s
    if dearest <= DEAR_S_PER_GIB:
        return ""
    return (
        f"Not decidable at this scale: FPR would have to cost {dearest:.2g} s of CPU per GiB to reach the limit; a scale of "
        f"{scale * dearest / DEAR_S_PER_GIB * ROUNDED_UP:.2g} would do (here {scale:.2g})."
    )


def explain_too_small(without: Estimate | None, bounds: Bounds, scale: float, unit: str) -> str:
    """Return why a bound could not have been missed, where VMs without FPR keep it too; "" where they do not."""
    if without is None:
        return "VMs without FPR, which show whether it could have failed, were not measured."
    if bounds.locate_value(without.value) is IntervalPosition.BEYOND:
        return ""
    would = (
        scale * bounds.find_nearest(without.value) / without.value * ROUNDED_UP if without.value > 0 else None
    )
    larger = f"; a scale of {would:.2g} would do (here {scale:.2g})" if would else ""
    value = format_bound(without.value, unit)
    return f"Not decidable at this scale: VMs without FPR, with {value}, keep the bound too{larger}."

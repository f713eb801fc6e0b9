"""The reach of a run: what a claim could have shown at its scale, and the scale at which it could have failed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, IntervalPosition, format_bound
from freepage.analysis.undecided import lower_first
from freepage.fpr.mechanics import USUAL_PASSES, soonest_delay_s
from freepage.fpr.pace import Pace, find_schedule_pace

if TYPE_CHECKING:
    from freepage.analysis.stats import Estimate
    from freepage.fpr.mechanics import Passes
    from freepage.store import TrialData

# FPR that costs this much CPU for each GiB has to break a limit on CPU: it is what the verdict's rule allows.
DEAR_S_PER_GIB = 1.0
ROUNDED_UP = 1.05
# Of less room at the peak FPR, which needs its time, can save nothing that counts.
LEAST_ROOM = 0.1


def find_pace(trial: TrialData, passes: Passes | None = USUAL_PASSES) -> Pace:
    """Return the pace of a trial, from its schedules and the passes of its guests; None: those are not known."""
    pace = find_schedule_pace(trial.schedules, trial.record.planned_duration_s or 1.0, passes)
    return replace(pace, delay_s=soonest_delay_s(trial.record.evidence))


def explain_no_room(room: float) -> str:
    """Return why nothing could be saved at the peak, whose schedules peak together; "" where something could."""
    if room >= LEAST_ROOM:
        return ""
    return (
        f"Not decidable at this scale: the schedules of so few processes peak together and leave {room * 100:.0f}\u00a0% of the "
        "peak to save; a larger scale, with more VMs, would do."
    )


def leaves_time(saved: float, at_least: float) -> bool:
    """Return whether so much could have been saved, where the kernel's own pace leaves `saved`."""
    return saved > at_least * ROUNDED_UP


def describe_no_time(saved: float) -> str:
    """Return in a sentence why memory could not have been back in time, at the kernel's own pace."""
    return (
        f"Memory is used again so soon that the kernel's passes leave {saved * 100:.0f}\u00a0% to save; longer pauses, as at a "
        "larger scale, would do."
    )


def explain_no_time(saved: float | None, at_least: float) -> str:
    """Return why memory could not have been back in time, at the kernel's own pace; "" where it could. saved: None for an unknown pace."""
    if saved is None:
        return "Not decidable: how fast the guests' kernels report is not known, and so not what could have been back in time."
    if leaves_time(saved, at_least):
        return ""
    return f"Not decidable at this scale: {lower_first(describe_no_time(saved))}"


def explain_timer(delay_s: float, at_least_s: float) -> str:
    """Return why no release could have taken less than a bound: guests wait as long before their first pass; "" where they do not."""
    if delay_s < at_least_s:
        return ""
    return (
        f"Not decidable: the kernel's own timer of {delay_s:g} s decides it, before which nothing comes back; guests whose "
        f"page_reporting_delay_ms is below {at_least_s * 1000:g} would do."
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

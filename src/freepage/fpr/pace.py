"""The memory that the instances of an experiment move together, from their schedules alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from freepage.fpr.mechanics import PASS_DELAY_S, USUAL_PASSES
from freepage.fpr.release import predicted_release
from freepage.records import Action
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from freepage.fpr.mechanics import Passes
    from freepage.records import ProcessSchedule

# How long after a free of instances that act together its CPU is watched: FPR's passes are 2 s apart.
RELEASE_WATCH_S = 10.0


@dataclass(frozen=True)
class Pace:
    """Describe what the VMs of an experiment move together, in GiB/s: allocated, mean of the trial; freed, after they all free at once.

    peak_room: the share of the sum of their own peaks that they never hold together, and FPR could save at the peak.
    saved_in_time: the share of the GiB x s between frees and the next allocations that the kernel's passes leave to save; None
    where those are not known.
    delay_s: the wait of the guests before their first pass, the shortest of all.
    """

    allocated_gib_s: float
    freed_gib_s: float
    peak_room: float = 1.0
    saved_in_time: float | None = 1.0
    delay_s: float = PASS_DELAY_S


def find_schedule_pace(
    schedules: Mapping[str, Sequence[ProcessSchedule]],
    duration_s: float,
    passes: Passes | None = USUAL_PASSES,
) -> Pace:
    """Return the pace of instances, whose schedules are given by their names, in a trial of that many seconds.

    passes: those of the guests; None: they are not known, and nothing is said of what they leave to save.
    """
    processes = list(chain.from_iterable(schedules.values()))
    allocated = sum(s.bytes for p in processes for s in p.steps if s.action is Action.ALLOCATE)
    peak, peaks = _find_peak(processes), sum(_find_peak(own) for own in schedules.values())
    return Pace(
        allocated / GIB / duration_s,
        peak / GIB / RELEASE_WATCH_S,
        1 - peak / peaks if peaks else 0.0,
        None if passes is None else _find_saved_in_time(processes, duration_s, passes),
    )


def _find_saved_in_time(processes: Iterable[ProcessSchedule], end_s: float, passes: Passes) -> float:
    """Return the share of bytes x s between each process' frees and its next allocations in which FPR has given memory back.

    By the kernel's own delay and passes (fpr/release.py), for blocks that lie alone in their lists, which is slowest.
    """
    idle = saved = 0.0
    for process in processes:
        for step, following in zip_longest(process.steps, process.steps[1:]):
            if step.action is Action.FREE:
                span_s = max(0.0, (end_s if following is None else following.at_s) - step.at_s)
                idle += step.bytes * span_s
                saved += step.bytes * integrate_staircase(
                    predicted_release(step.bytes, passes=passes), span_s
                )
    return saved / idle if idle else 1.0


def integrate_staircase(staircase: Sequence[tuple[float, float]], end_s: float) -> float:
    """Return the integral of a staircase of (seconds, share reached) from 0 to an end, in seconds."""
    reached = [0.0, *(share for _, share in staircase)]
    return sum(
        (share - before) * max(0.0, end_s - t_s)
        for (t_s, share), before in zip(staircase, reached, strict=False)
    )


def _find_peak(schedules: Iterable[ProcessSchedule]) -> float:
    """Return the most bytes that the schedules hold together; what is freed at a time counts before what is allocated."""
    changes = sorted(
        (s.at_s, s.bytes if s.action is Action.ALLOCATE else -s.bytes) for p in schedules for s in p.steps
    )
    held = peak = 0.0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak

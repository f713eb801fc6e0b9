"""The samples of one VM in order of time, and where nothing is known between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from freepage.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from freepage.forecast.trace import Array

# Two samples further apart than this many usual distances have a gap between them, as in a run.
GAP_INTERVALS = 2.5
# A VM that never gives memory back loses this share of it from one sample to the next only where it is another process:
# restarted, or migrated.
RESTART_SHARE = 0.5
# More runs of ascending times than this share of the rows are no clock that stepped back: the rows are in no order.
_UNORDERED_SHARE = 0.1


@dataclass(frozen=True)
class Timeline:
    """Rows in order of time: which row is which sample, its time, where nothing is known after it, and what was found."""

    rows: NDArray[np.intp]
    t_s: Array
    breaks: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def order_rows(t_s: Array, numbers: Sequence[int]) -> Timeline:
    """Return rows in order of time; `numbers`: of the rows, as messages name them. Rows without a time are left out.

    Times that step back are a clock that was set, with a gap there, where they overlap what came before; else, and where they
    step back all the time, the rows were only written in another order.
    """
    known = np.flatnonzero(~np.isnan(t_s))
    notes = _note_left_out(t_s, numbers)
    times = t_s[known]
    starts = np.flatnonzero(np.diff(times) < 0) + 1
    if not len(starts):
        return Timeline(known, times, (), notes)
    runs = np.split(np.arange(len(times)), starts)
    by_start = sorted(runs, key=lambda run: float(times[run[0]]))
    overlap = any(times[a[-1]] > times[b[0]] for a, b in pairwise(by_start))
    if overlap and len(runs) <= 1 + _UNORDERED_SHARE * len(times):
        return _join_steps(known, times, runs, numbers, notes)
    order = np.argsort(times, kind="stable")
    return Timeline(known[order], times[order], (), (*notes, "the rows were not in order of time: sorted"))


def _note_left_out(t_s: Array, numbers: Sequence[int]) -> tuple[str, ...]:
    without = np.flatnonzero(np.isnan(t_s))
    if not len(without):
        return ()
    first = numbers[int(without[0])]
    return (f"{len(without)} rows without a time are left out, the first is row {first}",)


def _join_steps(
    known: NDArray[np.intp],
    times: Array,
    runs: Sequence[NDArray[np.intp]],
    numbers: Sequence[int],
    notes: tuple[str, ...],
) -> Timeline:
    """Return the rows as they stand, each run of times moved behind the one before it, with a gap between."""
    forward_s = np.diff(times)[np.diff(times) > 0]
    step_s = float(np.median(forward_s)) if len(forward_s) else 1.0
    moved, found, breaks = times.copy(), list(notes), []
    for before, run in pairwise(runs):
        back_s = float(times[before[-1]] - times[run[0]])
        moved[run] += moved[before[-1]] + step_s - times[run[0]]
        breaks.append(int(before[-1]))
        found.append(
            f"the clock steps back by {format_duration(back_s)} at row {numbers[int(known[run[0]])]}: a gap there"
        )
    return Timeline(known, moved, tuple(breaks), tuple(found))


def drop_repeats(line: Timeline) -> Timeline:
    """Return a timeline with each time once: of rows with the same time the last one stays."""
    if not len(line.t_s):
        return line
    last = np.append(np.diff(line.t_s) > 0, True)
    kept = np.flatnonzero(last)
    if len(kept) == len(last):
        return line
    breaks = tuple(int(np.searchsorted(kept, index)) for index in line.breaks)
    notes = (*line.notes, f"{len(last) - len(kept)} rows repeat the time of another: the last of each stays")
    return Timeline(line.rows[kept], line.t_s[kept], breaks, notes)


def find_gaps(t_s: Array) -> tuple[int, ...]:
    """Return the samples after which the next one is missing: it comes much later than samples usually do."""
    distances = np.diff(t_s)
    if not len(distances):
        return ()
    return tuple(np.flatnonzero(distances > GAP_INTERVALS * np.median(distances)).tolist())


def find_restarts(resident_bytes: Array) -> tuple[int, ...]:
    """Return the samples after which the VM is another process, by its resident memory."""
    known = np.flatnonzero(~np.isnan(resident_bytes))
    seen = resident_bytes[known]
    fallen = seen[1:] < RESTART_SHARE * seen[:-1]
    return tuple((known[1:][fallen] - 1).tolist())


def highest_so_far(values: Array, gaps: Sequence[int]) -> Array:
    """Return the highest known value up to each sample since the last gap; NaN before the first known one."""
    parts = np.split(values, [gap + 1 for gap in gaps])
    return np.concatenate([np.fmax.accumulate(part) if len(part) else part for part in parts])

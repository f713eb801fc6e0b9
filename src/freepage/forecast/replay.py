"""Recorded VMs as kinds of a fleet: their traces and forecasts cut into pieces, and the schedules of a run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.fleet import Case, FleetError, Replay, VmKind
from freepage.forecast.measured import GuestUnits
from freepage.forecast.traces import read_traces
from freepage.forecast.vm import forecast_vm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from freepage.forecast.fleet import Bytes, Whole
    from freepage.forecast.vm import VmForecast

# Within so many seconds a trace counts by its highest sample.
STEP_S = 10
# A trace is cut into at least so many pieces, and none is longer than an hour.
LEAST_PIECES = 4
LONGEST_PIECE_S = 3600
# Of a trace whose free blocks are not known the most that it may hold with FPR is taken.
NO_BLOCKS = "{} has no free blocks: with FPR the most is taken that its VMs may hold."
FPR_WAS_ON = "{} was recorded with FPR on: without it its VMs would hold at least what is shown."


@dataclass(frozen=True, eq=False)
class Stretch:
    """A stretch of one VM's time: when its levels begin (s, the first at 0), their bytes by case, and its length."""

    at_s: Whole
    levels: Mapping[Case, Bytes]
    length_s: int


def read_trace_kind(
    path: Path,
    columns: Mapping[str, str],
    name: str,
    overhead_bytes: float,
    count: int = 0,
    memory_bytes: float | None = None,
) -> tuple[VmKind, tuple[str, ...]]:
    """Return VMs that do as those in a file of traces did, and notes; TraceError or FleetError for what cannot be used.

    memory_bytes: of the guests, where no column has it.
    """
    overhead = (overhead_bytes, overhead_bytes, overhead_bytes)
    units = GuestUnits(usual_total_bytes=memory_bytes)
    forecasts = [forecast_vm(trace, overhead) for trace in read_traces(path, columns, units)]
    return replay_forecasts(name, forecasts, overhead_bytes, count)


def replay_forecasts(
    name: str, forecasts: Sequence[VmForecast], overhead_bytes: float, count: int = 0
) -> tuple[VmKind, tuple[str, ...]]:
    """Return VMs of which each does as one of the recorded ones did, and notes; FleetError where nothing is known of one."""
    held = [_find_levels(forecast, overhead_bytes) for forecast in forecasts]
    cases = [case for case in Case if all(np.isfinite(levels[case]).any() for levels in held)]
    tracks = [
        list(_cut(forecast, {case: levels[case] for case in cases}))
        for forecast, levels in zip(forecasts, held, strict=True)
    ]
    empty = next((f for f, pieces in zip(forecasts, tracks, strict=True) if not pieces), None)
    if empty is not None or not cases:
        raise FleetError(
            f"{(empty or forecasts[0]).trace.name}: nothing is known of it for two samples in a row"
        )
    memory = median(float(np.nanmax(f.trace.total_bytes, initial=0.0)) for f in forecasts)
    kind = VmKind(name, memory, build_replay(tracks), overhead_bytes, count=count, passes=None)
    return kind, _find_notes(name, forecasts)


def _find_levels(forecast: VmForecast, overhead_bytes: float) -> dict[Case, Bytes]:
    """Return what the host holds beside the overhead in each case, sample by sample; NaN where it is not known."""
    trace = forecast.trace
    with_fpr = np.where(np.isnan(forecast.likely_bytes), forecast.high_bytes, forecast.likely_bytes)
    return {
        Case.WITHOUT: np.maximum(trace.resident_bytes - overhead_bytes, 0.0),
        Case.WITH: np.maximum((trace.resident_bytes if trace.fpr_on else with_fpr) - overhead_bytes, 0.0),
        Case.IDEAL: trace.total_bytes - trace.free_bytes,
    }


def _find_notes(name: str, forecasts: Sequence[VmForecast]) -> tuple[str, ...]:
    no_blocks = any(np.isnan(f.likely_bytes).all() and not f.trace.fpr_on for f in forecasts)
    was_on = any(f.trace.fpr_on for f in forecasts)
    return (*([NO_BLOCKS.format(name)] if no_blocks else []), *([FPR_WAS_ON.format(name)] if was_on else []))


def _cut(forecast: VmForecast, levels: Mapping[Case, Bytes]) -> Iterator[Stretch]:
    """Yield the pieces of a trace in which all is known, about as long as each other."""
    t_s = forecast.trace.t_s
    spans = list(_find_spans(levels, forecast.trace.gaps, len(t_s)))
    known_s = sum(t_s[end - 1] - t_s[first] for first, end in spans)
    piece_s = max(float(STEP_S), min(LONGEST_PIECE_S, known_s / LEAST_PIECES))
    for first, end in spans:
        values = {case: each[first:end] for case, each in levels.items()}
        yield from _split(t_s[first:end] - t_s[first], values, piece_s)


def _find_spans(levels: Mapping[Case, Bytes], gaps: Sequence[int], count: int) -> Iterator[tuple[int, int]]:
    """Yield where samples without a gap between them begin and end, two at least."""
    known = np.ones(count, bool)
    for each in levels.values():
        known &= np.isfinite(each)
    edges = np.unique([0, count, *(gap + 1 for gap in gaps), *(np.flatnonzero(np.diff(known)) + 1)])
    for first, end in pairwise(edges.tolist()):
        if known[first] and end - first > 1:
            yield first, end


def _split(t_s: Bytes, values: Mapping[Case, Bytes], piece_s: float) -> Iterator[Stretch]:
    """Yield pieces of a stretch, by the highest sample in each step."""
    seconds = (t_s // STEP_S * STEP_S).astype(np.int64)
    starts = np.flatnonzero(np.diff(seconds, prepend=-1))
    at_s = seconds[starts]
    highest = {case: np.rint(np.maximum.reduceat(each, starts)) for case, each in values.items()}
    length_s = max(STEP_S, round(float(t_s[-1])))
    edges = np.linspace(0, length_s, max(1, round(length_s / piece_s)) + 1).astype(np.int64).tolist()
    for begin, end in pairwise(edges):
        chosen = slice(int(np.searchsorted(at_s, begin, side="right")) - 1, int(np.searchsorted(at_s, end)))
        levels = {case: each[chosen] for case, each in highest.items()}
        yield Stretch(np.maximum(at_s[chosen] - begin, 0), levels, end - begin)


def build_replay(tracks: Sequence[Sequence[Stretch]]) -> Replay:
    """Return the demand of VMs of which each keeps to one track; all pieces know the same cases."""
    pieces = [piece for track in tracks for piece in track]
    width = max(len(piece.at_s) for piece in pieces)
    counts = np.array([len(track) for track in tracks])
    return Replay(
        np.stack([_pad(p.at_s, width, p.length_s) for p in pieces]).astype(np.int64),
        {c: np.stack([_pad(p.levels[c], width, p.levels[c][-1]) for p in pieces]) for c in pieces[0].levels},
        np.array([p.length_s for p in pieces]),
        np.stack([np.cumsum(counts) - counts, counts], axis=1),
    )


def _pad(values: Bytes | Whole, width: int, value: float) -> Bytes:
    return np.pad(np.asarray(values, float), (0, width - len(values)), constant_values=value)

"""One trial made by hand: a few samples and events, from which every number can be worked out on paper."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from freepage.records import (
    Action,
    Arm,
    ClockOffset,
    EventLine,
    Evidence,
    ProcessSchedule,
    TrialRecord,
    TrialStatus,
)
from freepage.store import TrialData
from freepage.store.frames import read_event_lines
from freepage.units import MIB


def make_trial(
    levels, events, *, arm=Arm.POD, duration_s=20.0, kind="cycle", uncertainty_s=0.0, programs=None, **record
):
    """Make a trial of instance "a"; `levels` maps (entity, metric) to (times, values), `events` come from `block`."""
    rows = [
        (float(t), entity, metric, None if v is None else float(v))
        for (entity, metric), (times, values) in levels.items()
        for t, v in zip(times, values, strict=True)
    ]
    schema = {"t_s": pl.Float64, "entity": pl.String, "metric": pl.String, "value": pl.Float64}
    is_vm = arm in {Arm.VM, Arm.VM_FPR}
    evidence = Evidence("a", configured=arm is Arm.VM_FPR) if is_vm else Evidence("a")
    clock = {"a": ClockOffset(0.0, uncertainty_s)}
    return TrialData(
        TrialRecord(
            "001-cycle-1",
            "cycle",
            arm,
            0,
            0,
            TrialStatus.OK,
            duration_s,
            kind=kind,
            evidence=(evidence,),
            clock_start=clock,
            clock_end=clock,
            **record,
        ),
        {"a": [ProcessSchedule(0, tuple(programs or ()))]},
        pl.DataFrame(rows, schema=schema, orient="row"),
        pl.DataFrame([asdict(e) for e in events], schema=_event_schema()),
    )


def block(start_s, touched_s, free_s, freed_s=None, size=512 * MIB, process=0):
    """Return the two events of one block: allocated from start_s to touched_s, freed from free_s to freed_s."""
    freed_s = free_s + 0.04 if freed_s is None else freed_s
    return [
        _event(Action.ALLOCATE, start_s, touched_s, size, process),
        _event(Action.FREE, free_s, freed_s, size, process),
    ]


def resident_of(events, times, *, keeps=0.0, idle=0.0):
    """Return what an instance has resident at some times: what it touched, less what it freed but for a share it keeps."""
    return [idle + sum(_resident(e, t, keeps) for e in events) for t in times]


def ticks(start_s, end_s, interval_s, phase_s=0.0):
    return np.arange(start_s + phase_s, end_s + 1e-9, interval_s)


def _resident(event, t_s, keeps):
    share = min(1.0, max(0.0, (t_s - event.t_s) / max(event.end_s - event.t_s, 1e-9)))
    return share * event.bytes if event.action == Action.ALLOCATE else -share * event.bytes * (1 - keeps)


def _event(action, start_s, end_s, size, process):
    return EventLine(
        t_s=start_s,
        end_s=end_s,
        instance="a",
        process=process,
        index=0,
        iteration=0,
        action=str(action),
        bytes=size,
        planned_s=start_s,
        late_s=0.0,
        wall_s=end_s - start_s,
        user_s=0.0,
        system_s=0.0,
        minor_faults=size // 4096,
        major_faults=0,
        ok=True,
    )


def _event_schema():
    return read_event_lines(Path("/there/is/no/such/file")).schema

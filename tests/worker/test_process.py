"""Schedules and barriers, by the real worker over pipes."""

from __future__ import annotations

import asyncio
import os
import resource
import time

import pytest

from freepage.errors import InstanceError
from freepage.records import Action, ProcessSchedule, Step
from freepage.units import MIB
from helpers.running_worker import (
    children_of,
    cpu_ticks,
    pair,
    replay,
    start,
    until,
    worker,
)


async def test_a_schedule_is_replayed_in_order_with_what_each_step_cost():
    schedule = ProcessSchedule(0, pair(0, 0.05, 8 * MIB) + pair(0.1, 0.15, 4 * MIB, 1))
    async with worker() as (client, _):
        events = await replay(client, schedule)
    assert [(e.action, e.bytes, e.iteration, e.index) for e in events] == [
        ("allocate", 8 * MIB, 0, 0),
        ("free", 8 * MIB, 0, 1),
        ("allocate", 4 * MIB, 1, 2),
        ("free", 4 * MIB, 1, 3),
    ]
    assert [round(e.planned_s, 6) for e in events] == [0, 0.05, 0.1, 0.15]
    assert all(e.ok and e.late_s >= 0 and e.t_s <= e.end_s for e in events)
    assert events[0].minor_faults >= 4
    assert events[0].wall_s > 0


async def test_a_late_step_starts_at_once_and_shifts_nothing_after_it():
    steps = (*pair(0, 0.000001, 64 * MIB), *pair(0.4, 0.45, 4 * MIB, 1))
    async with worker() as (client, _):
        events = await replay(client, ProcessSchedule(0, steps))
    assert events[1].late_s > 0
    assert events[1].t_s >= events[0].end_s - 0.001
    assert [round(e.planned_s, 6) for e in events[2:]] == [0.4, 0.45]
    assert events[2].late_s < events[1].t_s + 0.4


async def test_processes_run_side_by_side_and_lines_never_mix():
    schedules = [
        ProcessSchedule(p, tuple(s for i in range(40) for s in pair(i / 100, i / 100, 65536, i)))
        for p in range(8)
    ]
    async with worker() as (client, _):
        events = await replay(client, *schedules)
    assert len(events) == 8 * 80
    for process in range(8):
        assert [e.index for e in events if e.process == process] == list(range(80))


@pytest.mark.parametrize("scan", ["sequential", "random"])
async def test_memory_that_is_scanned_while_held_is_freed_on_time(scan):
    steps = pair(0, 0.2, 4 * MIB, scan=scan, seed=3)
    async with worker() as (client, _):
        events = await replay(client, ProcessSchedule(0, steps))
    assert [e.action for e in events] == ["allocate", "free"]
    assert events[1].t_s >= 0.2


async def test_a_schedule_without_steps_is_done_at_once():
    async with worker() as (client, _):
        assert await replay(client, ProcessSchedule(0, ())) == []


async def test_memory_that_cannot_be_had_is_an_event_that_says_so_and_the_rest_goes_on():
    limit = 64 * MIB
    steps = (*pair(0, 0.01, 1024 * MIB), *pair(0.02, 0.03, 4 * MIB, 1))
    async with worker(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))) as (
        client,
        _,
    ):
        events = await replay(client, ProcessSchedule(0, steps))
    assert [(e.action, e.ok) for e in events] == [
        ("allocate", False),
        ("free", True),
        ("allocate", True),
        ("free", True),
    ]
    assert "memory" in events[0].error


async def test_a_process_that_is_killed_is_named_with_its_signal():
    async with worker() as (client, process):
        await client.wait_ready(30)
        await client.ping()
        await client.load(
            [ProcessSchedule(0, pair(0, 30, 4 * MIB)), ProcessSchedule(1, pair(0, 0.01, 4 * MIB))]
        )
        await client.start(time.monotonic())
        children = await asyncio.to_thread(children_of, process.pid)
        os.kill(children[0], 9)
        with pytest.raises(InstanceError, match="pod-0 had its process 0 ended by SIGKILL") as caught:
            await client.wait_done(lambda _: None, 30)
    assert "OOM" in caught.value.hint


async def test_a_barrier_is_reached_on_time_left_when_told_and_shifts_nothing_after_it():
    steps = (
        Step(0.1, Action.ALLOCATE, MIB, 0, barrier=True),
        Step(0.15, Action.FREE, MIB, 0),
    )
    events, arrivals = [], []
    async with worker() as (client, _):
        client.on_waiting = lambda process, index: arrivals.append((time.monotonic(), process, index))
        zero_s = await start(client, ProcessSchedule(0, steps))
        await until(lambda: arrivals)
        told_s = zero_s + 0.5
        await client.go(0, 0, told_s)
        await client.wait_done(events.append, 30)
    ((arrived_s, process, index),) = arrivals
    assert arrived_s >= zero_s + 0.1 - 0.001
    assert (process, index) == (0, 0)
    first, second = events
    assert first.planned_s == pytest.approx(0.5, abs=0.001)
    assert 0 <= first.late_s < 0.3
    assert second.planned_s == pytest.approx(0.15, abs=0.001)
    assert first.end_s <= second.t_s < first.end_s + 0.3


async def test_memory_is_not_scanned_while_its_process_waits_at_a_barrier():
    steps = (
        Step(0.0, Action.ALLOCATE, MIB, 0, scan="sequential"),
        Step(0.05, Action.FREE, MIB, 0, barrier=True),
    )
    arrivals = []
    async with worker() as (client, process):
        client.on_waiting = lambda _, index: arrivals.append(index)
        await start(client, ProcessSchedule(0, steps))
        await until(lambda: arrivals)
        (child,) = children_of(process.pid)
        before = cpu_ticks(child)
        await asyncio.sleep(0.2)
        assert cpu_ticks(child) - before <= 1
        await client.go(0, 1, time.monotonic())
        await client.wait_done(lambda _: None, 30)


async def test_a_barrier_counts_from_its_planned_time_even_when_told_a_time_long_gone():
    events = []
    async with worker() as (client, _):
        client.on_waiting = lambda *_: None
        zero_s = await start(client, ProcessSchedule(0, (Step(0.2, Action.ALLOCATE, MIB, 0, barrier=True),)))
        await client.go(0, 0, zero_s)
        await client.wait_done(events.append, 30)
    assert events[0].t_s >= 0.2


async def test_only_a_process_with_a_barrier_can_be_told_to_go():
    async with worker() as (client, _):
        await start(client, ProcessSchedule(0, pair(0, 30, MIB)))
        with pytest.raises(InstanceError, match="it complains: go: "):
            await client.go(0, 0, time.monotonic())


async def test_there_may_be_more_processes_than_open_files():
    schedules = [ProcessSchedule(p, pair(0, 0.01, 65536)) for p in range(40)]
    async with worker(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))) as (client, _):
        assert len(await replay(client, *schedules)) == 80

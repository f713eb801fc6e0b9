"""The real worker binary, spoken to over pipes."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import subprocess
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freepage.errors import InstanceError
from freepage.records import Action, ProcessSchedule, Step
from freepage.units import KIB, MIB
from freepage.worker.build import build_worker
from freepage.worker.channel import LONGEST_LINE_BYTES, open_process_channel
from freepage.worker.client import WorkerClient

LONGEST_FILE_BYTES = 256 * KIB


@asynccontextmanager
async def worker(*before, **options):
    process = await asyncio.create_subprocess_exec(
        *before,
        build_worker(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LONGEST_LINE_BYTES,
        **options,
    )
    client = WorkerClient(open_process_channel(process), "pod-0")
    try:
        yield client, process
    finally:
        await client.close()
        await asyncio.wait_for(process.wait(), 30)


def pair(at_s, free_s, size, iteration=0, **changes):
    return Step(at_s, Action.ALLOCATE, size, iteration, **changes), Step(free_s, Action.FREE, size, iteration)


async def replay(client, *schedules):
    events = []
    await client.wait_ready(30)
    await client.ping()
    await client.load(schedules)
    await client.start(time.monotonic() + 0.05)
    await client.wait_done(events.append, 60)
    return events


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
        children = await asyncio.to_thread(_children_of, process.pid)
        os.kill(children[0], 9)
        with pytest.raises(InstanceError, match="pod-0 had its process 0 ended by SIGKILL") as caught:
            await client.wait_done(lambda _: None, 30)
    assert "OOM" in caught.value.hint


async def test_files_are_read_while_the_schedule_runs(tmp_path):
    strange = 'quote " backslash \\ tab \t newline \n bell \x07 umlaut ü emoji \U0001f600'
    (tmp_path / "text").write_text(strange)
    async with worker() as (client, _):
        await client.wait_ready(30)
        await client.ping()
        await client.load([ProcessSchedule(0, pair(0, 30, MIB))])
        await client.start(time.monotonic())
        assert await client.read_text(str(tmp_path / "text")) == strange
        assert await client.read_text(str(tmp_path / "nothing")) is None
        assert await client.read_text(str(tmp_path)) is None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=50)
)
def test_any_text_survives_the_way_to_the_worker_and_back(tmp_path, name):
    """As a path there, which the worker opens, and as what the file holds back."""
    target = tmp_path / f"file-{name}"
    target.write_text(name)

    async def read_back():
        async with worker() as (client, _):
            await client.wait_ready(30)
            return await client.read_text(str(target))

    assert asyncio.run(read_back()) == name


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\n",
        b"{\n",
        b'{"op":"step"}\n',
        b'{"op":"fly"}\n',
        b"[1]\n",
        b'{"op":"pi\\q"}\n',
        b"x" * 100_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_a_line_the_worker_cannot_read_is_answered_and_survived(garbage):
    outcome = subprocess.run(
        [build_worker()],
        input=garbage + b'{"op":"ping","id":7}\n',
        capture_output=True,
        timeout=30,
        check=True,
    )
    lines = outcome.stdout.splitlines()
    assert b'"type":"error"' in lines[1]
    assert b'"type":"pong","id":7' in lines[-1]


async def test_the_end_of_its_input_ends_the_worker_and_every_process():
    async with worker() as (client, process):
        await client.wait_ready(30)
        await client.ping()
        await client.load([ProcessSchedule(p, pair(0, 600, MIB)) for p in range(3)])
        await client.start(time.monotonic())
        children = await asyncio.to_thread(_children_of, process.pid)
        assert len(children) == 3
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 30) == 0
    assert not [pid for pid in children if _is_alive(pid)]


async def test_the_workers_clock_is_this_hosts_clock_when_it_runs_here():
    async with worker() as (client, _):
        await client.wait_ready(30)
        offset = await client.ping()
    assert abs(offset.offset_s) <= offset.uncertainty_s + 1e-6


def run_step(script, at_s=0.0, timeout_s=30.0):
    return Step(at_s, Action.RUN, 0, 0, argv=("sh", "-c", *script), timeout_s=timeout_s)


def outputs_in(folder):
    return {"env": {"FREEPAGE_OUTPUT": str(folder)}}


async def test_the_end_of_the_worker_ends_what_its_programs_started(tmp_path):
    steps = (run_step(["sleep 60 & echo $!; sleep 60"]),)
    async with worker(**outputs_in(tmp_path)) as (client, _):
        await _start(client, ProcessSchedule(0, steps))
        child = int(await _output_of(tmp_path / "run-0-0.out"))
        assert _is_alive(child)
    await _until(lambda: not _is_alive(child))


async def test_the_end_of_a_process_ends_its_program_and_what_that_started(tmp_path):
    steps = (run_step(["sleep 60 & echo $!; sleep 60"]),)
    async with worker(**outputs_in(tmp_path)) as (client, process):
        await _start(client, ProcessSchedule(0, steps))
        child = int(await _output_of(tmp_path / "run-0-0.out"))
        os.kill(_children_of(process.pid)[0], 9)
        await _until(lambda: not _is_alive(child))


@pytest.mark.skipif(
    subprocess.run(["unshare", "--pid", "--fork", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs a PID namespace",
)
async def test_a_worker_that_is_init_does_not_wait_for_what_its_programs_left_behind(tmp_path):
    steps = (run_step(["setsid sleep 20 & sleep 0.2; echo left"]),)
    async with worker("unshare", "--pid", "--fork", **outputs_in(tmp_path)) as (client, process):
        await replay(client, ProcessSchedule(0, steps))
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_program_may_have_thousands_of_arguments(tmp_path):
    arguments = ["echo $#", "sh", *map(str, range(1, 5001))]
    async with worker(**outputs_in(tmp_path)) as (client, _):
        (event,) = await replay(client, ProcessSchedule(0, (run_step(arguments),)))
    assert event.ok
    assert (tmp_path / "run-0-0.out").read_text() == "5000\n"


async def test_a_program_whose_output_cannot_be_kept_is_an_event_that_says_so(tmp_path):
    async with worker(**outputs_in(tmp_path / "none")) as (client, _):
        (event,) = await replay(client, ProcessSchedule(0, (run_step(["true"]),)))
    assert (event.ok, event.error) == (False, "No such file or directory")


async def test_a_worker_without_stderr_still_says_why_a_program_cannot_start(tmp_path):
    step = Step(0.0, Action.RUN, 0, 0, argv=("nonesuch",), timeout_s=5)
    async with worker("/bin/sh", "-c", 'exec "$0" 2>&-', **outputs_in(tmp_path)) as (client, _):
        (event,) = await replay(client, ProcessSchedule(0, (step,)))
    assert (event.ok, event.error) == (False, "No such file or directory")


async def test_a_time_limit_is_said_in_parts_of_a_second(tmp_path):
    async with worker(**outputs_in(tmp_path)) as (client, _):
        (event,) = await replay(client, ProcessSchedule(0, (run_step(["sleep 60"], timeout_s=0.25),)))
    assert event.error == "did not end within 0.25 s"
    assert 0.25 <= event.wall_s < 10


async def test_a_barrier_is_reached_on_time_left_when_told_and_shifts_nothing_after_it():
    steps = (
        Step(0.1, Action.ALLOCATE, MIB, 0, barrier=True),
        Step(0.15, Action.FREE, MIB, 0),
    )
    events, arrivals = [], []
    async with worker() as (client, _):
        client.on_waiting = lambda process, index: arrivals.append((time.monotonic(), process, index))
        zero_s = await _start(client, ProcessSchedule(0, steps))
        await _until(lambda: arrivals)
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
        await _start(client, ProcessSchedule(0, steps))
        await _until(lambda: arrivals)
        (child,) = _children_of(process.pid)
        before = _cpu_ticks(child)
        await asyncio.sleep(0.2)
        assert _cpu_ticks(child) - before <= 1
        await client.go(0, 1, time.monotonic())
        await client.wait_done(lambda _: None, 30)


async def test_a_barrier_counts_from_its_planned_time_even_when_told_a_time_long_gone():
    events = []
    async with worker() as (client, _):
        client.on_waiting = lambda *_: None
        zero_s = await _start(client, ProcessSchedule(0, (Step(0.2, Action.ALLOCATE, MIB, 0, barrier=True),)))
        await client.go(0, 0, zero_s)
        await client.wait_done(events.append, 30)
    assert events[0].t_s >= 0.2


async def test_only_a_process_with_a_barrier_can_be_told_to_go():
    async with worker() as (client, _):
        await _start(client, ProcessSchedule(0, pair(0, 30, MIB)))
        with pytest.raises(InstanceError, match="it complains: go: "):
            await client.go(0, 0, time.monotonic())


async def test_there_may_be_more_processes_than_open_files():
    schedules = [ProcessSchedule(p, pair(0, 0.01, 65536)) for p in range(40)]
    async with worker(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))) as (client, _):
        assert len(await replay(client, *schedules)) == 80


def test_nothing_is_read_behind_the_end_of_a_file_and_a_file_too_long_needs_an_offset(tmp_path):
    path = tmp_path / "long"
    path.write_bytes(b"x" * (LONGEST_FILE_BYTES + 1))
    commands = [{"path": str(path)}, {"path": str(path), "offset": 2**40}, {"path": str(path), "offset": 1}]
    told = b"".join(json.dumps({"op": "read", "id": 1} | c).encode() + b"\n" for c in commands)
    outcome = subprocess.run([build_worker()], input=told, capture_output=True, timeout=30, check=True)
    too_long, behind, rest = (json.loads(line) for line in outcome.stdout.splitlines()[1:])
    assert too_long["errno"] == errno.EFBIG
    assert behind["text"] == ""
    assert rest["text"] == "x" * LONGEST_FILE_BYTES


async def _start(client, *schedules):
    await client.wait_ready(30)
    await client.ping()
    await client.load(schedules)
    zero_s = time.monotonic() + 0.05
    await client.start(zero_s)
    return zero_s


async def _until(condition, deadline_s=10):
    """Wait for what is soon so."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - the worker does it
            await asyncio.sleep(0.01)


async def _output_of(path):
    await _until(lambda: path.exists() and path.read_text())
    return path.read_text()


def _cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def _children_of(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        if children:
            return children
    raise AssertionError("the worker forked nothing")


def _is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

"""The real worker binary, spoken to over pipes."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freepage.records import Action, ProcessSchedule, Step
from freepage.units import KIB, MIB
from freepage.worker.build import build_worker
from helpers.running_worker import (
    children_of,
    is_alive,
    output_of,
    pair,
    replay,
    start,
    until,
    worker,
)

LONGEST_FILE_BYTES = 256 * KIB


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
        children = await asyncio.to_thread(children_of, process.pid)
        assert len(children) == 3
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 30) == 0
    assert not [pid for pid in children if is_alive(pid)]


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
        await start(client, ProcessSchedule(0, steps))
        child = int(await output_of(tmp_path / "run-0-0.out"))
        assert is_alive(child)
    await until(lambda: not is_alive(child))


async def test_the_end_of_a_process_ends_its_program_and_what_that_started(tmp_path):
    steps = (run_step(["sleep 60 & echo $!; sleep 60"]),)
    async with worker(**outputs_in(tmp_path)) as (client, process):
        await start(client, ProcessSchedule(0, steps))
        child = int(await output_of(tmp_path / "run-0-0.out"))
        os.kill(children_of(process.pid)[0], 9)
        await until(lambda: not is_alive(child))


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

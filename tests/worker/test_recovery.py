"""Over connections that break nothing is lost, by the real worker and by one that the test plays."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import time
from contextlib import asynccontextmanager

import pytest

from freepage.errors import InstanceError
from freepage.records import Action, ProcessSchedule, Step
from freepage.units import MIB
from freepage.worker.build import build_worker
from freepage.worker.channel import Reconnected, ReconnectingChannel
from freepage.worker.client import WorkerClient
from helpers.fakes import BreakableFakeChannel
from helpers.played_worker import READY


class Pipe:
    """A stream to a running worker. It breaks once `lives` bytes have passed, and takes with it what was under way."""

    def __init__(self, process, lives, chance):
        self._process = process
        self._lives = lives
        self._chance = chance
        self._broken = asyncio.Event()

    def _spend(self, count):
        self._lives -= count
        if self._lives <= 0:
            self._broken.set()
            raise ConnectionResetError("it broke")

    async def read(self):
        reading = asyncio.create_task(self._process.stdout.read(1024))
        breaking = asyncio.create_task(self._broken.wait())
        await asyncio.wait({reading, breaking}, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, breaking):
            task.cancel()
        data = b"" if reading.cancelled() or not reading.done() else reading.result()
        self._spend(len(data))
        return data

    async def write(self, data):
        whole = self._lives - len(data) > 0
        part = data if whole else data[: self._chance.randrange(len(data) + 1)]
        self._process.stdin.write(part)
        await self._process.stdin.drain()
        self._spend(len(data))


@asynccontextmanager
async def breakable_worker(lives=lambda chance: 10**9, on_text=None, command=None, seed=1):
    """Give a client of the real worker over streams that each live for some bytes, and how many were opened."""
    chance = random.Random(seed)
    opened = []
    process = await asyncio.create_subprocess_exec(
        *(command or [build_worker()]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=2**20
    )

    @asynccontextmanager
    async def open_stream():
        opened.append(1)
        yield Pipe(process, lives(chance), chance)

    client = WorkerClient(ReconnectingChannel(open_stream, on_text=on_text), "vm-0")
    try:
        yield client, opened
    finally:
        await client.close()
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)


async def replay_start(client, *schedules):
    await client.wait_ready(30)
    await client.ping(2)
    await client.load(schedules)
    await client.start(time.monotonic() + 0.05)


@pytest.mark.parametrize("seed", range(6))
async def test_no_event_is_lost_or_doubled_over_connections_that_break(impatient, tmp_path, seed):
    text = os.urandom(1000)
    (tmp_path / "file").write_bytes(text)
    schedules = [
        ProcessSchedule(
            p,
            tuple(
                Step(i / 50, action, 65536, i) for i in range(60) for action in (Action.ALLOCATE, Action.FREE)
            ),
        )
        for p in range(4)
    ]
    events = []
    async with breakable_worker(lambda chance: chance.randrange(300, 40_000), seed=seed) as (client, opened):
        await replay_start(client, *schedules)
        await client.wait_done(events.append, 60)
        assert await client.read_whole(str(tmp_path / "file")) == text
    assert len(opened) > 5
    for process in range(4):
        assert [e.index for e in events if e.process == process] == list(range(120))


async def test_a_file_comes_whole_over_connections_that_break(impatient, tmp_path):
    text = os.urandom(200_000)
    (tmp_path / "file").write_bytes(text)
    lives = iter([400, 3000, 90_000, 50_000, 250_000])
    async with breakable_worker(lambda _: next(lives, 10**9)) as (client, opened):
        await client.wait_ready(30)
        assert await client.read_whole(str(tmp_path / "file")) == text
    assert len(opened) > 4


async def test_lines_of_others_are_passed_on_and_what_they_broke_is_said_again(impatient):
    """A kernel that writes on the same console, before the worker does and into its lines."""
    script = r"""
import os, subprocess, sys
print("Linux version 6.1\r\n{\"op\":\"again\",\"from\":1}\r\n\r\ngarbage without an end ", end="", flush=True)
worker = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
lines = 0
for line in worker.stdout:
    lines += 1
    if lines % 7 == 1:
        half = len(line) // 2
        line = line[:half] + b"[ 1.5] watchdog\r\n" + line[half:]
    sys.stdout.buffer.write(line)
    sys.stdout.flush()
"""
    noise = []
    command = ["python3", "-c", script, str(build_worker())]
    steps = tuple(Step(i / 100, a, 65536, i) for i in range(20) for a in (Action.ALLOCATE, Action.FREE))
    events = []
    async with breakable_worker(on_text=noise.append, command=command) as (client, _):
        await replay_start(client, ProcessSchedule(0, steps))
        await client.wait_done(events.append, 30)
    assert [e.index for e in events] == list(range(40))
    assert noise[0] == b"Linux version 6.1\n"
    assert any(b"watchdog" in line for line in noise)
    assert b"\r" not in b"".join(noise)


async def test_a_barrier_told_twice_is_one_and_the_next_still_waits():
    steps = tuple(Step(n / 100, action, MIB, 0, barrier=True) for n, action in enumerate(list(Action)[:2]))
    arrived = asyncio.Queue()
    events = []
    async with breakable_worker() as (client, _):
        client.on_waiting = lambda process, index: arrived.put_nowait(index)
        await replay_start(client, ProcessSchedule(0, steps))
        for index in range(2):
            assert await arrived.get() == index
            told_s = time.monotonic()
            for _ in range(3):
                await client.go(0, index, told_s)
        await client.wait_done(events.append, 30)
        await client.go(0, 1, told_s)
    assert [e.index for e in events] == [0, 1]
    assert events[1].planned_s > events[0].planned_s


@asynccontextmanager
async def breakable(answers=None):
    channel = BreakableFakeChannel(answers)
    client = WorkerClient(channel, "vm-0")
    channel.say(Reconnected())
    try:
        yield client, channel
    finally:
        await client.close()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the client does it
            await asyncio.sleep(0.005)


def heard(channel, op):
    return [command for command in channel.heard if command["op"] == op]


async def test_a_client_asks_at_first_for_all_it_may_have_missed():
    async with breakable() as (client, channel):
        await until(lambda: heard(channel, "again"))
        assert channel.heard[0]["from"] == 1
        channel.say(READY | {"n": 1})
        channel.say(READY | {"n": 1})
        assert (await client.wait_ready(10)).pid == 7


async def test_before_the_first_line_only_what_was_broken_in_it_is_asked_for_again(impatient):
    async with breakable() as (_, channel):
        await until(lambda: heard(channel, "again"))
        for line in (b"[    1.5] Linux\n", b"vm-0 login: \n", b"Password: \n"):
            channel.say(line)
        await until(lambda: len(channel.passed_on) == 3)
        await asyncio.sleep(0.1)
        assert len(heard(channel, "again")) == 1
        channel.say(b'{"n":1,"type":"rea[    2.5] Linux\n')
        await until(lambda: len(heard(channel, "again")) == 2)


async def test_a_worker_that_was_started_anew_is_an_error():
    async with breakable() as (client, channel):
        channel.say(READY | {"n": 1})
        await client.wait_ready(10)
        channel.say(READY | {"n": 1, "clock_ns": 3})
        with pytest.raises(InstanceError, match="vm-0 was started anew"):
            await client.wait_done(lambda _: None, 10)


async def test_a_line_that_came_too_early_is_asked_for_with_those_before_it(impatient):
    async with breakable() as (client, channel):
        channel.say(READY | {"n": 1})
        await client.wait_ready(10)
        channel.say({"n": 3, "type": "error", "message": "too early"})
        await until(lambda: channel.heard[-1]["from"] == 2)


async def test_lines_that_are_lost_for_good_are_an_error():
    answers = {"again": {"type": "error", "message": "again: no longer kept"}}
    async with breakable(answers) as (client, _):
        with pytest.raises(InstanceError, match="it complains: again: no longer kept"):
            await client.wait_ready(10)


async def test_a_request_is_repeated_over_a_new_connection_and_each_reply_taken_once(impatient):
    async with breakable() as (client, channel):
        await until(lambda: heard(channel, "again"))
        asking = asyncio.create_task(client.read_text("/a"))
        await until(lambda: heard(channel, "read"))
        (first,) = heard(channel, "read")
        channel.say(Reconnected())
        await until(lambda: heard(channel, "read") == [first, first])
        for _ in range(2):
            channel.say({"type": "text", "id": first["id"], "text": "A"})
        assert await asking == "A"
        channel.answers["read"] = {"type": "text", "text": "B"}
        assert await client.read_text("/b") == "B"


async def test_steps_that_got_lost_are_told_again_and_at_last_given_up(impatient):
    steps = tuple(Step(0.0, Action.ALLOCATE, 4096, 0) for _ in range(3))
    loaded = {"type": "loaded", "processes": 1, "steps": 1}
    async with breakable({"loaded": [loaded, {**loaded, "steps": 3}]}) as (client, channel):
        await until(lambda: heard(channel, "again"))
        await client.load([ProcessSchedule(0, steps)])
        assert [c["index"] for c in heard(channel, "step")] == [0, 1, 2, 0, 1, 2]
        channel.answers["loaded"] = loaded
        channel.say({"type": "error", "message": "a line is not"})
        with pytest.raises(InstanceError, match="took 1 of 3 steps; it complains: a line is not"):
            await client.load([ProcessSchedule(0, steps)])

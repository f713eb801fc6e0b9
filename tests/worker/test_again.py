"""What was lost on the way: numbered lines, said again by the real worker, over streams that break and consoles that talk."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from contextlib import asynccontextmanager

import pytest

from freepage.errors import FreepageError, InstanceError
from freepage.records import Action, ProcessSchedule, Step
from freepage.units import MIB
from freepage.worker import channel as channels
from freepage.worker import recovery
from freepage.worker import session as sessions
from freepage.worker.build import build_worker
from freepage.worker.channel import Reconnected, ReconnectingChannel
from freepage.worker.client import WorkerClient
from helpers.fakes import BreakableFakeChannel, FakeChannel

READY = {
    "type": "ready",
    "version": 2,
    "pid": 7,
    "clock_ns": 5,
    "page_bytes": 4096,
    "cpus": 2,
    "memory_bytes": 2**30,
}
STEP = {"op": "step", "process": 0, "at_ns": 0, "action": "allocate", "bytes": 4096}


def tell(*commands):
    """Give what the worker answers to commands before its input ends."""
    told = b"".join(c if isinstance(c, bytes) else json.dumps(c).encode() + b"\n" for c in commands)
    outcome = subprocess.run([build_worker()], input=told, capture_output=True, timeout=30, check=True)
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def again(start, id_=9):
    return {"op": "again", "id": id_, "from": start}


# ---- the worker


def test_every_line_has_the_next_number_and_is_said_again_unchanged():
    ping = {"op": "ping", "id": 1}
    said = tell(ping, b"garbage\n", ping, again(2))
    assert [line["n"] for line in said] == [1, 2, 3, 4, 2, 3, 4, 5]
    assert said[1:4] == said[4:7]
    assert said[7] == {"n": 5, "type": "said", "id": 9, "from": 2}


def test_nothing_is_said_again_when_nothing_was_lost():
    assert tell(again(2))[1:] == [{"n": 2, "type": "said", "id": 9, "from": 2}]


@pytest.mark.parametrize("start", [0, 1, 5000])
def test_a_line_that_is_not_kept_cannot_be_said_again(start):
    pings = [{"op": "ping", "id": number} for number in range(4500)]
    last = tell(*pings, again(start))[-1]
    assert (last["type"], last["id"]) == ("error", 9)
    assert "no longer kept, or has never been said" in last["message"]


def test_what_is_kept_reaches_as_far_back_as_256_kib():
    pings = [{"op": "ping", "id": number} for number in range(6000)]
    lines = tell(*pings)
    size = sum(len(json.dumps(line, separators=(",", ":"))) + 1 for line in lines[-4000:])
    assert size < 256 * 1024
    said = tell(*pings, again(len(lines) - 3999))
    assert said[-1]["type"] == "said"
    assert [line["n"] for line in said[-4001:-1]] == [line["n"] for line in lines[-4000:]]


def test_of_a_line_too_long_to_be_kept_its_number_is(tmp_path):
    (tmp_path / "long").write_text("x" * 70_000)
    read = {"op": "read", "id": 3, "path": str(tmp_path / "long")}
    said = tell(read, {"op": "ping", "id": 4}, again(2))
    assert len(said[1]["text"]) == 70_000
    assert said[3] == {"n": 2, "type": "forgotten"}
    assert said[4] == said[2]


def test_a_file_is_read_as_far_as_asked(tmp_path):
    (tmp_path / "text").write_text("abcdef")
    read = {"op": "read", "id": 3, "path": str(tmp_path / "text"), "offset": 1, "bytes": 2}
    assert tell(read)[1]["text"] == "bc"
    assert tell(read | {"bytes": 2**20})[1]["type"] == "error"


def test_a_step_told_twice_is_one_and_one_that_was_lost_is_missed():
    loaded = {"op": "loaded", "id": 1}
    said = tell(STEP | {"index": 0}, STEP | {"index": 0}, STEP | {"index": 2}, loaded)
    assert [line["type"] for line in said[1:]] == ["error", "loaded"]
    assert "the step before it is missing" in said[1]["message"]
    assert said[2]["steps"] == 1
    assert tell(STEP, loaded)[1]["type"] == "error"


def test_a_start_told_twice_is_answered_twice_and_done_once():
    start = {"op": "start", "id": 5, "zero_ns": 1}
    said = tell(STEP | {"index": 0, "at_ns": 10**15}, start, start, start | {"id": 6})
    assert [(line["type"], line["id"]) for line in said[1:]] == [("started", 5), ("started", 5), ("error", 6)]


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


def test_a_worker_ends_when_it_is_told_to_terminate():
    process = subprocess.Popen([build_worker()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert json.loads(process.stdout.readline())["type"] == "ready"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_worker_on_a_terminal_gets_and_gives_bytes_as_they_are():
    ours, theirs = os.openpty()
    process = subprocess.Popen([build_worker()], stdin=theirs, stdout=theirs, start_new_session=True)
    os.close(theirs)
    try:
        said = os.read(ours, 4096)
        long = json.dumps({"op": "read", "id": 1, "path": "/nonesuch" + "\x03\x04\x7f" * 2000}).encode()
        os.write(ours, long[:3000])
        for start in range(3000, len(long), 3000):
            os.write(ours, long[start : start + 3000])
        os.write(ours, b"\n")
        while said.count(b"\n") < 2:
            said += os.read(ours, 4096)
    finally:
        process.terminate()
        process.wait(10)
        os.close(ours)
    assert b"\r" not in said
    assert json.loads(said.splitlines()[1])["errno"] == 36


# ---- streams that break


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


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(recovery, "AGAIN_PAUSE_S", 0.02)
    monkeypatch.setattr(recovery, "KEEP_ALIVE_S", 0.5)
    monkeypatch.setattr(channels, "SHORTEST_PAUSE_S", 0.005)
    monkeypatch.setattr(channels, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(sessions, "REPLY_DEADLINE_S", 20.0)


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


# ---- the channel


class Script:
    """A stream that gives what it is told to, then breaks."""

    def __init__(self, *parts):
        self.parts = list(parts)
        self.written = b""

    async def read(self):
        await asyncio.sleep(0)
        if not self.parts:
            raise ConnectionResetError("gone")
        part = self.parts.pop(0)
        if isinstance(part, Exception):
            raise part
        return part

    async def write(self, data):
        self.written += data


def channel_over(*streams, **options):
    waiting = list(streams)

    @asynccontextmanager
    async def open_stream():
        stream = waiting.pop(0) if waiting else ConnectionRefusedError("refused")
        if isinstance(stream, Exception):
            raise stream
        yield stream

    return ReconnectingChannel(open_stream, **options)


async def read_all(channel):
    """Give lines, None for each new connection, until the channel fails."""
    found = []
    while True:
        try:
            found.append(await channel.read_line())
        except Reconnected:
            found.append(None)
        except Exception as error:  # noqa: BLE001 - whatever it is ends it
            await channel.close()
            return found, error


async def test_lines_are_put_together_and_what_a_break_cuts_off_is_dropped(impatient, monkeypatch):
    monkeypatch.setattr(channels, "RECONNECT_DEADLINE_S", 0.1)
    streams = [Script(b"one\r\ntw", b"o\n\r\n\nthr"), Script(b"four\n", b""), Script(b"five\n")]
    found, error = await read_all(channel_over(*streams))
    assert found == [None, b"one\n", b"two\n", None, b"four\n", None, b"five\n"]
    assert "there was no connection for 0 s: refused" in str(error)
    assert [stream.written for stream in streams] == [b"\n"] * 3


async def test_a_cluster_that_says_no_is_asked_again_unless_that_is_final(impatient):
    class ForbiddenError(FreepageError):
        pass

    refusals = [FreepageError("not yet"), OSError("reset")]
    final = ForbiddenError("you may not")
    found, error = await read_all(channel_over(*refusals, Script(b"x\n"), final, final=(ForbiddenError,)))
    assert found == [None, b"x\n"]
    assert error is final


async def test_a_mistake_in_opening_is_raised_where_lines_are_read(impatient):
    found, error = await read_all(channel_over(KeyError("what")))
    assert (found, type(error)) == ([], KeyError)


async def test_a_connection_that_is_silent_for_too_long_is_replaced(impatient, monkeypatch):
    monkeypatch.setattr(channels, "SILENCE_S", 0.05)

    class Silent(Script):
        async def read(self):
            await asyncio.sleep(3600)

    channel = channel_over(Silent(), Script(b"here\n"))
    for expected in (Reconnected, Reconnected):
        with pytest.raises(expected):
            await channel.read_line()
    assert await channel.read_line() == b"here\n"
    await channel.close()


async def test_a_line_written_while_there_is_no_connection_is_lost_without_an_error(impatient, monkeypatch):
    monkeypatch.setattr(channels, "RECONNECT_DEADLINE_S", 0.05)
    channel = channel_over()
    await channel.write_line(b"nobody hears this")
    _, error = await read_all(channel)
    assert isinstance(error, OSError)
    with pytest.raises(OSError, match="no connection"):
        await channel.write_line(b"too late")


# ---- the client


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


async def test_over_a_sound_channel_a_missing_line_is_an_error():
    channel = FakeChannel()
    client = WorkerClient(channel, "vm-0")
    channel.say(READY | {"n": 2})
    with pytest.raises(InstanceError, match="it should be line 1"):
        await client.wait_ready(10)
    await client.close()


async def test_lines_that_are_lost_for_good_are_an_error():
    answers = {"again": {"type": "error", "message": "again: no longer kept"}}
    async with breakable(answers) as (client, _):
        with pytest.raises(InstanceError, match="it complains: again: no longer kept"):
            await client.wait_ready(10)


async def test_a_question_is_repeated_over_a_new_connection_and_each_answer_taken_once(impatient):
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


async def test_never_more_than_two_kib_of_steps_are_under_way():
    unanswered, most = 0, 0

    class Counting(FakeChannel):
        async def write_line(self, line):
            nonlocal unanswered, most
            unanswered += len(line) + 1
            most = max(most, unanswered)
            if b'"loaded"' in line:
                unanswered = 0
                self.answers["loaded"] = {
                    "type": "loaded",
                    "processes": 1,
                    "steps": sum(c["op"] == "step" for c in self.heard),
                }
            await super().write_line(line)

    client = WorkerClient(Counting(), "vm-0")
    steps = tuple(Step(float(n), Action.ALLOCATE, 4096, n) for n in range(200))
    await client.load([ProcessSchedule(0, steps), ProcessSchedule(1, steps)])
    await client.close()
    assert 1500 < most < 2048 + 64


async def test_a_command_longer_than_the_worker_takes_is_refused_before_it_is_sent():
    channel = FakeChannel()
    client = WorkerClient(channel, "vm-0")
    step = Step(0.0, Action.RUN, 0, 0, argv=("echo", "x" * 65_500), timeout_s=1)
    with pytest.raises(InstanceError, match="cannot be told 'step': as a line it has 65") as caught:
        await client.load([ProcessSchedule(0, (step,))])
    assert "64 KiB" in caught.value.hint
    await client.close()
    assert [c["op"] for c in channel.heard] == ["quit"]

"""What is asked of a worker, and what it reports."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from freepage.errors import InstanceError
from freepage.records import Action, ProcessSchedule, Step
from freepage.worker import client as clients
from freepage.worker.client import WorkerClient
from helpers.fakes import FakeChannel
from helpers.played_worker import READY, STARTED, STEP, WAITING, ignore, started, talk


async def test_what_a_worker_says_of_itself_is_given():
    async with talk() as (client, channel):
        assert client.page_bytes is None
        channel.say(READY)
        hello = await client.wait_ready(5)
        assert client.page_bytes == 4096
    assert (hello.version, hello.pid, hello.page_bytes, hello.cpus, hello.memory_bytes) == (
        2,
        7,
        4096,
        2,
        2**30,
    )


async def test_another_version_of_the_protocol_is_refused():
    async with talk() as (client, channel):
        channel.say(READY | {"version": 3})
        with pytest.raises(InstanceError, match="vm-0 speaks version 3 of the protocol, not 2"):
            await client.wait_ready(5)


@pytest.mark.parametrize(
    "change",
    [
        {"action": "keep"},
        {"action": 1},
        {"ok": 1},
        {"ok": "false"},
        {"start_ns": None},
        {"bytes": 2**63},
        {"minor_faults": "1"},
    ],
)
async def test_an_event_with_a_wrong_field_ends_the_wait(change):
    async with started() as (client, channel):
        channel.say(STEP | change)
        with pytest.raises(InstanceError, match="vm-0 wrote what is not the protocol"):
            await client.wait_done(ignore, 30)


async def test_a_second_greeting_is_garbage():
    async with started() as (client, channel):
        channel.say(READY)
        channel.say(READY)
        with pytest.raises(InstanceError, match="said before"):
            await client.wait_done(ignore, 30)


@pytest.mark.parametrize("answer", [{}, {"text": 5}, {"text": "\u20ac"}, {"errno": "2"}])
async def test_a_text_that_is_none_is_an_error_of_the_instance(answer):
    async with talk({"read": {"type": "text"} | answer}) as (client, _):
        with pytest.raises(InstanceError, match="vm-0 wrote what is not the protocol"):
            await client.read_text("/proc/buddyinfo")


async def test_a_file_is_decoded_from_its_bytes_whatever_they_are():
    texts = [
        {"type": "text", "text": "\u00c3\u00bc"},
        {"type": "text", "text": "a\u00ff"},
        {"type": "text", "errno": 2},
    ]
    async with talk({"read": texts}) as (client, _):
        assert await client.read_text("/a") == "ü"
        assert await client.read_text("/b") == "a\ufffd"
        assert await client.read_text("/c") is None


async def test_the_shortest_round_trip_sets_the_clock(monkeypatch):
    now = iter([10.0, 10.5, 20.0, 20.1, 30.0, 30.4])
    monkeypatch.setattr(clients, "time", SimpleNamespace(monotonic=lambda: next(now)))
    pongs = [{"type": "pong", "clock_ns": s * 1_000_000_000} for s in (1, 121, 3)]
    async with talk({"ping": pongs}) as (client, _):
        offset = await client.ping(3)
    assert offset.offset_s == pytest.approx(121 - 20.05)
    assert offset.uncertainty_s == pytest.approx(0.05)


async def test_the_zero_is_told_and_events_are_read_on_the_workers_clock(monkeypatch):
    monkeypatch.setattr(clients, "time", SimpleNamespace(monotonic=lambda: 500.0))
    events = []
    async with talk({"ping": {"type": "pong", "clock_ns": 100_000_000_000}, "start": STARTED}) as (
        client,
        channel,
    ):
        await client.ping(1)
        await client.start(502.0)
        zero_ns = channel.heard[-1]["zero_ns"]
        times = {
            "planned_ns": zero_ns + 10**9,
            "start_ns": zero_ns + 15 * 10**8,
            "end_ns": zero_ns + 175 * 10**7,
        }
        channel.say(STEP | times)
        channel.say({"type": "done", "failed": 0})
        await client.wait_done(events.append, 30)
    assert zero_ns == 102_000_000_000
    (event,) = events
    assert (event.instance, event.action, event.bytes, event.ok, event.error) == (
        "vm-0",
        "allocate",
        4096,
        True,
        None,
    )
    assert (event.planned_s, event.t_s, event.late_s, event.wall_s, event.end_s) == pytest.approx(
        (1, 1.5, 0.5, 0.25, 1.75)
    )
    assert (event.user_s, event.system_s) == pytest.approx((0.02, 0.03))


async def test_events_that_come_before_anyone_waits_are_kept():
    events = []
    async with started() as (client, channel):
        for index in range(3):
            channel.say(STEP | {"index": index})
        channel.answers["read"] = {"type": "text", "errno": 2}
        await client.read_text("/nothing")
        channel.say({"type": "done", "failed": 0})
        await client.wait_done(events.append, 30)
    assert [e.index for e in events] == [0, 1, 2]


async def test_what_the_listener_raises_is_raised_where_it_waits():
    def refuse(event):
        raise OSError(28, "No space left on device")

    async with started() as (client, channel):
        channel.say(STEP)
        with pytest.raises(OSError, match="No space left"):
            await client.wait_done(refuse, 30)


async def test_files_are_read_while_the_schedule_runs():
    async with started() as (client, channel):
        waiting = asyncio.create_task(client.wait_done(ignore, 30))
        channel.answers["read"] = {"type": "text", "text": "Node 0"}
        assert (
            await asyncio.gather(*(client.read_text("/proc/buddyinfo") for _ in range(5))) == ["Node 0"] * 5
        )
        assert not waiting.done()
        channel.say({"type": "done", "failed": 0})
        await waiting


@pytest.mark.parametrize(
    ("said", "words", "hinted"),
    [
        ({"signal": 9, "error": "it ended"}, "had its process 3 ended by SIGKILL", True),
        ({"signal": 11}, "had its process 3 ended by SIGSEGV", False),
        ({"signal": 999}, "had its process 3 ended by signal 999", False),
        ({"signal": 0, "error": "cannot fork"}, "lost its process 3: cannot fork", False),
    ],
)
async def test_a_process_that_ends_before_its_schedule_fails_the_wait_at_once(said, words, hinted):
    async with started() as (client, channel):
        channel.say({"type": "process-ended", "process": 3} | said)
        with pytest.raises(InstanceError, match=f"the worker of vm-0 {words}") as caught:
            await client.wait_done(ignore, 30)
    assert bool(caught.value.hint and "OOM killer" in caught.value.hint) == hinted


async def test_processes_that_failed_in_silence_fail_the_wait():
    async with started() as (client, channel):
        channel.say({"type": "done", "failed": 2})
        with pytest.raises(InstanceError, match="vm-0 lost 2 of its processes"):
            await client.wait_done(ignore, 30)


async def test_steps_are_told_in_whole_nanoseconds_and_counted():
    steps = (Step(0.25, Action.ALLOCATE, 8192, 2, "random", 64, 9), Step(1.5, Action.FREE, 8192, 2))
    async with talk({"loaded": {"type": "loaded", "processes": 4, "steps": 2}}) as (client, channel):
        await client.load([ProcessSchedule(3, steps)])
    assert channel.heard[0] == {
        "op": "step",
        "process": 3,
        "index": 0,
        "at_ns": 250_000_000,
        "action": "allocate",
        "bytes": 8192,
        "iteration": 2,
        "scan": "random",
        "stride": 64,
        "seed": 9,
    }
    assert (channel.heard[1]["index"], channel.heard[1]["at_ns"]) == (1, 1_500_000_000)


async def test_a_program_and_a_barrier_are_told_only_where_a_step_has_them():
    steps = (
        Step(0.0, Action.ALLOCATE, 4096, 0, barrier=True),
        Step(1.0, Action.RUN, 0, 1, argv=("fio", "", "two words"), timeout_s=2.5, label="cell/read/1"),
    )
    async with talk({"loaded": {"type": "loaded", "processes": 1, "steps": 2}}) as (client, channel):
        await client.load([ProcessSchedule(0, steps)])
    first, second = channel.heard[:2]
    assert first["barrier"] == 1
    assert not {"argv", "timeout_ns"} & set(first)
    assert (second["action"], second["bytes"]) == ("run", 0)
    assert (second["argv"], second["timeout_ns"]) == ("fio\n\ntwo words", 2_500_000_000)
    assert not {"barrier", "label"} & set(second)


@pytest.mark.parametrize("argument", ["echo a\necho b", "a\0b"])
async def test_an_argument_that_would_become_another_is_refused(argument):
    step = Step(0.0, Action.RUN, 0, 0, argv=("sh", "-c", argument), timeout_s=1)
    async with talk() as (client, channel):
        with pytest.raises(InstanceError, match="vm-0 cannot be told the argument") as caught:
            await client.load([ProcessSchedule(0, (step,))])
        assert not channel.heard
    assert "file" in caught.value.hint


async def test_who_waits_at_a_barrier_is_handed_on_and_told_a_time_of_its_own_clock(monkeypatch):
    monkeypatch.setattr(clients, "time", SimpleNamespace(monotonic=lambda: 500.0))
    arrived = []
    answers = {
        "ping": {"type": "pong", "clock_ns": 100_000_000_000},
        "start": STARTED,
        "go": {"type": "going"},
    }
    async with talk(answers) as (client, channel):
        client.on_waiting = lambda process, index: arrived.append((process, index))
        await client.ping(1)
        await client.start(500.0)
        channel.say(WAITING)
        channel.say({"type": "done", "failed": 0})
        await client.wait_done(ignore, 30)
        await client.go(2, 4, 507.5)
        told = {"op": "go", "id": 3, "process": 2, "index": 4, "at_ns": 107_500_000_000}
        assert channel.heard[-1] == told
    assert arrived == [(2, 4)]


async def test_what_the_listener_at_a_barrier_raises_is_raised_where_it_waits():
    def refuse(process, index):
        raise KeyError(process, index)

    async with started() as (client, channel):
        client.on_waiting = refuse
        channel.say(WAITING)
        with pytest.raises(KeyError):
            await client.wait_done(ignore, 30)


async def test_a_long_file_is_asked_for_part_by_part_up_to_the_limit():
    part = {"type": "text", "text": "x" * clients.PART_BYTES}
    async with talk({"read": [part, part, {"type": "text", "text": "end"}]}) as (client, channel):
        assert await client.read_whole("/a") == b"x" * 2 * clients.PART_BYTES + b"end"
        assert [c["offset"] for c in channel.heard] == [0, clients.PART_BYTES, 2 * clients.PART_BYTES]
        channel.answers["read"] = [part, part]
        limit_bytes = clients.PART_BYTES + 1
        assert await client.read_whole("/a", limit_bytes) == b"x" * limit_bytes
        channel.answers["read"] = {"type": "text", "errno": 2}
        assert await client.read_whole("/none") is None


async def test_steps_that_got_lost_are_noticed():
    async with talk({"loaded": {"type": "loaded", "processes": 1, "steps": 0}}) as (client, _):
        with pytest.raises(InstanceError, match="vm-0 took 0 of 1 steps"):
            await client.load([ProcessSchedule(0, (Step(0.0, Action.ALLOCATE, 4096, 0),))])


async def test_a_start_without_a_clock_is_a_mistake_of_the_caller():
    async with talk() as (client, _):
        with pytest.raises(ValueError, match="ping"):
            await client.start(0.0)


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

"""The session with a worker that errs: every wait ends, every error names the instance."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from freepage.errors import InstanceError
from freepage.records import Action, ProcessSchedule, Step
from freepage.worker import channel as channels
from freepage.worker import session as sessions
from freepage.worker.channel import open_socket_channel
from freepage.worker.client import WorkerClient
from helpers.fakes import FakeChannel
from helpers.played_worker import READY, STARTED, STEP, WAITING, ignore, line, started, talk


@pytest.mark.parametrize(
    "garbage",
    [
        b"Linux version 6.1\n",
        b"\xff\xfe\x00\n",
        b"[1, 2]\n",
        b"3\n",
        b"null\n",
        b'"ready"\n',
        b"{}\n",
        b'{"type":["ready"]}\n',
        b'{"type":"sing"}\n',
        b'{"n":1,"type":"ready"}\n',
        b'{"n":1,"type":"ready","version":2,"pid":7,"clock_n',
        b"[" * 100_000 + b"\n",
        b'{"n":1,"type":"pong","id":9,"clock_ns":1}\n',
        b'{"n":1,"type":"pong","id":[1],"clock_ns":1}\n',
        b'{"n":1,"type":"done","failed":0}\n',
        b'{"n":2,"type":"done","failed":0}\n',
        b'{"n":"1","type":"done","failed":0}\n',
        json.dumps(READY).encode(),
        line(READY | {"n": 0}),
        line(READY | {"pid": "7"}),
        line(READY | {"cpus": 2.5}),
        line(READY | {"cpus": True}),
        line(READY | {"memory_bytes": 10**400}),
        line(READY).decode().encode("utf-16"),
        line(STEP),
        line(WAITING),
        line(WAITING | {"index": "4"}),
        b'{"n":1,"type":"waiting","process":2}\n',
    ],
)
async def test_what_is_not_the_protocol_ends_every_wait_and_is_shown(garbage):
    async with talk() as (client, channel):
        waits = [
            asyncio.create_task(w)
            for w in (client.wait_ready(30), client.wait_done(ignore, 30), client.ping())
        ]
        await asyncio.sleep(0)
        channel.say(garbage)
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
    shown = repr(garbage.decode("utf-8", "backslashreplace").rstrip("\n")[:80])[:-1]
    for outcome in outcomes:
        assert isinstance(outcome, InstanceError)
        assert outcome.message.startswith("the worker of vm-0 wrote what is not the protocol: ")
        assert shown in outcome.message
        assert len(outcome.message) < 600


async def test_a_complaint_of_the_worker_is_passed_on():
    async with started() as (client, channel):
        channel.say({"type": "error", "message": "step: no such action"})
        with pytest.raises(InstanceError, match="it complains: step: no such action"):
            await client.wait_done(ignore, 30)


async def test_a_channel_that_closes_ends_every_wait_and_what_is_asked_later():
    async with started() as (client, channel):
        channel.say(b"")
        with pytest.raises(InstanceError, match="the worker of vm-0 closed its channel"):
            await client.wait_done(ignore, 30)
        with pytest.raises(InstanceError, match="closed its channel"):
            await client.read_text("/proc/buddyinfo")


async def test_who_knows_why_the_channel_closed_is_heard_first():
    async with started(closing_grace_s=30) as (client, channel):
        channel.say(b"")
        waiting = asyncio.create_task(client.wait_done(ignore, 30))
        await asyncio.sleep(0)
        channel.broken = BrokenPipeError("Broken pipe")
        asking = asyncio.create_task(client.read_text("/proc/buddyinfo"))
        await asyncio.sleep(0)
        client.fail(InstanceError("vm-0: the guest's kernel panicked"))
        for wait in (waiting, asking):
            with pytest.raises(InstanceError, match="panicked"):
                await wait


@pytest.mark.parametrize("error", [ValueError("Separator is not found"), OSError(5, "Input/output error")])
async def test_a_channel_that_cannot_be_read_ends_every_wait(error):
    async with started() as (client, channel):
        channel.say(error)
        with pytest.raises(InstanceError, match=f"the worker of vm-0 .*{error}".replace("[", r"\[")):
            await client.wait_done(ignore, 30)


async def test_a_channel_that_cannot_be_written_to_is_an_error_of_the_instance():
    async with talk() as (client, channel):
        channel.broken = BrokenPipeError("Broken pipe")
        with pytest.raises(InstanceError, match="vm-0 cannot be written to: Broken pipe"):
            await client.ping()


async def test_a_worker_that_takes_no_lines_is_given_up(monkeypatch):
    monkeypatch.setattr(sessions, "REPLY_DEADLINE_S", 0.01)
    monkeypatch.setattr(channels, "CLOSE_DEADLINE_S", 0.01)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = WorkerClient(await open_socket_channel(ours), "vm-0")
        reads = [client.read_text("x" * 60_000) for _ in range(20)]
        outcomes = await asyncio.gather(*reads, return_exceptions=True)
        assert "did not take 'read' within" in str(outcomes[-1])
        await client.close()


async def test_every_wait_has_a_deadline(monkeypatch):
    monkeypatch.setattr(sessions, "REPLY_DEADLINE_S", 0.01)
    async with talk({"start": STARTED}) as (client, _):
        with pytest.raises(InstanceError, match="vm-0 did not say that it is ready within"):
            await client.wait_ready(0.01)
        with pytest.raises(InstanceError, match="vm-0 did not answer 'ping' within"):
            await client.ping()
        with pytest.raises(InstanceError, match="vm-0 did not finish its schedule within"):
            await client.wait_done(ignore, 0.01)


async def test_an_answer_nobody_waits_for_any_more_is_no_garbage():
    async with started() as (client, channel):
        asking = asyncio.create_task(client.read_text("/proc/buddyinfo"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        channel.say({"type": "text", "id": channel.heard[-1]["id"], "text": "late"})
        channel.answers["read"] = {"type": "text", "text": "in time"}
        assert await client.read_text("/proc/buddyinfo") == "in time"
        channel.say({"type": "text", "id": 2, "text": "a second time"})
        with pytest.raises(InstanceError, match="answers no request"):
            await client.wait_done(ignore, 30)


async def test_a_cancellation_that_comes_together_with_the_answer_is_not_forgotten():
    async with talk() as (client, _):
        asking = asyncio.create_task(client.read_text("/a"))
        await asyncio.sleep(0.01)
        next(iter(client._session._requests.values())).reply.set_result({"type": "text", "text": b"A"})
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_an_answer_of_another_type_is_garbage():
    async with talk({"read": {"type": "going"}}) as (client, _):
        with pytest.raises(InstanceError, match="answers no request"):
            await client.read_text("/proc/buddyinfo")


async def test_closing_asks_the_worker_to_quit_and_ends_every_wait():
    async with started() as (client, channel):
        waiting = asyncio.create_task(client.wait_done(ignore, 30))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(InstanceError, match="vm-0 was closed"):
            await waiting
    assert channel.heard[-1] == {"op": "quit"}
    assert channel.closed


async def test_closing_never_raises_whatever_the_channel_does():
    async with talk() as (client, channel):
        channel.broken = RuntimeError("surprise")
        await client.close()
    assert channel.closed


async def test_lines_cross_a_socket_and_a_line_too_long_is_an_error():
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    client = WorkerClient(await open_socket_channel(ours), "vm-0")
    with theirs:
        await loop.sock_sendall(theirs, line(READY) + b"\n")
        assert (await client.wait_ready(30)).pid == 7
        sending = asyncio.create_task(loop.sock_sendall(theirs, b"x" * (channels.LONGEST_LINE_BYTES * 2)))
        with pytest.raises(InstanceError, match="vm-0 wrote what is not the protocol"):
            await client.wait_done(ignore, 30)
        await client.close()
        await asyncio.gather(sending, return_exceptions=True)


async def test_over_a_sound_channel_a_missing_line_is_an_error():
    channel = FakeChannel()
    client = WorkerClient(channel, "vm-0")
    channel.say(READY | {"n": 2})
    with pytest.raises(InstanceError, match="it should be line 1"):
        await client.wait_ready(10)
    await client.close()


async def test_a_command_longer_than_the_worker_takes_is_refused_before_it_is_sent():
    channel = FakeChannel()
    client = WorkerClient(channel, "vm-0")
    step = Step(0.0, Action.RUN, 0, 0, argv=("echo", "x" * 65_500), timeout_s=1)
    with pytest.raises(InstanceError, match="cannot be told 'step': as a line it has 65") as caught:
        await client.load([ProcessSchedule(0, (step,))])
    assert "64 KiB" in caught.value.hint
    await client.close()
    assert [c["op"] for c in channel.heard] == ["quit"]

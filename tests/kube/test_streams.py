"""Streams of a cluster: exec, attach and consoles, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest
from aiohttp import WSMsgType

from freepage.kube import websocket as websocket_module
from freepage.kube.errors import ClusterError, ConflictError, ForbiddenError, InvalidError, NotFoundError
from freepage.kube.resources import PODS
from helpers.api_server import POD, echo, websocket

CONSOLE = "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachineinstances/vm/console"
AT = {"namespace": "ns", "container": "c"}
LOST = r"lost|cut off"
SUCCESS = b'\x03{"metadata":{},"status":"Success"}'


def failure(code):
    causes = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    return (
        b"\x03"
        + json.dumps(
            {"status": "Failure", "reason": "NonZeroExitCode", "message": "ended", "details": causes}
        ).encode()
    )


def saying(*messages):
    async def talk(socket, request):
        for message in messages:
            await socket.send_bytes(message)

    return talk


async def test_a_command_s_output_and_exit_status_come_back(server, api):
    said = saying(b"\x01", b"\x02", b"\x01out", b"\x02err", b"\x01put", failure(3))
    server.script(f"{POD}/exec", websocket(said))
    result = await api.run("p", ["sh", "-c", "exit 3"], **AT)
    assert (result.stdout, result.stderr, result.status) == (b"output", b"err", 3)
    assert server.asked[-1].query["command"] == "sh"
    assert "stdin" not in server.asked[-1].query


async def test_a_command_that_succeeds_has_status_0(server, api):
    server.script(f"{POD}/exec", websocket(saying(SUCCESS), protocols=("v4.channel.k8s.io",)))
    assert (await api.run("p", ["true"], **AT)).status == 0


async def test_a_command_that_cannot_be_started_has_no_status_but_its_reason(server, api):
    reason = b'\x03{"status":"Failure","reason":"InternalError","message":"no such file"}'
    server.script(f"{POD}/exec", websocket(saying(reason)))
    result = await api.run("p", ["nothing"], **AT)
    assert result.status is None
    assert b"no such file" in result.stderr


async def test_a_command_that_takes_too_long_is_cut_off_with_what_it_wrote(server, api):
    async def talk(socket, request):
        await socket.send_bytes(b"\x01so far")
        await socket.receive()

    server.script(f"{POD}/exec", websocket(talk))
    result = await api.run("p", ["sleep"], **AT, timeout_s=0.2)
    assert (result.stdout, result.status) == (b"so far", None)


async def test_leaving_an_exec_closes_its_stdin_first(server, api):
    seen = []

    async def talk(socket, request):
        seen.extend([m.data async for m in socket if m.type == WSMsgType.BINARY])
        seen.append(socket.close_code)

    server.script(f"{POD}/exec", websocket(talk))
    async with api.open_exec("p", ["cat"], **AT) as stream:
        await stream.write(b"hello")
    await until(lambda: len(seen) == 3)
    assert seen == [b"\x00hello", b"\xff\x00", 1000]


async def test_leaving_an_attach_leaves_stdin_open(server, api):
    seen = []

    async def talk(socket, request):
        seen.extend([m.data async for m in socket if m.type == WSMsgType.BINARY])
        seen.append(socket.close_code)

    server.script(f"{POD}/attach", websocket(talk))
    async with api.open_attach("p", **AT) as stream:
        await stream.write(b"hello")
    await until(lambda: len(seen) == 2)
    assert seen == [b"\x00hello", 1000]


async def test_an_attached_container_that_ends_is_the_end_of_its_stream(server, api):
    server.script(f"{POD}/attach", websocket(saying(b"\x01", b"\x01last words", SUCCESS)))
    async with api.open_attach("p", **AT) as stream:
        assert await stream.read() == b"last words"
        assert await stream.read() == b""
        assert await stream.read() == b""


async def test_what_was_said_before_the_end_is_heard_even_when_pings_cannot_be_answered(server, api):
    async def talk(socket, request):
        await socket.ping()
        await socket.send_bytes(b"\x01last words")
        await socket.ping()
        await socket.send_bytes(SUCCESS)
        await socket.close()

    server.script(f"{POD}/attach", websocket(talk))
    async with api.open_attach("p", **AT) as stream:
        await asyncio.sleep(0.1)
        assert await stream.read() == b"last words"
        assert await stream.read() == b""


async def test_a_stream_that_breaks_is_an_error_and_stays_one(server, api):
    async def talk(socket, request):
        await socket.send_bytes(b"\x01half")
        request.transport.abort()

    server.script(f"{POD}/attach", websocket(talk))
    async with api.open_attach("p", **AT) as stream:
        assert await stream.read() == b"half"
        for _ in range(2):
            with pytest.raises(OSError, match=LOST):
                await stream.read()
        with pytest.raises(OSError, match=LOST):
            await stream.write(b"x")


async def test_a_status_of_failure_breaks_a_stream_with_its_message(server, api):
    server.script(f"{POD}/attach", websocket(saying(b'\x03{"status":"Failure","message":"kubelet is gone"}')))
    async with api.open_attach("p", **AT) as stream:
        with pytest.raises(OSError, match="kubelet is gone"):
            await stream.read()


async def test_large_messages_come_whole_both_ways(server, api):
    data = os.urandom(3 << 20)

    async def talk(socket, request):
        got = b""
        while len(got) < len(data):
            got += (await socket.receive_bytes())[1:]
        await socket.send_bytes(b"\x01" + got)
        await socket.receive()

    server.script(f"{POD}/attach", websocket(talk))
    async with api.open_attach("p", **AT) as stream:
        await stream.write(data)
        assert await stream.read() == data


async def test_reading_goes_on_while_writing_waits_for_the_other_side(server, api):
    data = os.urandom(8 << 20)

    async def write(stream):
        await stream.write(data)

    server.script(f"{POD}/attach", websocket(echo))
    async with api.open_attach("p", **AT) as stream, asyncio.timeout(30):
        writing = asyncio.create_task(write(stream))
        got = bytearray()
        while len(got) < len(data):
            got += await stream.read()
        await writing
    assert got == data


async def test_a_write_that_is_cancelled_half_way_ends_the_stream(server, api):
    async def talk(socket, request):
        request.transport.pause_reading()
        await asyncio.sleep(3600)

    server.script(f"{POD}/attach", websocket(talk))
    async with api.open_attach("p", **AT) as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await stream.write(bytes(32 << 20))
        with pytest.raises(OSError, match="broken off"):
            await stream.write(b"more")


async def test_a_console_speaks_plain_bytes_in_binary_messages(server, api):
    kinds = set()

    async def talk(socket, request):
        assert request.headers["Sec-WebSocket-Protocol"] == "plain.kubevirt.io"
        async for message in socket:
            kinds.add(message.type)
            await socket.send_bytes(message.data.upper())

    server.script(CONSOLE, websocket(talk, protocols=("plain.kubevirt.io",)))
    async with api.open_console("vm", namespace="ns") as console:
        await console.write(b"hello")
        assert await console.read() == b"HELLO"
    assert kinds == {WSMsgType.BINARY}


async def test_a_console_that_is_displaced_is_lost(server, api):
    taken = []

    async def talk(socket, request):
        while taken:
            taken.pop().transport.abort()
        taken.append(request)
        await echo_plain(socket)

    async def echo_plain(socket):
        async for message in socket:
            await socket.send_bytes(message.data)

    server.script(CONSOLE, websocket(talk, protocols=("plain.kubevirt.io",)))
    async with api.open_console("vm", namespace="ns") as first:
        await first.write(b"1")
        assert await first.read() == b"1"
        async with api.open_console("vm", namespace="ns") as second:
            with pytest.raises(OSError, match=LOST):
                await first.read()
            await second.write(b"2")
            assert await second.read() == b"2"


async def test_a_peer_that_answers_no_ping_is_noticed(server, api, monkeypatch):
    monkeypatch.setattr(websocket_module, "PING_S", 0.2)

    async def talk(socket, request):
        # A handler that does not receive answers no ping either.
        await asyncio.sleep(5)

    server.script(f"{POD}/attach", websocket(talk))
    begun = time.monotonic()
    async with api.open_attach("p", **AT) as stream:
        with pytest.raises(OSError, match="ping"):
            await stream.read()
    assert time.monotonic() - begun < 3


async def test_a_silent_peer_that_answers_pings_is_kept(server, api, monkeypatch):
    monkeypatch.setattr(websocket_module, "PING_S", 0.1)
    server.script(f"{POD}/attach", websocket(echo))
    async with api.open_attach("p", **AT) as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stream.read()
        await stream.write(b"still there")
        assert await stream.read() == b"still there"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((403, "Forbidden", 'User "u" cannot get resource "pods/attach" in API group ""'), ForbiddenError),
        ((404, "NotFound", 'pods "p" not found', {"name": "p"}), NotFoundError),
        ((400, "BadRequest", "container c is not running"), InvalidError),
        ((409, "Conflict", "it failed"), ConflictError),
    ],
)
async def test_a_refused_upgrade_is_the_cluster_s_own_refusal(server, api, answer, error):
    server.script(f"{POD}/attach", server.answer_with(*answer))
    with pytest.raises(error) as caught:
        async with api.open_attach("p", **AT):
            pass
    assert caught.value.status == answer[0]


async def test_an_upgrade_that_met_a_busy_server_is_tried_again(server, api):
    server.script(f"{POD}/attach", server.answer_with(503, "ServiceUnavailable"), websocket(saying(SUCCESS)))
    async with api.open_attach("p", **AT) as stream:
        assert await stream.read() == b""


async def test_a_server_without_websockets_is_told_of(server, api):
    server.script(f"{POD}/attach", b"hello")
    with pytest.raises(ClusterError, match="websockets"):
        async with api.open_attach("p", **AT):
            pass


async def test_leaving_and_cancelling_leave_no_task_and_no_connection(server, api):
    open_now = set()

    async def talk(socket, request):
        open_now.add(socket)
        try:
            await echo(socket, request)
        finally:
            open_now.discard(socket)

    async def wait_until_cancelled():
        async with api.open_attach("p", **AT) as stream:
            await stream.read()

    server.script(f"{POD}/attach", websocket(talk))
    own = asyncio.current_task()
    task = asyncio.create_task(wait_until_cancelled())
    await until(lambda: open_now)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not open_now)
    mine = [t for t in asyncio.all_tasks() if t is not own and "freepage" in repr(t.get_coro())]
    assert not mine


@pytest.mark.long
async def test_250_streams_run_at_once_beside_requests(server, api):
    server.script(f"{POD}/attach", websocket(echo))
    server.script(POD, {"metadata": {"name": "p"}})
    meeting = asyncio.Barrier(250)

    async def talk(n):
        async with api.open_attach("p", **AT) as stream:
            await meeting.wait()
            for _ in range(3):
                await stream.write(str(n).encode())
                assert await stream.read() == str(n).encode()
            await api.get(PODS, "p", "ns")
            await meeting.wait()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for n in range(250):
            group.create_task(talk(n))


async def until(condition, limit_s=5):
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - the other side has no event for it
            await asyncio.sleep(0.01)

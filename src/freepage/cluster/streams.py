"""Two-way streams: websockets, a container's stdin and stdout over them, and a VM's serial console."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from freepage.cluster.call import build_call
from freepage.cluster.errors import ClusterError
from freepage.cluster.resources import MACHINE_INSTANCES, PODS, Resource, dig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import httpx
    from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage

    from freepage.cluster.call import Call
    from freepage.cluster.connection import Connection

CHANNELS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
CONSOLE = ("plain.kubevirt.io",)
STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
# KubeVirt copies a console by 10 KiB at a time.
FRAME_BYTES = 8 * 1024
READ_BYTES = 64 * 1024
# Silence after which we ask whether the other side is there, and how long it has to say so. Also keeps proxies from
# closing a connection as idle; neither the API server nor KubeVirt's console pings on its own.
PING_S = 20.0
WRITE_LIMIT_S = 30.0
CLOSE_LIMIT_S = 1.0
NORMAL_CLOSURE = 1000


class ByteStream(Protocol):
    """A two-way stream of bytes (a console, or a container's stdin and stdout)."""

    async def read(self) -> bytes:
        """Give the next bytes; b"" at the end, OSError when the connection was lost."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; OSError when the connection was lost."""
        ...


@dataclass(frozen=True)
class ExecResult:
    """What a command in a container wrote, and its exit status (None: it could not be started, or was cut off)."""

    stdout: bytes
    stderr: bytes
    status: int | None


class WebSocket:
    """The client's side of a websocket on a connection that httpx has upgraded.

    It has no task of its own: whoever waits in receive() also answers pings and notices a peer that is gone. What
    nobody receives waits in the kernel's buffers and slows the sender, as on any socket.
    """

    def __init__(self, response: httpx.Response) -> None:
        from wsproto.connection import Connection, ConnectionType

        self.protocol = response.headers.get("sec-websocket-protocol", "")
        self._response = response
        self._network = response.extensions["network_stream"]
        self._framing = Connection(ConnectionType.CLIENT)
        self._sending = asyncio.Lock()
        self._events: deque[Event] = deque()
        self._pieces: list[bytes] = []
        self._lost: str | None = None

    async def receive(self) -> bytes | None:
        """Give the next whole message; None where the other side closed in order, OSError where it is gone."""
        while True:
            while self._events:
                message, ended = await self._take(self._events.popleft())
                if message is not None or ended:
                    return message
            await self._fill()

    async def send(self, data: bytes) -> None:
        """Send one binary message."""
        from wsproto.events import BytesMessage

        await self._send(BytesMessage(data=data))

    async def close(self) -> None:
        from wsproto.events import CloseConnection

        try:
            # A connection that is closed or lost already is what we want.
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self._send(CloseConnection(code=NORMAL_CLOSURE))
        finally:
            await self._response.aclose()

    async def _take(self, event: Event) -> tuple[bytes | None, bool]:
        """Take one event and give the message that it completes, and whether it was the last."""
        from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

        if isinstance(event, (BytesMessage, TextMessage)):
            return self._add(event), False
        if isinstance(event, Ping):
            await self._send(event.response())
        if isinstance(event, CloseConnection):
            self._end(event)
            return None, True
        return None, False

    def _add(self, event: BytesMessage | TextMessage) -> bytes | None:
        self._pieces.append(event.data.encode() if isinstance(event.data, str) else bytes(event.data))
        if not event.message_finished:
            return None
        message = b"".join(self._pieces)
        self._pieces.clear()
        return message

    def _end(self, event: CloseConnection) -> None:
        # Whoever receives again is told the same again.
        self._events.append(event)
        if event.code != NORMAL_CLOSURE:
            raise self._lose(f"the other side closed the connection: {event.reason or f'code {event.code}'}")

    async def _fill(self) -> None:
        """Wait for bytes, asking after a while whether the other side is still there."""
        import httpcore
        from wsproto.events import Ping
        from wsproto.utilities import RemoteProtocolError

        self._check()
        try:
            try:
                data = await self._network.read(READ_BYTES, timeout=PING_S)
            except httpcore.ReadTimeout:
                await self._send(Ping(payload=secrets.token_bytes(4)))
                data = await self._network.read(READ_BYTES, timeout=PING_S)
            if not data:
                raise self._lose("the connection was cut off")
            self._framing.receive_data(data)
            self._events.extend(self._framing.events())
        except httpcore.ReadTimeout as error:
            raise self._lose(f"no answer to a ping for {PING_S:.0f} s") from error
        except (httpcore.ReadError, RemoteProtocolError) as error:
            raise self._lose(f"the connection was lost: {error}") from error

    async def _send(self, event: Event) -> None:
        import httpcore
        from wsproto.utilities import LocalProtocolError

        async with self._sending:
            self._check()
            try:
                await self._network.write(self._framing.send(event), timeout=WRITE_LIMIT_S)
            except LocalProtocolError as error:
                raise self._lose("the connection is closed") from error
            except (httpcore.WriteError, httpcore.WriteTimeout) as error:
                raise self._lose(f"the connection was lost: {error}") from error
            except asyncio.CancelledError:
                # Half a frame may be under way: nothing could follow it.
                self._lose("sending was broken off")
                raise

    def _check(self) -> None:
        if self._lost is not None:
            raise ConnectionResetError(self._lost)

    def _lose(self, reason: str) -> ConnectionResetError:
        self._lost = reason
        return ConnectionResetError(reason)


@asynccontextmanager
async def open_websocket(
    connection: Connection, call: Call, protocols: Sequence[str], *, safe: bool = True
) -> AsyncIterator[WebSocket]:
    """Open a websocket with one of some protocols; ClusterError where the server refuses."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        "Sec-WebSocket-Protocol": ", ".join(protocols),
    }
    socket = WebSocket(await connection.upgrade(call, headers, safe=safe))
    try:
        if socket.protocol not in protocols:
            raise ClusterError(
                f"{call}: {connection.server} speaks {socket.protocol or 'none'} of {headers['Sec-WebSocket-Protocol']}"
            )
        yield socket
    finally:
        await socket.close()


class ChannelStream:
    """A container's stdin and stdout, over the channels of a websocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._ended = False

    async def read(self) -> bytes:
        """Give the next bytes of stdout; b"" when the process has ended."""
        while not self._ended:
            channel, data = await _receive(self._socket)
            if channel == STDOUT and data:
                return data
            if channel == STATUS:
                self._ended = True
                _check_status(data)
        return b""

    async def write(self, data: bytes) -> None:
        for piece in _cut(data):
            await self._socket.send(bytes([STDIN]) + piece)


class ConsoleStream:
    """A VM's serial console; binary messages are its bytes, and text is dropped on the way."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """Give the next bytes; OSError too when another console has displaced this one, or the VM has ended."""
        while (data := await self._socket.receive()) is not None:
            if data:
                return data
        return b""

    async def write(self, data: bytes) -> None:
        for piece in _cut(data):
            await self._socket.send(piece)


@asynccontextmanager
async def open_exec(
    connection: Connection, pod: str, command: Sequence[str], *, namespace: str, container: str
) -> AsyncIterator[ByteStream]:
    query = {"container": container, "command": command, "stdin": "true", "stdout": "true"}
    call = build_call("get", PODS, namespace=namespace, name=pod, subresource="exec", query=query)
    async with open_websocket(connection, call, CHANNELS, safe=False) as socket:
        try:
            yield ChannelStream(socket)
        finally:
            if socket.protocol == CHANNELS[0]:
                # Version 4 has no word for the end of stdin; there the end of the connection is it.
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CLOSE_LIMIT_S):
                        await socket.send(bytes([CLOSE, STDIN]))


@asynccontextmanager
async def open_attach(
    connection: Connection, pod: str, *, namespace: str, container: str
) -> AsyncIterator[ByteStream]:
    query = {"container": container, "stdin": "true", "stdout": "true"}
    call = build_call("get", PODS, namespace=namespace, name=pod, subresource="attach", query=query)
    async with open_websocket(connection, call, CHANNELS) as socket:
        yield ChannelStream(socket)


@asynccontextmanager
async def open_console(connection: Connection, instance: str, *, namespace: str) -> AsyncIterator[ByteStream]:
    served = Resource(
        "subresources.kubevirt.io",
        MACHINE_INSTANCES.version,
        MACHINE_INSTANCES.plural,
        MACHINE_INSTANCES.kind,
    )
    call = build_call("get", served, namespace=namespace, name=instance, subresource="console")
    async with open_websocket(connection, call, CONSOLE) as socket:
        yield ConsoleStream(socket)


async def run_command(
    connection: Connection,
    pod: str,
    command: Sequence[str],
    *,
    namespace: str,
    container: str,
    timeout_s: float,
) -> ExecResult:
    """Run a command to its end; what it had written until then where it was cut off."""
    query = {"container": container, "command": command, "stdout": "true", "stderr": "true"}
    call = build_call("get", PODS, namespace=namespace, name=pod, subresource="exec", query=query)
    written: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
    status: int | None = None
    async with open_websocket(connection, call, CHANNELS, safe=False) as socket:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                status = await _collect(socket, written)
    return ExecResult(b"".join(written[STDOUT]), b"".join(written[STDERR]), status)


async def _collect(socket: WebSocket, written: dict[int, list[bytes]]) -> int | None:
    """Sort what comes by channel until the command has ended, and give its exit status."""
    while True:
        channel, data = await _receive(socket)
        if channel == STATUS:
            said = _parse_status(data)
            status = _exit_status(said)
            if status is None:
                written[STDERR].append(str(said.get("message", "")).encode())
            return status
        if channel in written:
            written[channel].append(data)


async def _receive(socket: WebSocket) -> tuple[int, bytes]:
    """Give a channel and what came on it; a connection closed in order is the end without a word on the status."""
    message = await socket.receive()
    if message is None:
        return STATUS, b'{"status": "Success"}'
    return (message[0], message[1:]) if message else (STDOUT, b"")


def _check_status(data: bytes) -> None:
    said = _parse_status(data)
    if _exit_status(said) is None:
        raise ConnectionAbortedError(str(said.get("message", "the cluster broke the stream off")))


def _parse_status(data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"message": data.decode(errors="replace")}


def _exit_status(said: dict[str, Any]) -> int | None:
    """Read the exit status out of a Status; None where no process came to its end."""
    if said.get("status") == "Success":
        return 0
    for cause in dig(said, "details", "causes") or []:
        if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdecimal():
            return int(cause["message"])
    return None


def _cut(data: bytes) -> list[bytes]:
    return [data[n : n + FRAME_BYTES] for n in range(0, len(data), FRAME_BYTES)]

"""Two-way streams over websockets: a container's stdin and stdout, and a VM's serial console."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from freepage.kube.call import build_call
from freepage.kube.resources import PODS, VMIS, dig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from freepage.kube.call import Call
    from freepage.kube.connection import Connection
    from freepage.kube.websocket import WebSocket

CHANNELS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
CONSOLE = ("plain.kubevirt.io",)
STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
# KubeVirt copies a console by 10 KiB at a time.
FRAME_BYTES = 8 * 1024
END_LIMIT_S = 1.0


@dataclass(frozen=True)
class ExecResult:
    """The output of a command in a container, and its exit status (None: it could not be started, or was cut off)."""

    stdout: bytes
    stderr: bytes
    status: int | None


class ChannelStream:
    """A container's stdin and stdout, over the channels of a websocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._ended = False

    async def read(self) -> bytes:
        """Return the next bytes of stdout; b"" when the process has ended, OSError when the connection was lost."""
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
        """Return the next bytes; OSError when the connection was lost, another console has displaced it, or the VM has ended."""
        while (data := await self._socket.receive()) is not None:
            if data:
                return data
        return b""

    async def write(self, data: bytes) -> None:
        for piece in _cut(data):
            await self._socket.send(piece)


def _open_socket(
    connection: Connection, call: Call, protocols: Sequence[str], *, safe: bool = True
) -> AbstractAsyncContextManager[WebSocket]:
    # It loads wsproto, which a command that opens no stream does not need.
    from freepage.kube.websocket import open_websocket

    return open_websocket(connection, call, protocols, safe=safe)


@asynccontextmanager
async def open_exec(
    connection: Connection, pod: str, command: Sequence[str], *, namespace: str, container: str
) -> AsyncIterator[ChannelStream]:
    query = {"container": container, "command": command, "stdin": "true", "stdout": "true"}
    call = build_call("get", PODS, namespace=namespace, name=pod, subresource="exec", query=query)
    async with _open_socket(connection, call, CHANNELS, safe=False) as socket:
        try:
            yield ChannelStream(socket)
        finally:
            if socket.protocol == CHANNELS[0]:
                # Version 4 has no word for the end of stdin; there the end of the connection is it.
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(END_LIMIT_S):
                        await socket.send(bytes([CLOSE, STDIN]))


@asynccontextmanager
async def open_attach(
    connection: Connection, pod: str, *, namespace: str, container: str
) -> AsyncIterator[ChannelStream]:
    query = {"container": container, "stdin": "true", "stdout": "true"}
    call = build_call("get", PODS, namespace=namespace, name=pod, subresource="attach", query=query)
    async with _open_socket(connection, call, CHANNELS) as socket:
        yield ChannelStream(socket)


@asynccontextmanager
async def open_console(
    connection: Connection, instance: str, *, namespace: str
) -> AsyncIterator[ConsoleStream]:
    served = replace(VMIS, group="subresources.kubevirt.io")
    call = build_call("get", served, namespace=namespace, name=instance, subresource="console")
    async with _open_socket(connection, call, CONSOLE) as socket:
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
    """Run a command to its end, or until it is cut off after `timeout_s` seconds."""
    query = {"container": container, "command": command, "stdout": "true", "stderr": "true"}
    call = build_call("get", PODS, namespace=namespace, name=pod, subresource="exec", query=query)
    written: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
    status: int | None = None
    async with _open_socket(connection, call, CHANNELS, safe=False) as socket:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                status = await _collect(socket, written)
    return ExecResult(b"".join(written[STDOUT]), b"".join(written[STDERR]), status)


async def _collect(socket: WebSocket, written: dict[int, list[bytes]]) -> int | None:
    """Collect messages by channel until the command has ended, and return its exit status."""
    while True:
        channel, data = await _receive(socket)
        if channel == STATUS:
            status = _parse_status(data)
            exit_status = _exit_status(status)
            if exit_status is None:
                written[STDERR].append(str(status.get("message", "")).encode())
            return exit_status
        if channel in written:
            written[channel].append(data)


async def _receive(socket: WebSocket) -> tuple[int, bytes]:
    """Return a channel and its message; a connection closed in order is the end with success."""
    message = await socket.receive()
    if message is None:
        return STATUS, b'{"status": "Success"}'
    return (message[0], message[1:]) if message else (STDOUT, b"")


def _check_status(data: bytes) -> None:
    status = _parse_status(data)
    if _exit_status(status) is None:
        raise ConnectionAbortedError(str(status.get("message", "the cluster broke the stream off")))


def _parse_status(data: bytes) -> dict[str, Any]:
    try:
        status = json.loads(data)
    except ValueError:
        status = None
    return status if isinstance(status, dict) else {"message": data.decode(errors="replace")}


def _exit_status(status: dict[str, Any]) -> int | None:
    """Read the exit status from a Status object; None where no process ended."""
    if status.get("status") == "Success":
        return 0
    for cause in dig(status, "details", "causes") or []:
        if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdecimal():
            return int(cause["message"])
    return None


def _cut(data: bytes) -> list[bytes]:
    return [data[n : n + FRAME_BYTES] for n in range(0, len(data), FRAME_BYTES)]

"""The stream of lines between freepage and one worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket

# A file the worker reads is at most 256 KiB, six characters a byte once escaped.
LONGEST_LINE_BYTES = 2 * 1024 * 1024
CLOSE_DEADLINE_S = 1.0


class Channel(Protocol):
    """Lines to and from a worker."""

    async def read_line(self) -> bytes:
        """Read one line with its newline; b"" at the end. Raises ValueError for a line too long."""
        ...

    async def write_line(self, line: bytes) -> None:
        """Write one line, given without its newline; OSError when nobody can read it any more."""
        ...

    async def close(self) -> None: ...


class StreamChannel:
    """A channel over a pair of asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read_line(self) -> bytes:
        try:
            return await self._reader.readline()
        except ConnectionError:
            return b""

    async def write_line(self, line: bytes) -> None:
        self._writer.write(line + b"\n")
        await self._writer.drain()

    async def close(self) -> None:
        """Send what is still to be sent, for at most a second, and close."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self._writer.wait_closed()
        except TimeoutError:
            self._writer.transport.abort()
        except OSError:
            pass  # it was broken before, and is closed


async def open_socket_channel(connected: socket.socket) -> StreamChannel:
    """Speak over a connected stream socket, which the channel owns from now on."""
    reader, writer = await asyncio.open_connection(sock=connected, limit=LONGEST_LINE_BYTES)
    return StreamChannel(reader, writer)


def open_process_channel(process: asyncio.subprocess.Process) -> StreamChannel:
    """Speak over a child's stdin and stdout, both pipes made with limit=LONGEST_LINE_BYTES."""
    if process.stdout is None or process.stdin is None:
        raise ValueError("the process has no pipes")
    return StreamChannel(process.stdout, process.stdin)

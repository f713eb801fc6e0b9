"""The stream of lines between freepage and one worker."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from freepage.errors import FreepageError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

# A file the worker reads is at most 256 KiB, six characters a byte once escaped.
LONGEST_LINE_BYTES = 2 * 1024 * 1024
CLOSE_DEADLINE_S = 1.0
# How long a lost connection is tried again, and how long a connection may be silent before it counts as lost.
RECONNECT_DEADLINE_S = 60.0
SILENCE_S = 45.0
# A connection that lived this long without a byte was one: a guest may boot in silence.
PROVEN_S = 10.0
SHORTEST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
_WAITING_LINES = 64


class Reconnected(Exception):  # noqa: N818 - an event, not an error
    """A channel's connection is new, so that lines of either direction may be missing."""


class Channel(Protocol):
    """Lines to and from a worker."""

    async def read_line(self) -> bytes:
        """Read one line with its newline; b"" at the end. Raises ValueError for a line too long."""
        ...

    async def write_line(self, line: bytes) -> None:
        """Write one line, given without its newline; OSError when nobody can read it any more."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class BreakableChannel(Channel, Protocol):
    """A channel whose connection can break, and on which others may speak too.

    Its read_line() raises Reconnected at first, and after each break.
    """

    def pass_on(self, line: bytes) -> None:
        """Take back a line that is not the worker's."""
        ...


class ByteStream(Protocol):
    """A two-way stream of bytes whose connection may break (a console, or a container's stdin and stdout)."""

    async def read(self) -> bytes:
        """Return the next bytes; b"" at the end, OSError when the connection was lost."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; OSError when the connection was lost."""
        ...


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


class ReconnectingChannel:
    """A channel over streams that break: each is followed by a new one, after growing pauses.

    Even a stream that ended is: only who watches the instance knows that it is over. A line written while there is no
    connection is lost, as some around a break may be. Carriage returns, which consoles add, and empty lines are dropped.
    """

    def __init__(
        self,
        open_stream: Callable[[], AbstractAsyncContextManager[ByteStream]],
        *,
        on_text: Callable[[bytes], None] | None = None,
        final: tuple[type[Exception], ...] = (),
    ) -> None:
        """Connect; errors of `open_stream` that are `final` are not tried again, and are raised as they are.

        `on_text` takes what is not the worker's: a kernel's lines on a serial console, what is left of a broken one.
        """
        self._open_stream = open_stream
        self._on_text = on_text
        self._final = final
        self._stream: ByteStream | None = None
        self._lines: asyncio.Queue[bytes | Exception] = asyncio.Queue(_WAITING_LINES)
        self._over: Exception | None = None
        # One task opens, reads and closes: a stream may have to be closed by the task that opened it.
        self._task = asyncio.create_task(self._keep_connected())

    async def read_line(self) -> bytes:
        """Read one line with its newline; OSError once no connection could be had for RECONNECT_DEADLINE_S."""
        if self._over is not None and self._lines.empty():
            raise self._over
        line = await self._lines.get()
        if isinstance(line, Exception):
            raise line
        return line

    async def write_line(self, line: bytes) -> None:
        if self._over is not None:
            raise OSError(str(self._over))
        if self._stream is not None:
            with suppress(OSError):
                await self._stream.write(line + b"\n")

    def pass_on(self, line: bytes) -> None:
        if self._on_text is not None:
            self._on_text(line)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_connected(self) -> None:
        until_s, pause_s = time.monotonic() + RECONNECT_DEADLINE_S, SHORTEST_PAUSE_S
        reason = ""
        while time.monotonic() < until_s:
            try:
                if await self._connect():
                    until_s, pause_s = time.monotonic() + RECONNECT_DEADLINE_S, SHORTEST_PAUSE_S
                reason = "it ends at once"
            except Exception as error:  # noqa: BLE001 - it belongs to whoever reads
                if isinstance(error, self._final) or not isinstance(error, OSError | FreepageError):
                    await self._end(error)
                    return
                reason = error.message if isinstance(error, FreepageError) else str(error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        await self._end(OSError(f"there was no connection for {RECONNECT_DEADLINE_S:.0f} s: {reason}"))

    async def _connect(self) -> bool:
        """Open a stream, queue its lines until it breaks, and return whether it was of any use."""
        async with self._open_stream() as stream:
            opened_s = time.monotonic()
            # Whatever part of a line the worker has got of us ends here.
            await stream.write(b"\n")
            self._stream = stream
            try:
                await self._lines.put(Reconnected())
                heard = await self._hand_over(stream)
            finally:
                self._stream = None
        return heard or time.monotonic() - opened_s > PROVEN_S

    async def _hand_over(self, stream: ByteStream) -> bool:
        heard, rest = False, b""
        while data := await _read(stream):
            heard = True
            *lines, rest = (rest + data).split(b"\n")
            for line in filter(None, (line.strip(b"\r") for line in lines)):
                await self._lines.put(line + b"\n")
            if len(rest) > LONGEST_LINE_BYTES:
                rest = b""
        return heard

    async def _end(self, error: Exception) -> None:
        self._over = error
        await self._lines.put(error)


async def _read(stream: ByteStream) -> bytes:
    """Read on; b"" at the end, when the connection was lost, or when it has been silent for too long."""
    try:
        async with asyncio.timeout(SILENCE_S):
            return await stream.read()
    except OSError:
        return b""


async def open_socket_channel(connected: socket.socket) -> StreamChannel:
    """Return a channel over a connected stream socket, which the channel owns from now on."""
    reader, writer = await asyncio.open_connection(sock=connected, limit=LONGEST_LINE_BYTES)
    return StreamChannel(reader, writer)


def open_process_channel(process: asyncio.subprocess.Process) -> StreamChannel:
    """Return a channel over a child's stdin and stdout, both pipes made with limit=LONGEST_LINE_BYTES."""
    if process.stdout is None or process.stdin is None:
        raise ValueError("the process has no pipes")
    return StreamChannel(process.stdout, process.stdin)

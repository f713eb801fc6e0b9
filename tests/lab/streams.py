"""Streams of pods/attach, pods/exec and a console (seams.Duplex)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.container import Container

_CHUNK_BYTES = 65536


class _Output:
    """Bytes of stdout and stderr in the order they came, until all who give them have ended."""

    def __init__(self, givers: int) -> None:
        self._queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._givers = givers

    def put(self, stream: int, data: bytes) -> None:
        self._queue.put_nowait((stream, data))

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        while self._givers:
            got = await self._queue.get()
            if got is None:
                self._givers -= 1
            else:
                yield got


class AttachedStream:
    """A client at a container's own streams, from when it came."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._output = _Output(1)

    def put(self, stream: int, data: bytes) -> None:
        self._output.put(stream, data)

    def end(self) -> None:
        self._output.end()

    async def write(self, data: bytes) -> None:
        await self._container.write_stdin(data)

    async def close_stdin(self) -> None:
        self._container.end_stdin()

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        return aiter(self._output)

    async def wait(self) -> int:
        await self._container.ended.wait()
        return 0

    async def close(self) -> None:
        self._container.detach(self)
        self.end()


class ExecStream:
    """A command that runs in a container."""

    def __init__(self, process: asyncio.subprocess.Process, pid_file: Path) -> None:
        self._process = process
        self._pid_file = pid_file
        self._output = _Output(2)
        pipes = ((1, process.stdout), (2, process.stderr))
        self._readers = [asyncio.create_task(self._read(number, pipe)) for number, pipe in pipes if pipe]

    async def has_started(self) -> bool:
        """Wait until the command runs, or has run; False when the runtime could not start it."""
        ended = asyncio.create_task(self._process.wait())
        while not (self._pid_file.exists() or ended.done()):
            await asyncio.wait({ended}, timeout=0.01)
        return self._pid_file.exists()

    async def write(self, data: bytes) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                self._process.stdin.write(data)
                await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        return aiter(self._output)

    async def wait(self) -> int:
        return await self._process.wait()

    async def close(self) -> None:
        """End the command, where it still runs."""
        if self._process.returncode is None:
            self._kill()
        await self._process.wait()
        for reader in self._readers:
            reader.cancel()
        self._output.end()
        self._output.end()
        self._pid_file.unlink(missing_ok=True)

    def _kill(self) -> None:
        """Kill the command, with which runc ends; runc itself while it is not that far."""
        try:
            _kill_command(int(self._pid_file.read_text(encoding="ascii")))
        except (OSError, ValueError):
            self._process.kill()

    async def _read(self, number: int, pipe: asyncio.StreamReader) -> None:
        while data := await pipe.read(_CHUNK_BYTES):
            self._output.put(number, data)
        self._output.end()


def _kill_command(pid: int) -> None:
    """Kill a process; of nsenter its child, which it then reaps: nobody else would, and the container could not end."""
    if Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip() != "nsenter":
        os.kill(pid, signal.SIGKILL)
        return
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        os.kill(int(child), signal.SIGKILL)


class ConsoleStream:
    """A VM's serial port, through QEMU's socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._output = _Output(1)
        self._reader = asyncio.create_task(self._read(reader))

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def close_stdin(self) -> None:
        """A serial port has no end of input."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        return aiter(self._output)

    async def wait(self) -> int:
        await asyncio.wait({self._reader})
        return 0

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        await asyncio.wait({self._reader})

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                self._output.put(1, data)
        self._output.end()

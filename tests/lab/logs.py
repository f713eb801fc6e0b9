"""A container's log as a container runtime keeps it: "TIME STREAM P|F TEXT", one line each."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

# A longer line is kept in parts; all but the last have the flag P.
LONGEST_BYTES = 16384
STREAMS = {1: "stdout", 2: "stderr"}


@dataclass(frozen=True)
class Entry:
    """One line, or a part of a longer one."""

    time: str
    whole: bool
    text: bytes


@dataclass(frozen=True)
class LogQuery:
    """The parameters of pods/log."""

    follow: bool = False
    tail_lines: int | None = None
    since_s: float | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


class ContainerLog:
    """Writes a container's log file, and gives it to any number of readers while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._pending = {1: b"", 2: b""}
        self._changed = asyncio.Event()

    def write(self, stream: int, data: bytes) -> None:
        """Add what a container wrote to its stdout (1) or stderr (2)."""
        *lines, rest = (self._pending[stream] + data).split(b"\n")
        for line in lines:
            self._file.write(_format(stream, "F", self._cut(stream, line)))
        self._pending[stream] = self._cut(stream, rest)
        self._wake()

    def close(self) -> None:
        """Write what has no newline yet, and end all who follow."""
        for stream, rest in self._pending.items():
            if rest:
                self._file.write(_format(stream, "F", rest))
        self._file.close()
        self._wake()

    async def read(self, query: LogQuery) -> AsyncIterator[bytes]:
        """Yield the log, a line at a time, as pods/log sends it."""
        left = query.limit_bytes
        async for line in self._lines(query):
            yield line if left is None else line[:left]
            left = None if left is None else left - len(line)
            if left is not None and left <= 0:
                return

    async def _lines(self, query: LogQuery) -> AsyncIterator[bytes]:
        with self._path.open("rb") as file:
            entries = _select(_parse(file), query)
            at_start = True
            while True:
                # What changes while it is read is seen in the next round.
                changed, ended = self._changed, self._file.closed
                for entry in entries:
                    yield _render(entry, timestamp=query.timestamps and at_start)
                    at_start = entry.whole
                if ended or not query.follow:
                    return
                await changed.wait()
                entries = _parse(file)

    def _cut(self, stream: int, line: bytes) -> bytes:
        """Write what is too long for one entry, and return the rest."""
        while len(line) > LONGEST_BYTES:
            self._file.write(_format(stream, "P", line[:LONGEST_BYTES]))
            line = line[LONGEST_BYTES:]
        return line

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def rfc3339(time_ns: int) -> str:
    """Write a time since 1970 to the nanosecond."""
    return f"{datetime.fromtimestamp(time_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{time_ns % 10**9:09d}Z"


def _format(stream: int, flag: str, text: bytes) -> bytes:
    return f"{rfc3339(time.time_ns())} {STREAMS[stream]} {flag} ".encode() + text + b"\n"


def _parse(file: Iterator[bytes]) -> Iterator[Entry]:
    for line in file:
        time_, _, flag, text = line.rstrip(b"\n").split(b" ", 3)
        yield Entry(time_.decode(), flag == b"F", text)


def _select(entries: Iterator[Entry], query: LogQuery) -> Iterator[Entry]:
    """Leave out what is before `since_s` and `tail_lines`."""
    if query.since_s is not None:
        first = rfc3339(time.time_ns() - int(query.since_s * 1e9))
        entries = (entry for entry in entries if entry.time >= first)
    return entries if query.tail_lines is None else iter(_last(entries, query.tail_lines))


def _last(entries: Iterator[Entry], lines: int) -> list[Entry]:
    kept: deque[list[Entry]] = deque(maxlen=lines)
    line: list[Entry] = []
    for entry in entries:
        line.append(entry)
        if entry.whole:
            kept.append(line)
            line = []
    return [entry for parts in kept for entry in parts] + line


def _render(entry: Entry, *, timestamp: bool) -> bytes:
    prefix = f"{entry.time} ".encode() if timestamp else b""
    return prefix + entry.text + (b"\n" if entry.whole else b"")

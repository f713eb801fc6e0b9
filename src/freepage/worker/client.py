"""Speaks with one worker: docs/worker-protocol.md."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from freepage.errors import InstanceError
from freepage.records import ClockOffset, EventLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freepage.schedule import ProcessSchedule
    from freepage.worker.channel import Channel

T = TypeVar("T")

PROTOCOL_VERSION = 1
REPLY_DEADLINE_S = 60.0
_NS = 1_000_000_000


@dataclass(frozen=True)
class Hello:
    """What a worker says when it is ready; `memory_bytes` is what its kernel calls physical memory."""

    version: int
    pid: int
    page_bytes: int
    cpus: int
    memory_bytes: int


class WorkerClient:
    """One worker, by the name of its instance. Every wait has a deadline; every failure is an InstanceError."""

    def __init__(self, channel: Channel, instance: str, *, closing_grace_s: float = 0.0) -> None:
        """Start reading. When the channel closes, wait `closing_grace_s` for fail() to say why before saying only that."""
        self.instance = instance
        self._closing_grace_s = closing_grace_s
        self._channel = channel
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._hello: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failure: InstanceError | None = None
        self._killed: list[str] = []
        self._events: list[EventLine] = []
        self._on_event: Callable[[EventLine], None] = self._events.append
        self._offset: ClockOffset | None = None
        self._zero_s = 0.0
        self._reader = asyncio.create_task(self._read_lines())

    async def wait_ready(self, deadline_s: float) -> Hello:
        """Wait for the worker's first line, at most `deadline_s` seconds."""
        said = await self._wait(self._hello, deadline_s, "did not say that it is ready")
        if said.get("version") != PROTOCOL_VERSION:
            raise self._error(
                f"speaks version {said.get('version')!r} of the protocol, not {PROTOCOL_VERSION}"
            )
        return Hello(*(int(said[key]) for key in ("version", "pid", "page_bytes", "cpus", "memory_bytes")))

    async def ping(self, count: int = 8) -> ClockOffset:
        """Measure the worker's clock against this host's time.monotonic(); the shortest of `count` round trips wins."""
        offsets = [await self._ping_once() for _ in range(count)]
        self._offset = min(offsets, key=lambda o: o.uncertainty_s)
        return self._offset

    async def load(self, schedules: Sequence[ProcessSchedule]) -> None:
        """Send the schedules and have the worker count them."""
        for schedule in schedules:
            for step in schedule.steps:
                await self._send(
                    op="step",
                    process=schedule.process,
                    at_ns=round(step.at_s * _NS),
                    action=step.action.value,
                    bytes=step.bytes,
                    iteration=step.iteration,
                    scan=step.scan,
                    stride=step.stride_bytes,
                    seed=step.seed,
                )
        loaded = await self._ask("loaded")
        expected = sum(len(s.steps) for s in schedules)
        if loaded.get("steps") != expected:
            raise self._error(f"took {loaded.get('steps')!r} of {expected} steps")

    async def start(self, zero_s: float) -> None:
        """Have every process wait for `zero_s`, an instant of this host's time.monotonic(). Needs a ping before."""
        if self._offset is None:
            raise ValueError("ping() comes before start()")
        self._zero_s = zero_s
        await self._ask("start", zero_ns=round((zero_s + self._offset.offset_s) * _NS))

    async def wait_done(self, on_event: Callable[[EventLine], None], deadline_s: float) -> None:
        """Hand over every event until all processes have ended, at most `deadline_s` seconds.

        Raises InstanceError when a process was killed (SIGKILL is usually the OOM killer).
        """
        self._on_event = on_event
        while self._events:
            on_event(self._events.pop(0))
        await self._wait(self._done, deadline_s, "did not finish its schedule")
        if self._killed:
            raise self._error(
                "; ".join(self._killed),
                hint="SIGKILL is usually the OOM killer: give the instance more memory",
            )

    async def read_text(self, path: str) -> str | None:
        """Read a file where the worker runs; None when it cannot be read."""
        reply = await self._ask("read", path=path)
        return (
            None if "text" not in reply else str(reply["text"]).encode("latin-1").decode("utf-8", "replace")
        )

    async def write_text(self, path: str, text: str) -> None:
        """Write a file where the worker runs; InstanceError says why it cannot."""
        reply = await self._ask("write", path=path, text=text)
        if reply.get("errno") != 0:
            raise self._error(f"cannot write {path}: {os.strerror(int(reply.get('errno', 0)))}")

    async def close(self) -> None:
        """Ask the worker to quit and close the channel; never raises."""
        with contextlib.suppress(InstanceError, OSError, TimeoutError):
            await asyncio.wait_for(self._send(op="quit"), 1.0)
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._channel.close()

    def fail(self, error: InstanceError) -> None:
        """End every wait with `error`: the instance is known to have died."""
        if self._failure is not None:
            return
        self._failure = error
        waiting: list[asyncio.Future[Any]] = [self._hello, self._done, *self._replies.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()

    async def _ping_once(self) -> ClockOffset:
        sent_s = time.monotonic()
        reply = await self._ask("ping")
        trip_s = time.monotonic() - sent_s
        return ClockOffset(int(reply["clock_ns"]) / _NS - (sent_s + trip_s / 2), trip_s / 2)

    async def _ask(self, op: str, **arguments: str | int) -> dict[str, Any]:
        number = next(self._ids)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        try:
            await self._send(op=op, id=number, **arguments)
            return await self._wait(reply, REPLY_DEADLINE_S, f"did not answer {op!r}")
        finally:
            del self._replies[number]

    async def _send(self, **message: str | int) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            await self._channel.write_line(json.dumps(message).encode())
        except OSError as error:
            raise self._error(f"cannot be written to: {error}") from error

    async def _wait(self, future: asyncio.Future[T], deadline_s: float, complaint: str) -> T:
        if self._failure is not None and not future.done():
            raise self._failure
        try:
            return await asyncio.wait_for(asyncio.shield(future), max(deadline_s, 0))
        except TimeoutError as error:
            raise self._error(f"{complaint} within {deadline_s:.0f} s") from error

    async def _read_lines(self) -> None:
        try:
            while line := await self._channel.read_line():
                self._take(_parse(line))
            await asyncio.sleep(self._closing_grace_s)
            self.fail(self._error("closed its channel"))
        except (ValueError, KeyError, TypeError) as error:
            self.fail(self._error(f"wrote what is not the protocol: {error}"))
        except OSError as error:
            self.fail(self._error(f"cannot be read from: {error}"))

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "ready" and not self._hello.done():
            self._hello.set_result(message)
        elif kind == "step":
            self._on_event(self._event(message))
        elif kind == "process-ended":
            self._killed.append(_describe_end(message))
        elif kind == "done" and not self._done.done():
            self._done.set_result(None)
        elif kind == "error":
            raise ValueError(f"it complains: {message['message']}")
        elif message.get("id") in self._replies:
            future = self._replies[message["id"]]
            if not future.done():
                future.set_result(message)
        else:
            raise ValueError(_shorten(json.dumps(message)))

    def _event(self, message: dict[str, Any]) -> EventLine:
        offset_s = self._offset.offset_s if self._offset else 0.0
        start_s, end_s, planned_s = (
            int(message[key]) / _NS - offset_s - self._zero_s for key in ("start_ns", "end_ns", "planned_ns")
        )
        return EventLine(
            t_s=start_s,
            end_s=end_s,
            instance=self.instance,
            process=int(message["process"]),
            index=int(message["index"]),
            iteration=int(message["iteration"]),
            action=str(message["action"]),
            bytes=int(message["bytes"]),
            planned_s=planned_s,
            late_s=start_s - planned_s,
            wall_s=end_s - start_s,
            user_s=int(message["user_ns"]) / _NS,
            system_s=int(message["system_ns"]) / _NS,
            minor_faults=int(message["minor_faults"]),
            major_faults=int(message["major_faults"]),
            ok=bool(message["ok"]),
            error=message.get("error"),
        )

    def _error(self, words: str, hint: str | None = None) -> InstanceError:
        return InstanceError(f"the worker of {self.instance} {words}", hint=hint)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(_shorten(line.decode("utf-8", "backslashreplace"))) from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError(_shorten(line.decode("utf-8", "backslashreplace")))  # noqa: TRY004 - bad input, not a bad call
    return message


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")


def _describe_end(message: dict[str, Any]) -> str:
    number = int(message["signal"])
    name = signal.Signals(number).name if number in set(signal.Signals) else f"status, signal {number}"
    return f"had its process {int(message['process'])} ended by {name}"

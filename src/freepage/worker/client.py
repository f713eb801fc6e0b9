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
from freepage.worker.messages import parse_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freepage.schedule import ProcessSchedule, Step
    from freepage.worker.channel import Channel
    from freepage.worker.messages import Message

T = TypeVar("T")

PROTOCOL_VERSION = 1
REPLY_DEADLINE_S = 60.0
QUIT_DEADLINE_S = 1.0
# What the worker reads of a file at once, and what is read of a program's output.
PART_BYTES = 256 * 1024
LARGEST_FILE_BYTES = 64 * 1024 * 1024
_NS = 1_000_000_000
_REPLY_TO = {"ping": "pong", "loaded": "loaded", "start": "started", "read": "text", "write": "written"}


@dataclass(frozen=True)
class Hello:
    """What a worker says when it is ready; `memory_bytes` is what its kernel calls physical memory."""

    version: int
    pid: int
    page_bytes: int
    cpus: int
    memory_bytes: int


@dataclass(frozen=True)
class _Question:
    """A command that waits for its reply, and the type that reply must have."""

    reply_type: str
    reply: asyncio.Future[Message]


class WorkerClient:
    """One worker, by the name of its instance. Every wait has a deadline; every failure is an InstanceError."""

    def __init__(self, channel: Channel, instance: str, *, closing_grace_s: float = 0.0) -> None:
        """Start reading. When the channel closes, wait `closing_grace_s` for fail() to say why before saying only that."""
        loop = asyncio.get_running_loop()
        self.instance = instance
        self._closing_grace_s = closing_grace_s
        self._channel = channel
        self._ids = itertools.count(1)
        self._questions: dict[int, _Question] = {}
        self._given_up: set[int] = set()
        self._hello: asyncio.Future[Message] = loop.create_future()
        self._done: asyncio.Future[None] = loop.create_future()
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        self._early_events: list[EventLine] = []
        self._on_event: Callable[[EventLine], None] = self._early_events.append
        self.on_waiting: Callable[[int, int], None] = _ignore_waiting
        self._offset: ClockOffset | None = None
        self._zero_s: float | None = None
        self._reader = asyncio.create_task(self._read_lines())

    async def wait_ready(self, deadline_s: float) -> Hello:
        """Wait for the worker's first line, at most `deadline_s` seconds."""
        said = await self._wait(self._hello, deadline_s, "did not say that it is ready")
        if said["version"] != PROTOCOL_VERSION:
            raise self._error(f"speaks version {said['version']} of the protocol, not {PROTOCOL_VERSION}")
        return Hello(*(said[key] for key in ("version", "pid", "page_bytes", "cpus", "memory_bytes")))

    async def ping(self, count: int = 8) -> ClockOffset:
        """Measure the worker's clock against this host's time.monotonic(); the shortest of `count` round trips wins."""
        offsets = [await self._ping_once() for _ in range(count)]
        self._offset = min(offsets, key=lambda o: o.uncertainty_s)
        return self._offset

    async def load(self, schedules: Sequence[ProcessSchedule]) -> None:
        """Send the schedules and have the worker count them; InstanceError for an argument it cannot be told."""
        for schedule in schedules:
            for step in schedule.steps:
                self._check_arguments(step)
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
                    **_extras(step),
                )
        loaded = await self._ask("loaded")
        expected = sum(len(s.steps) for s in schedules)
        if loaded["steps"] != expected:
            raise self._error(f"took {loaded['steps']} of {expected} steps")

    async def start(self, zero_s: float) -> None:
        """Have every process wait for `zero_s`, an instant of this host's time.monotonic(). Needs a ping before."""
        if self._offset is None:
            raise ValueError("ping() comes before start()")
        self._zero_s = zero_s
        await self._ask("start", zero_ns=round((zero_s + self._offset.offset_s) * _NS))

    async def wait_done(self, on_event: Callable[[EventLine], None], deadline_s: float) -> None:
        """Hand over every event until all processes have ended, at most `deadline_s` seconds.

        Raises InstanceError as soon as a process was killed (SIGKILL is usually the OOM killer), and what `on_event`
        raises.
        """
        self._on_event = on_event
        while self._early_events:
            on_event(self._early_events.pop(0))
        await self._wait(self._done, deadline_s, "did not finish its schedule")

    async def read_text(self, path: str) -> str | None:
        """Read a file of at most 256 KiB where the worker runs; None when it cannot be read."""
        reply = await self._ask("read", path=path)
        return reply["text"].decode("utf-8", "replace") if "text" in reply else None

    async def read_whole(self, path: str, limit_bytes: int = LARGEST_FILE_BYTES) -> bytes | None:
        """Read a file part by part, its first `limit_bytes` at most; None when it cannot be read."""
        whole = bytearray()
        while len(whole) < limit_bytes:
            reply = await self._ask("read", path=path, offset=len(whole))
            if "text" not in reply:
                return None
            whole += reply["text"]
            if len(reply["text"]) < PART_BYTES:
                break
        return bytes(whole[:limit_bytes])

    async def go(self, process: int, at_s: float) -> None:
        """Tell a process that waits at a barrier to go on at an instant of this host's time.monotonic()."""
        offset_s = self._offset.offset_s if self._offset else 0.0
        await self._send(op="go", process=process, at_ns=round((at_s + offset_s) * _NS))

    async def write_text(self, path: str, text: str) -> None:
        """Write to a file that exists where the worker runs; InstanceError says why it cannot."""
        reply = await self._ask("write", path=path, text=text)
        if reply["errno"] != 0:
            raise self._error(f"cannot write {path}: {_describe_errno(reply['errno'])}")

    async def close(self) -> None:
        """Ask the worker to quit, close the channel and end every wait; never raises."""
        if self._failure is None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._send(op="quit"), QUIT_DEADLINE_S)
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._end(self._error("was closed"))
        with contextlib.suppress(OSError):
            await self._channel.close()

    def fail(self, error: InstanceError) -> None:
        """End every wait with `error`: the instance is known to have died."""
        self._end(error)

    def _end(self, error: Exception) -> None:
        if self._failure is not None:
            return
        self._failure = error
        self._failed.set()
        waiting: list[asyncio.Future[Any]] = [self._hello, self._done]
        for future in waiting + [q.reply for q in self._questions.values()]:
            _set_error(future, error)

    def _check_arguments(self, step: Step) -> None:
        for argument in step.argv:
            if "\n" in argument or "\0" in argument:
                raise self._error(
                    f"cannot be told the argument {argument[:80]!r}: it has a newline or a NUL",
                    hint="put the script into a file and run that",
                )

    async def _ping_once(self) -> ClockOffset:
        sent_s = time.monotonic()
        reply = await self._ask("ping")
        trip_s = time.monotonic() - sent_s
        return ClockOffset(reply["clock_ns"] / _NS - (sent_s + trip_s / 2), trip_s / 2)

    async def _ask(self, op: str, **arguments: str | int) -> Message:
        number = next(self._ids)
        question = _Question(_REPLY_TO[op], asyncio.get_running_loop().create_future())
        self._questions[number] = question
        try:
            await self._send(op=op, id=number, **arguments)
            return await self._wait(question.reply, REPLY_DEADLINE_S, f"did not answer {op!r}")
        finally:
            del self._questions[number]
            if not question.reply.done():
                self._given_up.add(number)

    async def _send(self, **message: str | int) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            async with asyncio.timeout(REPLY_DEADLINE_S):
                await self._channel.write_line(json.dumps(message).encode())
        except TimeoutError as error:
            raise self._error(f"did not take {message['op']!r} within {REPLY_DEADLINE_S:.0f} s") from error
        except OSError as error:
            raise await self._find_reason(error) from error

    async def _find_reason(self, error: OSError) -> Exception:
        """Give the reason why the channel cannot be written to, once it is known."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._failed.wait(), self._closing_grace_s)
        return self._failure or self._error(f"cannot be written to: {error}")

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
                self._take_line(line)
            reason = "closed its channel"
        except ValueError as error:
            self._end(self._error(f"wrote what is not the protocol: {error}"))
            return
        except OSError as error:
            reason = f"cannot be read from: {error}"
        await asyncio.sleep(self._closing_grace_s)
        self._end(self._error(reason))

    def _take_line(self, line: bytes) -> None:
        try:
            message = parse_message(line)
            if message["type"] == "error":
                raise ValueError(f"it complains: {message['message']}")  # noqa: TRY301 - it joins the others below
            self._take(message)
        except ValueError as error:
            raise ValueError(f"{_shorten(line)} ({error})") from error

    def _take(self, message: Message) -> None:
        kind = message["type"]
        if kind == "ready":
            self._take_hello(message)
        elif kind not in {"step", "waiting", "process-ended", "done"}:
            self._take_reply(message)
        elif self._zero_s is None:
            raise ValueError("it came before the start")
        elif kind == "step":
            event = self._build_event(message, self._zero_s)
            self._hand_over(lambda: self._on_event(event))
        elif kind == "waiting":
            self._hand_over(lambda: self.on_waiting(message["process"], message["index"]))
        elif kind == "process-ended":
            _set_error(self._done, self._describe_end(message))
        else:
            self._take_done(message)

    def _take_hello(self, message: Message) -> None:
        if self._hello.done():
            raise ValueError("it has been said before")
        self._hello.set_result(message)

    def _take_reply(self, message: Message) -> None:
        question = self._questions.get(message["id"])
        if question is not None and question.reply_type == message["type"] and not question.reply.done():
            question.reply.set_result(message)
        elif message["id"] in self._given_up:
            self._given_up.remove(message["id"])
        else:
            raise ValueError("it answers no question")

    def _take_done(self, message: Message) -> None:
        if message["failed"]:
            _set_error(self._done, self._error(f"lost {message['failed']} of its processes"))
        elif not self._done.done():
            self._done.set_result(None)

    def _hand_over(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to whoever waits, not to the reading task
            self._end(error)

    def _build_event(self, message: Message, zero_s: float) -> EventLine:
        offset_s = self._offset.offset_s if self._offset else 0.0
        start_s, end_s, planned_s = (
            message[key] / _NS - offset_s - zero_s for key in ("start_ns", "end_ns", "planned_ns")
        )
        return EventLine(
            t_s=start_s,
            end_s=end_s,
            instance=self.instance,
            process=message["process"],
            index=message["index"],
            iteration=message["iteration"],
            action=message["action"],
            bytes=message["bytes"],
            planned_s=planned_s,
            late_s=start_s - planned_s,
            wall_s=end_s - start_s,
            user_s=message["user_ns"] / _NS,
            system_s=message["system_ns"] / _NS,
            minor_faults=message["minor_faults"],
            major_faults=message["major_faults"],
            ok=message["ok"],
            error=message.get("error"),
            read_bytes=message.get("read_bytes"),
        )

    def _describe_end(self, message: Message) -> InstanceError:
        number = message["signal"]
        if number == 0:
            return self._error(
                f"lost its process {message['process']}: {message.get('error', 'no reason given')}"
            )
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hint = "SIGKILL is usually the OOM killer: give the instance more memory"
        return self._error(
            f"had its process {message['process']} ended by {name}",
            hint=hint if number == signal.SIGKILL else None,
        )

    def _error(self, words: str, hint: str | None = None) -> InstanceError:
        return InstanceError(f"the worker of {self.instance} {words}", hint=hint)


def _extras(step: Step) -> dict[str, str | int]:
    """Give what only some steps have: a program, a barrier."""
    extras: dict[str, str | int] = {"barrier": 1} if step.barrier else {}
    if step.argv:
        extras |= {"argv": "\n".join(step.argv), "timeout_ns": round(step.timeout_s * _NS)}
    return extras


def _ignore_waiting(process: int, index: int) -> None:
    del process, index


def _set_error(future: asyncio.Future[Any], error: Exception) -> None:
    """End a wait; that nobody may be waiting is no fault to be logged."""
    if not future.done():
        future.set_exception(error)
        future.exception()


def _describe_errno(number: int) -> str:
    return os.strerror(number) if 0 <= number < 4096 else f"error {number}"


def _shorten(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace").rstrip("\n")
    return repr(text if len(text) <= 80 else text[:80] + "...")

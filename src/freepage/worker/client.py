"""Speaks with one worker: docs/worker-protocol.md."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from freepage.aio import finish
from freepage.errors import FreepageError, InstanceError
from freepage.records import ClockOffset, EventLine
from freepage.worker.channel import RECONNECT_DEADLINE_S, Reconnected
from freepage.worker.messages import parse_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from freepage.records import ProcessSchedule, Step
    from freepage.worker.channel import Channel
    from freepage.worker.messages import Message

T = TypeVar("T")

PROTOCOL_VERSION = 2
REPLY_DEADLINE_S = 60.0
QUIT_DEADLINE_S = 1.0
# What the worker reads of a file at once, and what is read of a program's output.
PART_BYTES = 256 * 1024
LARGEST_FILE_BYTES = 64 * 1024 * 1024
# What the worker takes as one line, its newline included.
LONGEST_COMMAND_BYTES = 64 * 1024
# Steps that are sent before the worker is asked whether it has them: a serial console holds 4 KiB that nobody reads yet.
WINDOW_BYTES = 2048
LOAD_TRIES = 3
# Over a connection that breaks: what is read of a file at once (what is longer the worker does not keep), how often
# lost lines are asked for at most, and at least, so that a connection that died in silence is found out.
BREAKABLE_PART_BYTES = 32 * 1024
AGAIN_PAUSE_S = 1.0
KEEP_ALIVE_S = 20.0
_NS = 1_000_000_000
_REPLY_TO = {
    "ping": "pong",
    "loaded": "loaded",
    "start": "started",
    "go": "going",
    "read": "text",
}


@dataclass(frozen=True)
class Ready:
    """What a worker says when it is ready; `memory_bytes` is what its kernel calls physical memory."""

    version: int
    pid: int
    page_bytes: int
    cpus: int
    memory_bytes: int


@dataclass(frozen=True)
class _Question:
    """A command that waits for its reply, and the type that reply must have."""

    op: str
    line: bytes
    reply: asyncio.Future[Message]


class WorkerClient:
    """One worker, by the name of its instance. Every wait has a deadline; every failure is an InstanceError.

    Over a channel whose connection can break, what was lost is said again in both directions.
    """

    def __init__(self, channel: Channel, instance: str, *, closing_grace_s: float = 0.0) -> None:
        """Start reading. When the channel closes, wait `closing_grace_s` for fail() to say why before saying only that."""
        loop = asyncio.get_running_loop()
        self.instance = instance
        self._closing_grace_s = closing_grace_s
        self._channel = channel
        self._next_line = 1
        self._lost = asyncio.Event()
        self._recovery: asyncio.Task[None] | None = None
        self._complaint: str | None = None
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

    async def wait_ready(self, deadline_s: float) -> Ready:
        """Wait for the worker's first line, at most `deadline_s` seconds."""
        said = await self._wait(self._hello, deadline_s, "did not say that it is ready")
        if said["version"] != PROTOCOL_VERSION:
            raise self._error(f"speaks version {said['version']} of the protocol, not {PROTOCOL_VERSION}")
        return Ready(*(said[key] for key in ("version", "pid", "page_bytes", "cpus", "memory_bytes")))

    async def ping(self, count: int = 8) -> ClockOffset:
        """Measure the worker's clock against this host's time.monotonic(); the shortest of `count` round trips wins."""
        offsets = [await self._ping_once() for _ in range(count)]
        self._offset = min(offsets, key=lambda o: o.uncertainty_s)
        return self._offset

    async def load(self, schedules: Sequence[ProcessSchedule]) -> None:
        """Send the schedules and have the worker count them; InstanceError for an argument it cannot be told."""
        lines = [
            self._build_step(schedule.process, index, step)
            for schedule in schedules
            for index, step in enumerate(schedule.steps)
        ]
        told = 0
        for part in _split(lines, WINDOW_BYTES):
            told += len(part)
            await self._tell_steps(part, told)

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
            part_bytes = BREAKABLE_PART_BYTES if self._is_breakable else PART_BYTES
            reply = await self._ask("read", path=path, offset=len(whole), bytes=part_bytes)
            if "text" not in reply:
                return None
            whole += reply["text"]
            if len(reply["text"]) < part_bytes:
                break
        return bytes(whole[:limit_bytes])

    async def go(self, process: int, index: int, at_s: float) -> None:
        """Tell a process that waits before its step `index` to go on at an instant of this host's time.monotonic()."""
        offset_s = self._offset.offset_s if self._offset else 0.0
        await self._ask("go", process=process, index=index, at_ns=round((at_s + offset_s) * _NS))

    async def close(self) -> None:
        """Ask the worker to quit, close the channel and end every wait; raises nothing but a cancellation."""
        try:
            if self._failure is None:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(QUIT_DEADLINE_S):
                        await self._send("quit", _encode(op="quit"))
        finally:
            await finish(self._close())

    async def _close(self) -> None:
        tasks = [task for task in (self._reader, self._recovery) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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

    def _build_step(self, process: int, index: int, step: Step) -> bytes:
        self._check_arguments(step)
        return _encode(
            op="step",
            process=process,
            index=index,
            at_ns=round(step.at_s * _NS),
            action=step.action.value,
            bytes=step.bytes,
            iteration=step.iteration,
            scan=step.scan,
            stride=step.stride_bytes,
            seed=step.seed,
            **_extras(step),
        )

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
        question = _Question(
            op, _encode(op=op, id=number, **arguments), asyncio.get_running_loop().create_future()
        )
        self._questions[number] = question
        deadline_s = REPLY_DEADLINE_S + (RECONNECT_DEADLINE_S if self._is_breakable else 0.0)
        try:
            await self._send(op, question.line)
            return await self._wait(question.reply, deadline_s, f"did not answer {op!r}")
        finally:
            del self._questions[number]
            if not question.reply.done():
                self._given_up.add(number)

    async def _tell_steps(self, lines: Sequence[bytes], expected: int) -> None:
        """Send steps, after which the worker has `expected`; once more where some of them may have been lost."""
        for _ in range(LOAD_TRIES if self._is_breakable else 1):
            for line in lines:
                await self._send("step", line)
            loaded = await self._ask("loaded")
            if loaded["steps"] == expected:
                return
        complaint = f"; it complains: {self._complaint}" if self._complaint else ""
        raise self._error(f"took {loaded['steps']} of {expected} steps{complaint}")

    async def _send(self, op: str, line: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        if len(line) >= LONGEST_COMMAND_BYTES:
            raise self._error(
                f"cannot be told {op!r}: as a line it has {len(line)} bytes",
                hint="a program's arguments have to fit into 64 KiB",
            )
        try:
            async with asyncio.timeout(REPLY_DEADLINE_S):
                await self._channel.write_line(line)
        except TimeoutError as error:
            raise self._error(f"did not take {op!r} within {REPLY_DEADLINE_S:.0f} s") from error
        except OSError as error:
            raise await self._find_reason(error) from error

    async def _find_reason(self, error: OSError) -> Exception:
        """Give the reason why the channel cannot be written to, once it is known."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._closing_grace_s):
                await self._failed.wait()
        return self._failure or self._error(f"cannot be written to: {error}")

    async def _wait(self, future: asyncio.Future[T], deadline_s: float, complaint: str) -> T:
        if self._failure is not None and not future.done():
            raise self._failure
        try:
            async with asyncio.timeout(max(deadline_s, 0)):
                return await asyncio.shield(future)
        except TimeoutError as error:
            raise self._error(f"{complaint} within {deadline_s:.0f} s") from error

    async def _read_lines(self) -> None:
        try:
            while line := await self._read_line():
                self._take_line(line)
            reason = "closed its channel"
        except ValueError as error:
            self._end(self._error(f"wrote what is not the protocol: {error}"))
            return
        except FreepageError as error:
            self._end(self._error(f"cannot be reached: {error.message}", hint=error.hint))
            return
        except OSError as error:
            reason = f"cannot be read from: {error}"
        await asyncio.sleep(self._closing_grace_s)
        self._end(self._error(reason))

    async def _read_line(self) -> bytes:
        while True:
            try:
                return await self._channel.read_line()
            except Reconnected:
                self._lost.set()
                if self._recovery is None:
                    self._recovery = asyncio.create_task(self._recover())

    @property
    def _is_breakable(self) -> bool:
        """Whether the channel's connection can break; it has said so by its first one."""
        return self._recovery is not None

    async def _recover(self) -> None:
        """Ask again for lines that were lost and repeat every question without an answer: none does harm twice."""
        with contextlib.suppress(InstanceError):
            while True:
                self._lost.clear()
                again = _encode(op="again", id=next(self._ids), **{"from": self._next_line})
                for line in (again, *(q.line for q in self._questions.values())):
                    await self._send("again", line)
                await asyncio.sleep(AGAIN_PAUSE_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KEEP_ALIVE_S):
                        await self._lost.wait()

    def _take_line(self, line: bytes) -> None:
        try:
            message = parse_message(line)
        except ValueError as error:
            if not self._channel.refuse(line):
                raise ValueError(f"{_shorten(line)} ({error})") from error
            # One of the worker's may be broken in it. Before its first, a login prompt may take what is asked.
            if self._hello.done() or b'"n"' in line:
                self._lost.set()
            return
        try:
            if self._is_next(message):
                self._next_line += 1
                self._take(message)
        except ValueError as error:
            raise ValueError(f"{_shorten(line)} ({error})") from error

    def _is_next(self, message: Message) -> bool:
        """Say whether a line is the one that has to come now, rather than one that was said again or came too early."""
        if message["n"] == self._next_line:
            return True
        if not self._is_breakable:
            raise ValueError(f"it should be line {self._next_line}")
        if message["n"] > self._next_line:
            self._lost.set()
        elif message["type"] == "ready" and not (self._hello.done() and message == self._hello.result()):
            self._end(self._error("was started anew", hint="its guest or container has restarted"))
        return False

    def _take(self, message: Message) -> None:
        kind = message["type"]
        if kind == "ready":
            self._take_hello(message)
        elif kind == "error":
            self._take_complaint(message)
        elif kind == "forgotten":
            self._lost.set()
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

    def _take_complaint(self, message: Message) -> None:
        """End with what the worker complains of, unless it got part of a line around a break."""
        if "id" in message or not self._is_breakable:
            raise ValueError(f"it complains: {message['message']}")
        self._complaint = message["message"]

    def _take_hello(self, message: Message) -> None:
        if self._hello.done():
            raise ValueError("it has been said before")
        self._hello.set_result(message)

    def _take_reply(self, message: Message) -> None:
        question = self._questions.get(message["id"])
        if question is not None and _REPLY_TO[question.op] == message["type"] and not question.reply.done():
            question.reply.set_result(message)
        elif message["id"] in self._given_up:
            self._given_up.remove(message["id"])
        elif not self._is_breakable:
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


def _encode(**command: str | int) -> bytes:
    return json.dumps(command, separators=(",", ":")).encode()


def _split(lines: Sequence[bytes], size_bytes: int) -> Iterator[list[bytes]]:
    """Give the lines in parts of at most `size_bytes`, newlines included; one that is longer is a part of its own."""
    part: list[bytes] = []
    for line in lines:
        if part and sum(len(taken) + 1 for taken in part) + len(line) + 1 > size_bytes:
            yield part
            part = []
        part.append(line)
    if part:
        yield part


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


def _shorten(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace").rstrip("\n")
    return repr(text if len(text) <= 80 else text[:80] + "...")

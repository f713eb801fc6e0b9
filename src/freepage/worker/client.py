"""Requests to one worker, and its replies: docs/worker-protocol.md."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from freepage.aio import finish
from freepage.records import ClockOffset
from freepage.units import KIB, MIB
from freepage.worker.commands import (
    NS_PER_S,
    build_command,
    build_step,
    find_unsendable_argument,
    split_lines,
)
from freepage.worker.events import build_event, describe_process_end
from freepage.worker.messages import PROTOCOL_VERSION, Ready
from freepage.worker.recovery import open_session
from freepage.worker.session import set_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freepage.errors import InstanceError
    from freepage.records import EventLine, ProcessSchedule, Step
    from freepage.worker.channel import Channel
    from freepage.worker.messages import Message

QUIT_DEADLINE_S = 1.0
# What is read of a file at once: of a line much longer the worker keeps only the number.
PART_BYTES = 32 * KIB
LARGEST_FILE_BYTES = 64 * MIB
# Steps that are sent before the worker is asked whether it has them: a serial console holds 4 KiB that nobody reads yet.
WINDOW_BYTES = 2 * KIB
LOAD_ATTEMPTS = 3


class WorkerClient:
    """One worker, by the name of its instance. Every wait has a deadline; every failure is an InstanceError."""

    def __init__(self, channel: Channel, instance: str, *, closing_grace_s: float = 0.0) -> None:
        """Start reading. When the channel closes, wait `closing_grace_s` for fail() to name the reason before failing."""
        self.instance = instance
        self.on_waiting: Callable[[int, int], None] = _ignore_waiting
        self._session = open_session(channel, instance, self._take, closing_grace_s=closing_grace_s)
        self._ready: asyncio.Future[Message] = self._session.create_wait()
        self._done: asyncio.Future[None] = self._session.create_wait()
        self._early_events: list[EventLine] = []
        self._on_event: Callable[[EventLine], None] = self._early_events.append
        self._offset: ClockOffset | None = None
        self._zero_s: float | None = None

    async def wait_ready(self, deadline_s: float) -> Ready:
        """Wait for the worker's first line, at most `deadline_s` seconds."""
        ready = await self._session.wait(self._ready, deadline_s, "did not say that it is ready")
        if ready["version"] != PROTOCOL_VERSION:
            words = f"speaks version {ready['version']} of the protocol, not {PROTOCOL_VERSION}"
            raise self._session.error(words)
        return Ready(*(ready[key] for key in ("version", "pid", "page_bytes", "cpus", "memory_bytes")))

    @property
    def page_bytes(self) -> int | None:
        """Return the size of a page where the worker runs, as it said when it was ready; None before."""
        if not self._ready.done() or self._ready.cancelled() or self._ready.exception() is not None:
            return None
        return int(self._ready.result()["page_bytes"])

    async def ping(self, count: int = 8) -> ClockOffset:
        """Measure the worker's clock against this host's time.monotonic(); the shortest of `count` round trips wins."""
        offsets = [await self._ping_once() for _ in range(count)]
        self._offset = min(offsets, key=lambda o: o.uncertainty_s)
        return self._offset

    async def _ping_once(self) -> ClockOffset:
        sent_s = time.monotonic()
        reply = await self._session.request("ping")
        trip_s = time.monotonic() - sent_s
        return ClockOffset(reply["clock_ns"] / NS_PER_S - (sent_s + trip_s / 2), trip_s / 2)

    async def load(self, schedules: Sequence[ProcessSchedule]) -> None:
        """Send the schedules and have the worker count them; InstanceError for an argument it cannot be told."""
        lines = [
            self._build_step(schedule.process, index, step)
            for schedule in schedules
            for index, step in enumerate(schedule.steps)
        ]
        sent = 0
        for part in split_lines(lines, WINDOW_BYTES):
            sent += len(part)
            await self._send_steps(part, sent)

    def _build_step(self, process: int, index: int, step: Step) -> bytes:
        argument = find_unsendable_argument(step)
        if argument is not None:
            raise self._session.error(
                f"cannot be told the argument {argument[:80]!r}: it has a newline or a NUL",
                hint="put the script into a file and run that",
            )
        return build_step(process, index, step)

    async def _send_steps(self, lines: Sequence[bytes], expected: int) -> None:
        """Send steps, after which the worker has `expected`; again where some of them have been lost."""
        for _ in range(LOAD_ATTEMPTS):
            for line in lines:
                await self._session.send("step", line)
            loaded = await self._session.request("loaded")
            if loaded["steps"] == expected:
                return
        refusal = f"; it complains: {self._session.refusal}" if self._session.refusal else ""
        raise self._session.error(f"took {loaded['steps']} of {expected} steps{refusal}")

    async def start(self, zero_s: float) -> None:
        """Have every process wait for `zero_s`, an instant of this host's time.monotonic(). Needs a ping before."""
        if self._offset is None:
            raise ValueError("ping() comes before start()")
        self._zero_s = zero_s
        await self._session.request("start", zero_ns=self._on_worker_clock_ns(zero_s))

    async def go(self, process: int, index: int, at_s: float) -> None:
        """Have a process that waits before its step `index` go on at an instant of this host's time.monotonic()."""
        at_ns = self._on_worker_clock_ns(at_s)
        await self._session.request("go", process=process, index=index, at_ns=at_ns)

    def _on_worker_clock_ns(self, at_s: float) -> int:
        return round((at_s + (self._offset.offset_s if self._offset else 0.0)) * NS_PER_S)

    async def wait_done(self, on_event: Callable[[EventLine], None], deadline_s: float) -> None:
        """Hand over every event until all processes have ended, at most `deadline_s` seconds.

        Raises InstanceError as soon as a process was killed (SIGKILL is usually the OOM killer), and what `on_event`
        raises.
        """
        self._on_event = on_event
        while self._early_events:
            on_event(self._early_events.pop(0))
        await self._session.wait(self._done, deadline_s, "did not finish its schedule")

    async def read_text(self, path: str) -> str | None:
        """Read a file of at most 256 KiB where the worker runs; None when it cannot be read."""
        reply = await self._session.request("read", path=path)
        return reply["text"].decode("utf-8", "replace") if "text" in reply else None

    async def read_whole(self, path: str, limit_bytes: int = LARGEST_FILE_BYTES) -> bytes | None:
        """Read a file part by part, its first `limit_bytes` at most; None when it cannot be read."""
        whole = bytearray()
        while len(whole) < limit_bytes:
            reply = await self._session.request("read", path=path, offset=len(whole), bytes=PART_BYTES)
            if "text" not in reply:
                return None
            whole += reply["text"]
            if len(reply["text"]) < PART_BYTES:
                break
        return bytes(whole[:limit_bytes])

    def fail(self, error: InstanceError) -> None:
        """End every wait with `error`: the instance is known to have died."""
        self._session.fail(error)

    async def close(self) -> None:
        """Ask the worker to quit, close the channel and end every wait; raises nothing but a cancellation."""
        try:
            if self._session.failure is None:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(QUIT_DEADLINE_S):
                        await self._session.send("quit", build_command(op="quit"))
        finally:
            await finish(self._session.close())

    def _take(self, message: Message) -> None:
        if message["type"] == "ready":
            self._take_ready(message)
        elif self._zero_s is None:
            raise ValueError("it came before the start")
        elif message["type"] == "step":
            shift_s = self._zero_s + (self._offset.offset_s if self._offset else 0.0)
            self._hand_over(self._on_event, build_event(message, self.instance, shift_s))
        elif message["type"] == "waiting":
            self._hand_over(self.on_waiting, message["process"], message["index"])
        elif message["type"] == "process-ended":
            set_error(self._done, self._session.error(*describe_process_end(message)))
        elif message["type"] == "done":
            self._take_done(message)

    def _take_ready(self, message: Message) -> None:
        if self._ready.done():
            raise ValueError("it has been said before")
        self._ready.set_result(message)

    def _take_done(self, message: Message) -> None:
        if message["failed"]:
            set_error(self._done, self._session.error(f"lost {message['failed']} of its processes"))
        elif not self._done.done():
            self._done.set_result(None)

    def _hand_over(self, listener: Callable[..., None], *news: object) -> None:
        try:
            listener(*news)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to whoever waits, not to the reading task
            self._session.fail(error)


def _ignore_waiting(process: int, index: int) -> None:
    del process, index

"""Numbered lines from one worker and the requests it replies to, over a channel that loses none."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from freepage.errors import FreepageError, InstanceError
from freepage.worker.commands import LONGEST_COMMAND_BYTES, build_command
from freepage.worker.messages import REPLY_TO, parse_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.worker.channel import Channel
    from freepage.worker.messages import Message

T = TypeVar("T")

REPLY_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Request:
    """A command that waits for its reply."""

    op: str
    line: bytes
    reply: asyncio.Future[Message]


class Session:
    """The lines of one worker, in both directions. The first failure ends the session and every wait in it.

    `instance` names the worker in errors; `on_message` takes each message that is no reply and no error, in order, and
    raises ValueError for one that is not the protocol.
    """

    def __init__(
        self,
        channel: Channel,
        instance: str,
        on_message: Callable[[Message], None],
        *,
        closing_grace_s: float = 0.0,
    ) -> None:
        """Start reading. When the channel closes, wait `closing_grace_s` for fail() to name the reason before failing."""
        self.failure: Exception | None = None
        self.refusal: str | None = None
        self._channel = channel
        self._instance = instance
        self._on_message = on_message
        self._closing_grace_s = closing_grace_s
        self._next_number = 1
        self._ids = itertools.count(1)
        self._requests: dict[int, Request] = {}
        self._abandoned: set[int] = set()
        self._waits: list[asyncio.Future[Any]] = []
        self._failed = asyncio.Event()
        self._reader = asyncio.create_task(self._read_lines())

    @property
    def reply_deadline_s(self) -> float:
        return REPLY_DEADLINE_S

    def error(self, words: str, hint: str | None = None) -> InstanceError:
        return InstanceError(f"the worker of {self._instance} {words}", hint=hint)

    def fail(self, error: Exception) -> None:
        """End the session and every wait in it with `error`, unless it has failed before."""
        if self.failure is not None:
            return
        self.failure = error
        self._failed.set()
        for future in self._waits + [request.reply for request in self._requests.values()]:
            set_error(future, error)

    async def close(self) -> None:
        """Stop reading, fail and close the channel."""
        await self._stop()
        self.fail(self.error("was closed"))
        with contextlib.suppress(OSError):
            await self._channel.close()

    async def _stop(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    # ---- waiting and asking

    def create_wait(self) -> asyncio.Future[Any]:
        """Return a future that the session's failure ends."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waits.append(future)
        return future

    async def wait(self, future: asyncio.Future[T], deadline_s: float, failing: str) -> T:
        """Wait for a future, at most `deadline_s` seconds; InstanceError with the words `failing` after them."""
        if self.failure is not None and not future.done():
            raise self.failure
        try:
            async with asyncio.timeout(max(deadline_s, 0)):
                return await asyncio.shield(future)
        except TimeoutError as error:
            raise self.error(f"{failing} within {deadline_s:.0f} s") from error

    async def request(self, op: str, **arguments: str | int) -> Message:
        """Send a command and return the worker's reply."""
        number = next(self._ids)
        reply = asyncio.get_running_loop().create_future()
        request = Request(op, build_command(op=op, id=number, **arguments), reply)
        self._requests[number] = request
        try:
            await self.send(op, request.line)
            return await self.wait(request.reply, self.reply_deadline_s, f"did not answer {op!r}")
        finally:
            del self._requests[number]
            if not request.reply.done():
                self._abandoned.add(number)

    async def send(self, op: str, line: bytes) -> None:
        """Send a line; InstanceError where it is too long, nobody takes it in time, or the session has failed."""
        if self.failure is not None:
            raise self.failure
        if len(line) >= LONGEST_COMMAND_BYTES:
            raise self.error(
                f"cannot be told {op!r}: as a line it has {len(line)} bytes",
                hint="a program's arguments have to fit into 64 KiB",
            )
        try:
            async with asyncio.timeout(REPLY_DEADLINE_S):
                await self._channel.write_line(line)
        except TimeoutError as error:
            raise self.error(f"did not take {op!r} within {REPLY_DEADLINE_S:.0f} s") from error
        except OSError as error:
            raise await self._find_reason(error) from error

    async def _find_reason(self, error: OSError) -> Exception:
        """Return why the channel cannot be written to, once it is known."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._closing_grace_s):
                await self._failed.wait()
        return self.failure or self.error(f"cannot be written to: {error}")

    # ---- reading

    async def _read_lines(self) -> None:
        try:
            while line := await self._read_line():
                self._take_line(line)
            reason = "closed its channel"
        except ValueError as error:
            self.fail(self.error(f"wrote what is not the protocol: {error}"))
            return
        except FreepageError as error:
            self.fail(self.error(f"cannot be reached: {error.message}", hint=error.hint))
            return
        except OSError as error:
            reason = f"cannot be read from: {error}"
        await asyncio.sleep(self._closing_grace_s)
        self.fail(self.error(reason))

    async def _read_line(self) -> bytes:
        return await self._channel.read_line()

    def _take_line(self, line: bytes) -> None:
        try:
            message = parse_message(line)
        except ValueError as error:
            self._take_garbage(line, error)
            return
        try:
            if self._is_next(message):
                self._next_number += 1
                self._take(message)
        except ValueError as error:
            raise _show(line, error) from error

    def _take(self, message: Message) -> None:
        if message["type"] in REPLY_TO.values():
            self._take_reply(message)
        elif message["type"] == "error":
            self._take_error(message)
        else:
            self._on_message(message)

    def _take_reply(self, message: Message) -> None:
        number = message["id"]
        request = self._requests.get(number)
        if request is not None and REPLY_TO[request.op] == message["type"] and not request.reply.done():
            request.reply.set_result(message)
        elif number in self._abandoned:
            self._abandoned.remove(number)
        else:
            self._take_stray_reply()

    # ---- what is an error here, and is not over a channel that loses lines

    def _is_next(self, message: Message) -> bool:
        """Return whether a message is the one that has to come now."""
        if message["n"] != self._next_number:
            raise ValueError(f"it should be line {self._next_number}")
        return True

    def _take_garbage(self, line: bytes, error: ValueError) -> None:
        raise _show(line, error) from error

    def _take_error(self, message: Message) -> None:
        raise ValueError(f"it complains: {message['message']}")

    def _take_stray_reply(self) -> None:
        raise ValueError("it answers no request")


def set_error(future: asyncio.Future[Any], error: Exception) -> None:
    """End a wait; that nobody may be waiting is no fault to be logged."""
    if not future.done():
        future.set_exception(error)
        future.exception()


def _show(line: bytes, error: ValueError) -> ValueError:
    text = line.decode("utf-8", "backslashreplace").rstrip("\n")
    return ValueError(f"{text if len(text) <= 80 else text[:80] + '...'!r} ({error})")

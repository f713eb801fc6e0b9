"""A session over a channel whose connection breaks: docs/decisions/009-connections-that-break.md."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from freepage.errors import InstanceError
from freepage.worker.channel import RECONNECT_DEADLINE_S, BreakableChannel, Reconnected
from freepage.worker.commands import build_command
from freepage.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.worker.channel import Channel
    from freepage.worker.messages import Message

# How often lost lines are asked for at most, and at least, so that a connection that died in silence is found out.
AGAIN_PAUSE_S = 1.0
KEEP_ALIVE_S = 20.0


def open_session(
    channel: Channel, instance: str, on_message: Callable[[Message], None], *, closing_grace_s: float
) -> Session:
    """Return a session over a channel, one that recovers where the channel may lose lines."""
    if isinstance(channel, BreakableChannel):
        return RecoveringSession(channel, instance, on_message, closing_grace_s=closing_grace_s)
    return Session(channel, instance, on_message, closing_grace_s=closing_grace_s)


class RecoveringSession(Session):
    """A session in which lost lines are sent again in both directions; no command does harm when it is repeated."""

    def __init__(
        self,
        channel: BreakableChannel,
        instance: str,
        on_message: Callable[[Message], None],
        *,
        closing_grace_s: float = 0.0,
    ) -> None:
        super().__init__(channel, instance, on_message, closing_grace_s=closing_grace_s)
        self._breakable = channel
        self._first: Message | None = None
        self._lost = asyncio.Event()
        self._recovery = asyncio.create_task(self._recover())

    @property
    def reply_deadline_s(self) -> float:
        return super().reply_deadline_s + RECONNECT_DEADLINE_S

    async def _stop(self) -> None:
        self._recovery.cancel()
        await asyncio.gather(self._recovery, return_exceptions=True)
        await super()._stop()

    async def _read_line(self) -> bytes:
        while True:
            try:
                return await self._channel.read_line()
            except Reconnected:
                self._lost.set()

    async def _recover(self) -> None:
        """Ask again for lines that were lost, and repeat every request without a reply, from the first connection on."""
        await self._lost.wait()
        with contextlib.suppress(InstanceError):
            while True:
                self._lost.clear()
                await self._ask_again()
                await asyncio.sleep(AGAIN_PAUSE_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KEEP_ALIVE_S):
                        await self._lost.wait()

    async def _ask_again(self) -> None:
        again = build_command(op="again", id=next(self._ids), **{"from": self._next_number})
        for line in (again, *(request.line for request in self._requests.values())):
            await self.send("again", line)

    def _is_next(self, message: Message) -> bool:
        """Return whether a message is the one that has to come now, not one sent again or after one that was lost."""
        if message["n"] > self._next_number:
            self._lost.set()
        elif message["n"] < self._next_number and message["type"] == "ready" and message != self._first:
            self.fail(self.error("was started anew", hint="its guest or container has restarted"))
        return bool(message["n"] == self._next_number)

    def _take(self, message: Message) -> None:
        if self._first is None:
            self._first = message
        if message["type"] == "forgotten":
            self._lost.set()
        else:
            super()._take(message)

    def _take_garbage(self, line: bytes, error: ValueError) -> None:
        """Pass on a line of others, in which one of the worker's may be broken.

        Before the worker's first line, a login prompt may take what is asked: nothing is then, without need.
        """
        del error
        self._breakable.pass_on(line)
        if self._first is not None or b'"n"' in line:
            self._lost.set()

    def _take_error(self, message: Message) -> None:
        """Keep what the worker refuses: it may have got part of a line around a break. Of a whole command it is an error."""
        if "id" in message:
            super()._take_error(message)
        self.refusal = message["message"]

    def _take_stray_reply(self) -> None:
        """Leave aside the second reply to a request that was repeated."""

"""Work without an end of its own: controllers, which look at an object again whenever something about it changed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

NamespacedName = tuple[str, str]


class WorkQueue:
    """Calls `look(namespace, name)` for what was touched: one call at a time for each, many side by side.

    A call that gives a number of seconds is repeated after them.
    """

    def __init__(self, look: Callable[[str, str], Awaitable[float | None]]) -> None:
        self._look = look
        self._group: asyncio.TaskGroup | None = None
        self._busy: dict[NamespacedName, bool] = {}

    async def run(self) -> None:
        """Do the work until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.Event().wait()

    def touch(self, name: NamespacedName) -> None:
        """Have an object looked at, once more when that is being done already."""
        if name in self._busy:
            self._busy[name] = True
        elif self._group is not None:
            self._busy[name] = False
            self._group.create_task(self._work(name))

    async def _work(self, name: NamespacedName) -> None:
        again = True
        while again:
            self._busy[name] = False
            pause_s = await self._look(*name)
            if pause_s is not None:
                asyncio.get_running_loop().call_later(pause_s, self.touch, name)
            again = self._busy[name]
        del self._busy[name]


@asynccontextmanager
async def run_alongside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run what has no end of its own to the end of the block; what fails there ends the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in work]
        yield
        for task in tasks:
            task.cancel()

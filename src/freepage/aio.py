"""Running coroutines side by side, and to their end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from freepage.errors import FreepageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")


async def run_together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Return the results of coroutines that run side by side, in order.

    The first error cancels the rest and is raised once they have cleaned up.
    """
    tasks = [asyncio.create_task(w) for w in work]
    try:
        await _wait_for_first_error(tasks)
    finally:
        # Not a TaskGroup, which in Python 3.11 forgets a cancellation that comes while the rest cleans up.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


async def _wait_for_first_error(tasks: Sequence[asyncio.Task[T]]) -> None:
    """Wait until all have their results; raise the first error, one of ours before others that came with it."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION) if tasks else (set(), None)
    errors = [e for e in (t.exception() for t in done if not t.cancelled()) if e is not None]
    if errors:
        raise next((e for e in errors if isinstance(e, FreepageError)), errors[0])


@asynccontextmanager
async def open_together(
    contexts: Sequence[AbstractAsyncContextManager[T]], slots: asyncio.Semaphore
) -> AsyncIterator[list[T]]:
    """Enter contexts side by side, as many at once as there are slots, and leave them all side by side."""
    stacks = [AsyncExitStack() for _ in contexts]

    async def enter(context: AbstractAsyncContextManager[T], stack: AsyncExitStack) -> T:
        async with slots:
            return await stack.enter_async_context(context)

    try:
        yield await run_together(*map(enter, contexts, stacks))
    finally:
        ends = await asyncio.gather(*(stack.aclose() for stack in stacks), return_exceptions=True)
        for error in filter(None, ends):
            raise error


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of work that a cancellation does not end; it is raised afterwards, and a second one ends it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise

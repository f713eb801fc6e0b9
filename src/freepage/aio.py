"""Running coroutines side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from freepage.errors import FreepageError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


async def run_together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Run coroutines side by side and give their results in order.

    The first FreepageError cancels the rest and is raised as itself.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(w) for w in work]
    except BaseExceptionGroup as errors:
        ours = errors.subgroup(FreepageError)
        raise (_first(ours) if ours else errors) from errors
    return [t.result() for t in tasks]


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first

"""Polling a cluster until a condition holds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def poll(ask: Callable[[], Awaitable[T | None]], deadline_s: float, pause_s: float = 1.0) -> T | None:
    """Poll every `pause_s` seconds until there is an answer; None when there was none after `deadline_s` seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(deadline_s):
            while (answer := await ask()) is None:  # noqa: ASYNC110 - it is another program that changes
                await asyncio.sleep(pause_s)
            return answer
    return None

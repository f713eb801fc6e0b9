"""Retries of calls on an API server: which failures, how often, and with which pauses."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVar

from freepage.kube.errors import CertificateError, ClusterError, NotConnectedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

ATTEMPTS = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


async def retry(attempt: Callable[[], Awaitable[T]], *, safe: bool, attempts: int = ATTEMPTS) -> T:
    """Attempt until it succeeds, with growing pauses, as long as a retry can help and do no harm."""
    for failures in range(1, attempts):
        try:
            return await attempt()
        except ClusterError as error:
            if not may_retry(error, safe=safe):
                raise
            await asyncio.sleep(find_pause(failures, error))
    return await attempt()


def may_retry(error: ClusterError, *, safe: bool) -> bool:
    """Return whether a call may be retried; `safe`: even if the server did what was asked."""
    if error.status == 429 or isinstance(error, NotConnectedError):
        return True
    lost = isinstance(error, UnreachableError) and not isinstance(error, CertificateError)
    return safe and (lost or (error.status or 0) >= 500)


def find_pause(failures: int, error: ClusterError | None = None) -> float:
    """Return the pause (s) after so many failures in a row: the server's wish, else doubling, spread by a half."""
    if error is not None and error.retry_after_s is not None:
        return min(error.retry_after_s, LONGEST_PAUSE_S) + random.uniform(0, 0.1 * FIRST_PAUSE_S)
    return min(FIRST_PAUSE_S * 2.0 ** (failures - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1.5)

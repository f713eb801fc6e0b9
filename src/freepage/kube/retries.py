"""Retries of calls on an API server: which failures, how often, and with which pauses."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, TypeVar

from freepage.kube.errors import (
    CertificateError,
    ClusterError,
    NotConnectedError,
    SilentError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

ATTEMPTS = 5
# With growing pauses, as those below, a minute and a half: the time in which a single API server is replaced.
STREAM_ATTEMPTS = 8
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
# The longest pause after an early refusal counts as so many failures.
_EARLY_FAILURES = 2


class Retries:
    """The failures of one call, or of one stream that is opened again, in a row.

    attempts: how many may fail; deadline_s: more of them until so long after the first (s). relayed: the server passes the
    call on to a node, whose failure is not tried again. Early refusals are not counted: kube/rights.py says when they are
    none any more.
    """

    def __init__(self, attempts: int = ATTEMPTS, *, deadline_s: float = 0.0, relayed: bool = False) -> None:
        self._attempts = attempts
        self._deadline_s = deadline_s
        self._relayed = relayed
        self._failures = 0
        self._early = 0
        self._first_s = 0.0

    def start_over(self) -> None:
        """Forget the failures: an attempt has succeeded."""
        self._failures = self._early = 0

    def find_pause(self, error: ClusterError, *, safe: bool) -> float:
        """Count a failure and return the pause (s) before the next attempt; the error itself is raised where there should be none.

        safe: whether the call may be repeated even if the server did what was asked.
        """
        if error.early:
            self._early += 1
            return find_pause(min(self._early, _EARLY_FAILURES))
        self._failures += 1
        if self._failures == 1:
            self._first_s = time.monotonic()
        over = self._failures >= self._attempts and time.monotonic() - self._first_s >= self._deadline_s
        if over or not may_retry(error, safe=safe) or (self._relayed and is_of_node(error)):
            raise error
        return find_pause(self._failures, error)


async def retry(attempt: Callable[[], Awaitable[T]], *, safe: bool, retries: Retries | None = None) -> T:
    """Attempt until it succeeds, with growing pauses, as long as a retry can help and do no harm."""
    retries = retries or Retries()
    while True:
        try:
            return await attempt()
        except ClusterError as error:
            pause_s = retries.find_pause(error, safe=safe)
        await asyncio.sleep(pause_s)


def may_retry(error: ClusterError, *, safe: bool) -> bool:
    """Return whether a call may be retried; `safe`: even if the server did what was asked.

    A server that names a time to come back has not done it.
    """
    if error.status == 429 or isinstance(error, NotConnectedError):
        return True
    lost = isinstance(error, UnreachableError) and not isinstance(error, CertificateError)
    failed = (error.status or 0) >= 500
    return (safe and (lost or failed)) or (error.status == 503 and error.retry_after_s is not None)


def is_of_node(error: ClusterError) -> bool:
    """Return whether a call that the server passes on to a node has failed there: the server answers, or waits for the node."""
    return isinstance(error, SilentError) or error.status == 500


def find_pause(failures: int, error: ClusterError | None = None) -> float:
    """Return the pause (s) after so many failures in a row: the server's wish, else doubling, spread by a half."""
    if error is not None and error.retry_after_s is not None:
        return min(error.retry_after_s, LONGEST_PAUSE_S) + random.uniform(0, 0.1 * FIRST_PAUSE_S)
    return min(FIRST_PAUSE_S * 2.0 ** (failures - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1.5)

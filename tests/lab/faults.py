"""Faults of a cluster that the tests ask for.

Asked by POST /-/faults with the admin's token and one JSON object:

    {"answer": 503, "times": 3, "method": "GET", "path": "regular expression", "retry_after_s": 1}
    {"answer": 403, "upgrade": true}                  refuses websockets only
    {"busy": true, "times": 3, "retry_after_s": 1}    429 by priority and fairness: not for watches, logs, exec and attach
    {"restart": {"away_s": 2, "early_s": 4}}          starts the API server anew: connections are cut and refused, then who is
                                                      no admin gets 403 while it is not ready; "unknown_s": 401 for accounts
    {"slow_s": 0.5, "path": "/log"}                   answers later
    {"cut": true, "times": 1, "method": "POST"}       does what is asked, and drops the connection without an answer
    {"drop": "watch"}                                 drops open streams now: watch, log, websocket or all
    {"expire": "TOKEN"}, {"expire": null}             ends a token, or all of service accounts'
    {"forget": true}                                  watches cannot start from versions before now
    {"lose": "node-0"}                                switches a real node off

`times` is without end where it is not given; `method` and `path` match everything. Parts of the cluster add their own by
`Faults.add`. DELETE /-/faults ends them all; GET /-/requests lists what was asked since the last DELETE of it; POST
/-/tokens {"user": ..., "groups": [...], "lasts_s": 5} gives a token.
"""

from __future__ import annotations

import inspect
import re
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.statuses import StatusError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from lab.seams import Object

# HTTP's code: the reason Kubernetes gives with it.
REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
WORDS = {
    429: "too many requests, please try again later",
    500: "Internal error occurred: etcdserver: leader changed",
    503: "the server is currently unable to handle the request",
}


# What waits in no queue.
LONG_RUNNING = re.compile(r"/(log|exec|attach)(\?|$)|[?&]watch=(true|1)")


@dataclass
class Fault:
    """One fault that waits for the requests it is meant for."""

    times: float = float("inf")
    method: str = ".*"
    path: str = ""
    upgrade: bool = False
    answer: int | None = None
    reason: str | None = None
    message: str | None = None
    retry_after_s: int | None = None
    slow_s: float = 0.0
    cut: bool = False
    busy: bool = False

    def fits(self, request: web.Request) -> bool:
        upgrades = "upgrade" in request.headers.get("Connection", "").lower()
        return (
            self.times > 0
            and re.fullmatch(self.method, request.method) is not None
            and re.search(self.path, request.path_qs) is not None
            and (upgrades or not self.upgrade)
            and not (self.busy and LONG_RUNNING.search(request.path_qs))
        )

    def refusal(self) -> StatusError | None:
        if self.answer is None:
            return None
        return StatusError(
            self.answer,
            self.reason or REASONS[self.answer],
            self.message or WORDS.get(self.answer, REASONS[self.answer]),
            retry_after_s=self.retry_after_s,
        )


class Faults:
    """The faults in force, and the requests seen."""

    def __init__(self) -> None:
        self.requests: deque[Object] = deque(maxlen=20000)
        self._waiting: list[Fault] = []
        self._immediate: dict[str, Callable[[Any], Any]] = {}

    def add(self, name: str, do: Callable[[Any], Any]) -> None:
        """Let {name: argument} call `do(argument)`, a coroutine or not; what it gives is the answer."""
        self._immediate[name] = do

    async def command(self, wish: Object) -> Object:
        """Carry out one POST."""
        for name, do in self._immediate.items():
            if name in wish:
                done = do(wish[name])
                return {"done": await done if inspect.isawaitable(done) else done}
        try:
            self._waiting.append(Fault(**wish))
        except TypeError as error:
            raise bad_request(str(error)) from error
        return {"done": None}

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, request: web.Request) -> Fault | None:
        """Return the first fault meant for a request, and count it."""
        for fault in self._waiting:
            if fault.fits(request):
                fault.times -= 1
                return fault
        return None


class OpenStreams:
    """The connections that stay open: watches, logs, websockets."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[str, web.Request]] = {}

    @contextmanager
    def opened(self, kind: str, request: web.Request) -> Iterator[None]:
        self._open[id(request)] = kind, request
        try:
            yield
        finally:
            del self._open[id(request)]

    def drop(self, kind: str) -> int:
        """Cut connections without a word, as a broken network does; return how many."""
        chosen = [request for known, request in self._open.values() if kind in (known, "all")]
        for request in chosen:
            cut(request)
        return len(chosen)


def cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()

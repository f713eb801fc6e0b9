"""Containers' logs: read as they are, or followed line by line over lost connections."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freepage.kube.call import LIST_LIMIT_S, build_call
from freepage.kube.errors import ClusterError, NotFoundError, SilentError
from freepage.kube.lines import split_lines
from freepage.kube.resources import PODS, dig
from freepage.kube.retries import STREAM_ATTEMPTS, Retries, find_pause

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from freepage.kube.call import Call
    from freepage.kube.connection import Connection

# A log that is silent for so long is asked for anew: over HTTP there is no other way to see whether it still comes.
QUIET_LIMIT_S = 120.0
STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")


@dataclass(frozen=True)
class LogLine:
    """One line of a container's log without its newline, and the node's wall clock when it was written (s since 1970)."""

    time_s: float
    text: str


class SecondDedup:
    """Drops the lines of a log that came already: it can be requested from a whole second on only.

    second: the newest second that a line came of (s since 1970).
    """

    def __init__(self) -> None:
        self.second: int | None = None
        self._counts: Counter[int] = Counter()
        self._again: Counter[int] = Counter()

    def start_over(self) -> None:
        """Expect the lines of the newest second once more."""
        self._again = self._counts.copy()

    def is_new(self, time_ns: int) -> bool:
        """Note a line by its time (ns), and return whether it has not come before."""
        if self._again[time_ns]:
            self._again[time_ns] -= 1
            return False
        if self.second is not None and time_ns // 1_000_000_000 < self.second:
            # The clock went back; such a line does not come again.
            return True
        if time_ns // 1_000_000_000 != self.second:
            self.second = time_ns // 1_000_000_000
            self._counts.clear()
        self._counts[time_ns] += 1
        return True


async def read_log(
    connection: Connection,
    pod: str,
    *,
    namespace: str,
    container: str,
    tail_lines: int | None,
    limit_bytes: int | None,
    limit_s: float | None,
) -> str:
    """Read a log as it is; within limit_s (s), where that is given, and then not again where its node does not answer."""
    query = {
        "container": container,
        "tailLines": None if tail_lines is None else str(tail_lines),
        "limitBytes": None if limit_bytes is None else str(limit_bytes),
    }
    call = build_call(
        "get",
        PODS,
        namespace=namespace,
        name=pod,
        subresource="log",
        query=query,
        limit_s=limit_s or LIST_LIMIT_S,
    )
    return (await connection.fetch(call, Retries(relayed=limit_s is not None))).decode(errors="replace")


def follow_log(
    connection: Connection, pod: str, *, namespace: str, container: str
) -> AsyncGenerator[LogLine, None]:
    """Yield each line of a container's log once, until the container has ended."""
    return _Follower(connection, pod, namespace, container).follow()


class _Follower:
    """The position in a container's log, over any number of connections."""

    def __init__(self, connection: Connection, pod: str, namespace: str, container: str) -> None:
        self._connection = connection
        self._pod = pod
        self._namespace = namespace
        self._container = container
        self._dedup = SecondDedup()
        self._rest = b""
        self._begun = False
        self._retries = Retries(STREAM_ATTEMPTS)

    async def follow(self) -> AsyncGenerator[LogLine, None]:
        while True:
            whole = False
            try:
                # Silence is no failure: not even headers come before the first line.
                with suppress(SilentError):
                    async with aclosing(self._read_once()) as lines:
                        async for line in lines:
                            self._retries.start_over()
                            yield line
                    whole = True
                # Asked after a silence too: the pod's answer shows that the server is there.
                if await self._has_ended() and whole:
                    break
                pause_s = find_pause(1)
            except ClusterError as error:
                if self._begun and isinstance(error, NotFoundError):
                    break
                pause_s = self._retries.find_pause(error, safe=True)
            await asyncio.sleep(pause_s)
        if self._rest and (last := _parse_new(self._rest, self._dedup)):
            yield last

    async def _read_once(self) -> AsyncGenerator[LogLine, None]:
        """Yield the lines of one connection that are new; what follows the last newline is kept in `_rest`."""
        self._dedup.start_over()
        self._rest = b""
        async with self._connection.stream(self._call()) as pieces, aclosing(split_lines(pieces)) as lines:
            self._begun = True
            async for line in lines:
                if not line.endswith(b"\n"):
                    self._rest = line
                elif new := _parse_new(line, self._dedup):
                    yield new

    def _call(self) -> Call:
        second = self._dedup.second
        since = None if second is None else f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
        query = {"container": self._container, "follow": "true", "timestamps": "true", "sinceTime": since}
        return build_call(
            "get",
            PODS,
            namespace=self._namespace,
            name=self._pod,
            subresource="log",
            query=query,
            limit_s=QUIET_LIMIT_S,
            quiet_s=QUIET_LIMIT_S,
        )

    async def _has_ended(self) -> bool:
        call = build_call("get", PODS, namespace=self._namespace, name=self._pod)
        status = (await self._connection.ask(call)).get("status") or {}
        if status.get("phase") in {"Succeeded", "Failed"}:
            return True
        states = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
        return any(dig(s, "state", "terminated") for s in states if s.get("name") == self._container)


def _parse_new(line: bytes, dedup: SecondDedup) -> LogLine | None:
    """Parse a line; None where it came before."""
    stamp = STAMP.match(line)
    if stamp is None:
        # The node's own message, sent instead of the log.
        raise ClusterError(f"no log: {line.decode(errors='replace').strip()[:500]}")
    time_ns = parse_time_ns(stamp)
    if not dedup.is_new(time_ns):
        return None
    text = line[stamp.end() :].removesuffix(b"\n").decode(errors="replace")
    return LogLine(time_s=time_ns / 1e9, text=text)


def parse_time_ns(stamp: re.Match[bytes]) -> int:
    """Return the time (ns since 1970) of a timestamp with up to nine decimals."""
    second, decimals, zone = (part.decode() if part else "" for part in stamp.groups())
    moment = datetime.fromisoformat(second + zone)
    return int(moment.timestamp()) * 1_000_000_000 + int(decimals.ljust(9, "0") or 0)

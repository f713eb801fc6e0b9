"""QEMU's side of a VM: its balloon, read and set over QMP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from qemu.qmp import QMPClient, QMPError

from freepage.sampling.balloon import BALLOON_PATH, QUEUE_STATUS, ReportCounter, name_queue

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Coroutine, Mapping

STATS_INTERVAL_S = 2
CONNECT_DEADLINE_S = 30.0
REPLY_DEADLINE_S = 10.0
QUIT_DEADLINE_S = 5.0
# The end of a connection, in every way it can show.
_LOST = (QMPError, OSError, TimeoutError, EOFError)


class Monitor:
    """The monitor of one running QEMU; what it cannot answer, or can no more, is None."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client
        self._reports = ReportCounter()

    async def read_reporting(self) -> bool | None:
        """Read whether the balloon offers Free Page Reporting."""
        found: bool | None = await self._execute("qom-get", path=BALLOON_PATH, property="free-page-reporting")
        return found

    async def read_statistics(self) -> Mapping[str, Any]:
        """Read the guest's statistics as QEMU has them (sampling.balloon.parse_guest_stats); {} for none."""
        return await self._execute("qom-get", path=BALLOON_PATH, property="guest-stats") or {}

    async def count_reports(self, queue: int) -> int | None:
        """Return how many reports of free pages QEMU has handled, which came by this queue of the balloon."""
        return self._reports.update(await self._execute(QUEUE_STATUS, **name_queue(queue)))

    async def poll_statistics(self) -> None:
        """Set the balloon to ask the guest for its statistics every STATS_INTERVAL_S seconds."""
        await self._execute(
            "qom-set", path=BALLOON_PATH, property="guest-stats-polling-interval", value=STATS_INTERVAL_S
        )

    async def _execute(self, command: str, **arguments: object) -> Any:
        try:
            async with asyncio.timeout(REPLY_DEADLINE_S):
                return await self._client.execute(command, arguments)
        except (QMPError, OSError, TimeoutError):
            return None


@asynccontextmanager
async def open_monitor(name: str, end: socket.socket) -> AsyncIterator[Monitor]:
    """Connect to the QEMU at the other end of a socket, and have it quit at the end; ConnectionError when it is gone."""
    # The library's log of a QEMU that is gone repeats the VM's error.
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
    client = QMPClient(name)
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            await client.connect(end)
    except _LOST as error:
        raise ConnectionError(f"the monitor of {name} does not answer: {error}") from error
    try:
        yield Monitor(client)
    finally:
        await _finish(client.execute("quit"))
        await _finish(client.disconnect())


async def _finish(step: Coroutine[Any, Any, object]) -> None:
    with contextlib.suppress(*_LOST):
        async with asyncio.timeout(QUIT_DEADLINE_S):
            await step

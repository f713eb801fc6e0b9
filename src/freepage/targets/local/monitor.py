"""QEMU's side of a VM: its balloon, read and set over QMP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from freepage.hosts.qmp import Qmp, open_qmp
from freepage.sampling.balloon import BALLOON_PATH, QUEUE_STATUS, ReportCounter, name_queue

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Mapping

STATS_INTERVAL_S = 2


class Monitor:
    """The monitor of one running QEMU; what it cannot answer, or can no more, is None."""

    def __init__(self, qmp: Qmp) -> None:
        self._qmp = qmp
        self._reports = ReportCounter()

    async def read_reporting(self) -> bool | None:
        """Read whether the balloon offers Free Page Reporting."""
        found: bool | None = await self._qmp.ask("qom-get", path=BALLOON_PATH, property="free-page-reporting")
        return found

    async def read_statistics(self) -> Mapping[str, Any]:
        """Read the guest's statistics as QEMU has them (sampling.balloon.parse_guest_stats); {} for none."""
        return await self._qmp.ask("qom-get", path=BALLOON_PATH, property="guest-stats") or {}

    async def count_reports(self, queue: int) -> int | None:
        """Return how many reports of free pages QEMU has handled, which came by this queue of the balloon."""
        return self._reports.update(await self._qmp.ask(QUEUE_STATUS, **name_queue(queue)))

    async def poll_statistics(self) -> None:
        """Set the balloon to ask the guest for its statistics every STATS_INTERVAL_S seconds."""
        await self._qmp.ask(
            "qom-set", path=BALLOON_PATH, property="guest-stats-polling-interval", value=STATS_INTERVAL_S
        )


@asynccontextmanager
async def open_monitor(name: str, end: socket.socket) -> AsyncIterator[Monitor]:
    """Connect to the QEMU at the other end of a socket, and have it quit at the end; ConnectionError when it is gone."""
    async with open_qmp(name, end) as qmp:
        try:
            yield Monitor(qmp)
        finally:
            await qmp.ask("quit")

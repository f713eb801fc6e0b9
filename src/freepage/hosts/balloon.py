"""The balloon of a VM that somebody else started, read over QMP: what the guest has free, and whether FPR is on."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.sampling.balloon import parse_guest_stats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freepage.hosts.qmp import Qmp
    from freepage.metrics import MetricValues

# Where QEMU has the devices of a machine: those with a name, as libvirt gives them, and those without.
_FOLDERS = ("/machine/peripheral", "/machine/peripheral-anon")
_TYPE = "child<virtio-balloon"
_POLLING = "guest-stats-polling-interval"
POLL_S = 2
# Statistics as old as this are of a guest that answers no more.
STALE_S = 60.0
# The guest's memory as QEMU has it, what the balloon has taken left out. Not one of metrics.py: no run stores it.
SIZE = "vm_memory_bytes"
NO_BALLOON = "it has no virtio balloon: how much of it is free is not known, and FPR needs one"
NOT_POLLED = (
    f"QEMU does not ask the guest for its statistics ({_POLLING} is 0): how much of it is free is not known; --poll has it asked "
    "every 2 s meanwhile (with libvirt: virsh dommemstat DOMAIN --period 2)"
)
STALE = "the guest has not told its statistics for more than a minute: how much of it is free is not known"


@dataclass(frozen=True)
class VmBalloon:
    """The balloon of one VM; path: where QEMU has it among its objects, None for a VM without one."""

    qmp: Qmp
    path: str | None

    async def read_reporting(self) -> bool | None:
        """Read whether the balloon offers Free Page Reporting; False without a balloon, None where QEMU does not know it."""
        if self.path is None:
            return False
        found: bool | None = await self.qmp.ask("qom-get", path=self.path, property="free-page-reporting")
        return found

    async def read_memory(self) -> MetricValues:
        """Read the VM's size and the guest's statistics, which are None where the guest does not tell them any more."""
        values: MetricValues = {SIZE: await self._read_size()}
        if self.path is None:
            return values
        reply = await self.qmp.ask("qom-get", path=self.path, property="guest-stats")
        stats = parse_guest_stats(reply or {}, time.time())
        age_s = stats["guest_stats_age_s"]
        fresh = age_s is not None and age_s <= STALE_S
        return values | (stats if fresh else dict.fromkeys(stats) | {"guest_stats_age_s": age_s})

    async def _read_size(self) -> float | None:
        """Read the guest's memory: what the balloon has left it, or all of it without one."""
        balloon = await self.qmp.ask("query-balloon")
        if balloon is not None:
            return float(balloon["actual"])
        memory = await self.qmp.ask("query-memory-size-summary")
        return None if memory is None else float(memory["base-memory"] + memory.get("plugged-memory", 0))

    async def find_obstacle(self) -> str | None:
        """Return why nothing is known of the guest's free memory, as far as QEMU tells; None for no reason."""
        if self.path is None:
            return NO_BALLOON
        asked = await self.qmp.ask("qom-get", path=self.path, property=_POLLING)
        return None if asked else NOT_POLLED


async def find_balloon(qmp: Qmp) -> VmBalloon:
    """Find the balloon of a VM among its devices."""
    for folder in _FOLDERS:
        for entry in await qmp.ask("qom-list", path=folder) or []:
            if str(entry.get("type")).startswith(_TYPE):
                return VmBalloon(qmp, f"{folder}/{entry['name']}")
    return VmBalloon(qmp, None)


@asynccontextmanager
async def polled(balloon: VmBalloon) -> AsyncIterator[None]:
    """Have QEMU ask the guest for its statistics every POLL_S, where it does not already; as before at the end."""
    if await balloon.find_obstacle() != NOT_POLLED:
        yield
        return
    await balloon.qmp.ask("qom-set", path=balloon.path, property=_POLLING, value=POLL_S)
    try:
        yield
    finally:
        await balloon.qmp.ask("qom-set", path=balloon.path, property=_POLLING, value=0)

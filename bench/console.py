"""Measure what a serial console carries: a real guest under emulation whose worker has one, as KubeVirt gives it."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.image.guest import build_guest
from freepage.records import Action, ProcessSchedule, Step
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.worker.client import WorkerClient

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from helpers.consoles import open_client, open_console_vm

PAIRS = 700
PINGS = 30


async def measure_trips(client: WorkerClient) -> None:
    trips = sorted([2000 * (await client.ping(1)).uncertainty_s for _ in range(PINGS)])
    print(f"ping: {trips[PINGS // 2]:.1f} ms ({trips[0]:.1f} to {trips[-1]:.1f})")


async def measure_load(client: WorkerClient) -> None:
    """Send some 200 KB of steps, then have them all done at once."""
    actions = (Action.ALLOCATE, Action.FREE)
    steps = tuple(Step(i / 1000, action, 4096, i) for i in range(PAIRS) for action in actions)
    start_s = time.monotonic()
    await client.load([ProcessSchedule(0, steps)])
    print(f"{len(steps)} steps sent in {time.monotonic() - start_s:.1f} s")
    start_s = time.monotonic()
    events: list[int] = []
    await client.start(start_s - 1)
    await client.wait_done(lambda event: events.append(event.index), 120)
    assert events == list(range(len(steps)))
    print(f"{len(events)} events received in {time.monotonic() - start_s:.1f} s")


async def measure_file(client: WorkerClient) -> None:
    start_s = time.monotonic()
    text = await client.read_whole("/worker", MIB)
    spent_s = time.monotonic() - start_s
    print(f"{len(text or b'')} bytes of a file read in {spent_s:.1f} s")


async def main() -> None:
    async with open_console_vm(build_guest()) as console, open_client(console) as client:
        await measure_trips(client)
        await measure_load(client)
        await measure_file(client)


if __name__ == "__main__":
    asyncio.run(main())

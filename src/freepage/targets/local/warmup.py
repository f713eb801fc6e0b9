"""Touches as much memory as the largest trial will, once, before the first trial."""

from __future__ import annotations

import asyncio
import time

from freepage.records import Action, ProcessSchedule, Step
from freepage.worker.build import build_worker
from freepage.worker.channel import LONGEST_LINE_BYTES, open_process_channel
from freepage.worker.client import WorkerClient

DEADLINE_S = 600.0


async def warm_up(size_bytes: int) -> None:
    """Allocate and free `size_bytes` on the host, by a worker.

    On a host that is itself a virtual machine, memory that nobody touched lately takes several times as long to touch:
    without this, whichever arm runs first would pay for it.
    """
    process = await asyncio.create_subprocess_exec(
        build_worker(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE_BYTES,
    )
    client = WorkerClient(open_process_channel(process), "warm-up")
    try:
        await client.wait_ready(DEADLINE_S)
        await client.ping()
        steps = (Step(0.0, Action.ALLOCATE, size_bytes, 0), Step(0.0, Action.FREE, size_bytes, 0))
        await client.load([ProcessSchedule(0, steps)])
        await client.start(time.monotonic())
        await client.wait_done(lambda _: None, DEADLINE_S)
    finally:
        await client.close()
        await process.wait()

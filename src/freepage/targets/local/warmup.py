"""Touches memory of this host once, before the first trial."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from freepage.records import Action, ProcessSchedule, Step
from freepage.units import format_bytes, format_duration
from freepage.worker.build import build_worker
from freepage.worker.channel import LONGEST_LINE_BYTES, open_process_channel
from freepage.worker.client import WorkerClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.study.plan import Trial

# A worker that says nothing for so long is stuck.
DEADLINE_S = 600.0
# However much there is to touch, and however slowly this host gives it, the first trial waits no longer.
LONGEST_S = 120.0
# The rest of what is available stays with the host: all of it together would have something killed.
TOUCHED_SHARE = 0.9


def find_warmup_bytes(trials: Sequence[Trial], available_bytes: int) -> int:
    """Return the bytes to touch: what the largest trial may take, of what is available a part."""
    return min(max(t.demand_bytes for t in trials), round(TOUCHED_SHARE * available_bytes))


def describe_warm_up(size_bytes: int) -> tuple[str, ...]:
    """Return what is done before the first trial, for a plan: a sentence, or none where no memory is to be touched."""
    if not size_bytes:
        return ()
    touched = f"before the first trial {format_bytes(size_bytes)} of this host's memory are touched once"
    return (f"{touched}, for {format_duration(LONGEST_S)} at most",)


async def warm_up(size_bytes: int, longest_s: float = LONGEST_S) -> None:
    """Allocate and free `size_bytes` on the host, by a worker, for at most `longest_s` seconds.

    On a host that is itself a virtual machine, memory that nobody touched lately takes several times as long to touch:
    without this, whichever arm runs first would pay for it.
    """
    if not size_bytes:
        return
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
        # What has been touched by then stays so.
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await client.wait_done(lambda _: None, DEADLINE_S)
    finally:
        await client.close()
        await process.wait()

"""A real worker over pipes, and what is seen of it from outside."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import asynccontextmanager
from pathlib import Path

from freepage.records import Action, Step
from freepage.worker.build import build_worker
from freepage.worker.channel import LONGEST_LINE_BYTES, open_process_channel
from freepage.worker.client import WorkerClient


@asynccontextmanager
async def worker(*before, **options):
    process = await asyncio.create_subprocess_exec(
        *before,
        build_worker(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LONGEST_LINE_BYTES,
        **options,
    )
    client = WorkerClient(open_process_channel(process), "pod-0")
    try:
        yield client, process
    finally:
        await client.close()
        await asyncio.wait_for(process.wait(), 30)


def pair(at_s, free_s, size, iteration=0, **changes):
    return Step(at_s, Action.ALLOCATE, size, iteration, **changes), Step(free_s, Action.FREE, size, iteration)


async def replay(client, *schedules):
    events = []
    await client.wait_ready(30)
    await client.ping()
    await client.load(schedules)
    await client.start(time.monotonic() + 0.05)
    await client.wait_done(events.append, 60)
    return events


async def start(client, *schedules):
    await client.wait_ready(30)
    await client.ping()
    await client.load(schedules)
    zero_s = time.monotonic() + 0.05
    await client.start(zero_s)
    return zero_s


async def until(condition, deadline_s=10):
    """Wait for what is soon so."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - the worker does it
            await asyncio.sleep(0.01)


async def output_of(path):
    await until(lambda: path.exists() and path.read_text())
    return path.read_text()


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def children_of(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        if children:
            return children
    raise AssertionError("the worker forked nothing")


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

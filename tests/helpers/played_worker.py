"""A worker that the test plays: what it says, and a client of it."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager

from freepage.worker.client import WorkerClient
from helpers.fakes import FakeChannel

READY = {
    "type": "ready",
    "version": 2,
    "pid": 7,
    "clock_ns": 5,
    "page_bytes": 4096,
    "cpus": 2,
    "memory_bytes": 2**30,
}
STEP = {
    "type": "step",
    "process": 0,
    "index": 0,
    "iteration": 0,
    "action": "allocate",
    "bytes": 4096,
    "planned_ns": 1_000_000_000,
    "start_ns": 1_500_000_000,
    "end_ns": 1_750_000_000,
    "user_ns": 20_000_000,
    "system_ns": 30_000_000,
    "minor_faults": 1,
    "major_faults": 0,
    "ok": True,
}
PONG = {"type": "pong", "clock_ns": 0}
STARTED = {"type": "started"}
WAITING = {"type": "waiting", "process": 2, "index": 4}


def line(message):
    return json.dumps({"n": 1, **message}).encode()


@asynccontextmanager
async def talk(answers=None, **options):
    channel = FakeChannel(answers)
    client = WorkerClient(channel, "vm-0", **options)
    try:
        yield client, channel
    finally:
        await client.close()


@asynccontextmanager
async def started(**options):
    async with talk({"ping": PONG, "start": STARTED}, **options) as (client, channel):
        await client.ping(1)
        await client.start(time.monotonic())
        yield client, channel


def ignore(event):
    pass

"""What is touched of this host's memory before the first trial, and for how long at most."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from freepage.targets.local.warmup import describe_warm_up, find_warmup_bytes, warm_up
from freepage.units import GIB, MIB


@pytest.fixture
def started(monkeypatch):
    """The processes that are started."""
    processes, start = [], asyncio.create_subprocess_exec

    async def note(*arguments, **options):
        processes.append(await start(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", note)
    return processes


def test_no_more_is_touched_than_the_largest_trial_takes_and_a_part_stays_with_the_host():
    trials = [SimpleNamespace(demand_bytes=size * GIB) for size in (3, 60, 17)]
    assert find_warmup_bytes(trials, 184 * GIB) == 60 * GIB
    assert find_warmup_bytes(trials, 60 * GIB) == 54 * GIB


def test_a_plan_says_how_much_is_touched_and_for_how_long_at_most():
    (words,) = describe_warm_up(17 * GIB)
    assert (
        words == "before the first trial 17.0 GiB of this host's memory are touched once, for 2 min at most"
    )
    assert describe_warm_up(0) == ()


async def test_memory_is_touched_by_a_worker_that_is_gone_afterwards(started):
    await warm_up(8 * MIB)
    assert [process.returncode for process in started] == [0]


async def test_memory_that_takes_too_long_to_touch_holds_up_no_run(started):
    started_s = time.monotonic()
    await warm_up(GIB, longest_s=0.0)
    assert time.monotonic() - started_s < 30
    assert [process.returncode for process in started] == [0]


async def test_where_no_instance_takes_memory_of_its_own_nothing_is_started(started):
    await warm_up(0)
    assert started == []

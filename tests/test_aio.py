"""Running coroutines side by side, and to their end."""

from __future__ import annotations

import asyncio

import pytest

from freepage.aio import finish, run_together
from freepage.errors import FreepageError


async def test_who_is_cancelled_while_others_clean_up_after_a_failure_is_cancelled():
    cleaning = asyncio.Event()

    async def fail():
        raise FreepageError("no image")

    async def clean():
        try:
            await asyncio.sleep(60)
        finally:
            cleaning.set()
            await asyncio.sleep(0.1)

    task = asyncio.create_task(run_together(fail(), clean()))
    await cleaning.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_first_error_of_ours_is_raised_as_itself():
    async def fail():
        raise FreepageError("no image")

    with pytest.raises(FreepageError, match="no image"):
        await run_together(fail(), asyncio.sleep(60))


async def test_a_deadline_that_passes_meanwhile_is_one():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await run_together(asyncio.sleep(60), asyncio.sleep(60))


async def test_what_must_be_finished_is_before_the_cancellation_goes_on():
    done = []

    async def remove():
        await asyncio.sleep(0.1)
        done.append("removed")

    task = asyncio.create_task(finish(remove()))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["removed"]


async def test_what_must_be_finished_ends_all_the_same_when_it_is_cancelled_once_more():
    task = asyncio.create_task(finish(asyncio.sleep(60)))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task


async def test_what_cannot_be_finished_says_why():
    async def fail():
        raise FreepageError("gone")

    with pytest.raises(FreepageError, match="gone"):
        await finish(fail())

from __future__ import annotations

import asyncio
import time

from freepage.records import Action, Arm, ProcessSchedule, Step
from freepage.run.barrier import Barrier
from freepage.study.plan import InstancePlan


class Worker:
    def __init__(self, broken=False):
        self.told = []
        self.broken = broken

    async def go(self, process, index, at_s):
        if self.broken:
            raise OSError("gone")
        self.told.append((process, index, at_s))


def plan(name, iterations):
    steps = tuple(
        Step(float(n), action, 1, n, barrier=True)
        for n in range(iterations)
        for action in (Action.ALLOCATE, Action.FREE)
    )
    return InstancePlan(name, Arm.POD, 1, 0, (ProcessSchedule(0, steps), ProcessSchedule(1, steps[:2])))


async def test_all_who_have_a_step_are_told_one_time_once_the_last_has_come():
    workers = {"a": Worker(), "b": Worker()}
    barrier = Barrier([plan("a", 2), plan("b", 1)], workers)
    for name, process in (("a", 0), ("a", 1), ("b", 1)):
        barrier.arrive(name, process, 0)
    await asyncio.sleep(0.01)
    assert not workers["a"].told
    barrier.arrive("b", 0, 0)
    await asyncio.sleep(0.01)
    times = {at_s for worker in workers.values() for _, _, at_s in worker.told}
    assert len(times) == 1
    assert times.pop() > time.monotonic()
    assert sorted(told[:2] for told in workers["b"].told) == [(0, 0), (1, 0)]


async def test_a_step_that_only_one_has_waits_for_nobody():
    workers = {"a": Worker(), "b": Worker()}
    barrier = Barrier([plan("a", 2), plan("b", 1)], workers)
    barrier.arrive("a", 0, 2)
    await asyncio.sleep(0.01)
    assert [told[:2] for told in workers["a"].told] == [(0, 2)]


async def test_one_that_cannot_be_told_does_not_keep_the_others():
    workers = {"a": Worker(), "b": Worker(broken=True)}
    barrier = Barrier([plan("a", 1), plan("b", 1)], workers)
    for name in ("a", "b"):
        for process in (0, 1):
            barrier.arrive(name, process, 1)
    await asyncio.sleep(0.01)
    assert len(workers["a"].told) == 2

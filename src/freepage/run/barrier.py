"""Steps that wait for each other: once all processes of a trial have arrived, they start at one common time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.records import Step
    from freepage.study.plan import InstancePlan
    from freepage.worker.client import WorkerClient

# From the last arrival to the common time: every worker has to have heard it by then.
LEAD_S = 0.25


class Barrier:
    """Holds processes at each step (its action and iteration) until all that have it arrived, then releases them together."""

    def __init__(self, plans: Sequence[InstancePlan], workers: Mapping[str, WorkerClient]) -> None:
        self._workers = workers
        self._steps = {
            (plan.name, process.process, index): step
            for plan in plans
            for process in plan.schedules
            for index, step in enumerate(process.steps)
            if step.barrier
        }
        self._expected = Counter(_key(step) for step in self._steps.values())
        self._waiting: dict[tuple[str, int], list[tuple[str, int, int]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def arrive(self, instance: str, process: int, index: int) -> None:
        """Record that a process waits before its step; the last one to arrive releases all of them."""
        key = _key(self._steps[instance, process, index])
        waiting = self._waiting.setdefault(key, [])
        waiting.append((instance, process, index))
        if len(waiting) == self._expected[key]:
            task = asyncio.get_running_loop().create_task(self._release(self._waiting.pop(key)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _release(self, waiting: list[tuple[str, int, int]]) -> None:
        at_s = time.monotonic() + LEAD_S
        await asyncio.gather(
            *(self._workers[name].go(process, index, at_s) for name, process, index in waiting),
            return_exceptions=True,
        )


def _key(step: Step) -> tuple[str, int]:
    return step.action.value, step.iteration

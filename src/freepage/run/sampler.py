"""Takes a sample at every deadline of a fixed grid, whatever else goes on."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import InstanceError
from freepage.records import SampleLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freepage.metrics import MetricValues
    from freepage.targets.base import Instance

# A tick waits for nobody: docs/decisions/004-one-client-task.md.


@dataclass
class SamplerCost:
    """The cost of sampling itself: CPU seconds of the ticks, and when it started and ended."""

    cpu_s: float = 0.0
    started_s: float = 0.0
    ended_s: float = 0.0


async def sample_until_cancelled(
    read_node: Callable[[], dict[str, MetricValues]],
    instances: Callable[[], Sequence[Instance]],
    *,
    interval_s: float,
    guest_interval_s: float,
    write: Callable[[SampleLine], None],
    cost: SamplerCost,
) -> None:
    """Write a SampleLine at each deadline (multiples of `interval_s` from now); `t_s` is time.monotonic().

    Deadlines that were missed are skipped, which leaves a gap. Guests are asked every `guest_interval_s` by tasks of
    their own, which no tick waits for: their numbers stand in the line after their answer.
    """
    guests = _Guests(guest_interval_s)
    deadline_s = cost.started_s = time.monotonic()
    try:
        while True:
            await asyncio.sleep(max(0.0, deadline_s - time.monotonic()))
            now_s, cpu_s = time.monotonic(), time.thread_time()
            write(SampleLine(now_s, now_s - deadline_s, _read_all(read_node(), instances(), guests)))
            cost.cpu_s += time.thread_time() - cpu_s
            missed = int((time.monotonic() - deadline_s) / interval_s)
            deadline_s += (missed + 1) * interval_s
    finally:
        cost.ended_s = time.monotonic()
        await guests.stop()


def find_zero(earliest_s: float, tick_s: float, interval_s: float, phase_s: float) -> float:
    """Return the first time from `earliest_s` on that ticks of the grid through `tick_s` follow at `phase_s`."""
    return tick_s - phase_s + math.ceil((earliest_s - tick_s + phase_s) / interval_s) * interval_s


class _Guests:
    """The requests in progress to guests, and the replies that no line has carried yet."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._asked_s: dict[str, float] = {}
        self._replies: dict[str, MetricValues] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def take(self, instance: Instance) -> MetricValues:
        """Return the reply since the last tick ({} without one), and start the next request when it is due."""
        name = instance.name
        reply = self._replies.pop(name, {})
        due = time.monotonic() - self._asked_s.get(name, -1e9) >= self._interval_s * 0.95
        if due and (name not in self._tasks or self._tasks[name].done()):
            self._asked_s[name] = time.monotonic()
            self._tasks[name] = asyncio.create_task(self._ask(instance))
        return reply

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _ask(self, instance: Instance) -> None:
        try:
            self._replies[instance.name] = await instance.read_guest()
        except InstanceError:
            self._replies[instance.name] = {}


def _read_all(
    nodes: dict[str, MetricValues], instances: Sequence[Instance], guests: _Guests
) -> dict[str, MetricValues]:
    values = dict(nodes)
    for instance in instances:
        values[instance.name] = instance.read_usage() | guests.take(instance)
    return values

"""The steps of one worker process: a pure function of the study, the seed and the process' name."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from freepage.records import Action, ProcessSchedule, Step
from freepage.study.fio import fio_runs
from freepage.study.study import CommandGroup, FioGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.study.study import AnyGroup, MemoryGroup, Range

# A VM has no containers; it uses the name that the first container of a pod would have.
FIRST_CONTAINER = "c0"


class RandomStream:
    """A reproducible stream of random numbers.

    Only random() is used: it is the one method whose results are promised to stay the same across Python versions.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def fraction(self) -> float:
        """Return the next number in [0, 1)."""
        return self._random.random()

    def choose(self, values: Range) -> float:
        """Return one of minimum, minimum + step, ... up to maximum, all as likely."""
        count = int((values.maximum - values.minimum) / values.step + 1e-9) + 1 if values.step > 0 else 1
        return values.minimum + values.step * int(self.fraction() * count)


@dataclass(frozen=True)
class ProcessSeed:
    """The study's seed with the name of a process: the same on every arm."""

    seed: int
    instance: str
    process: int

    def open_stream(self, purpose: str = "") -> RandomStream:
        """Return the stream of the process for a purpose, from its beginning."""
        return RandomStream(f"{self.seed}:{self.instance}:{FIRST_CONTAINER}:{self.process}{purpose}")


class MemorySchedule(Protocol):
    """A function that makes the steps of one process of a group that uses memory."""

    def __call__(self, group: MemoryGroup, seed: ProcessSeed) -> tuple[Step, ...]: ...


def build_schedule(group: AnyGroup, seed: int, instance: str, process: int) -> ProcessSchedule:
    """Return the steps of process `process` of `instance`; the same arguments always give the same steps."""
    steps = _build_steps(group, ProcessSeed(seed, instance, process))
    return ProcessSchedule(process, tuple(replace(s, at_s=round(s.at_s + group.after_s, 6)) for s in steps))


def _build_steps(group: AnyGroup, seed: ProcessSeed) -> tuple[Step, ...]:
    if isinstance(group, FioGroup):
        return fio_steps(group, seed.seed)
    if isinstance(group, CommandGroup):
        return command_steps(group)
    return SCHEDULES[group.workload.schedule](group, seed)


def cyclic_steps(group: MemoryGroup, seed: ProcessSeed) -> tuple[Step, ...]:
    """Allocate, hold, free, idle, all over again (the article's first test)."""
    stream = seed.open_stream()
    size = round(group.size.maximum)
    steps: list[Step] = []
    for iteration in range(group.iterations):
        at_s = iteration * group.period_s
        free_s = at_s + group.slot_s + group.hold.maximum
        steps += _use_block(group, at_s, free_s, size, iteration, stream)
    return tuple(steps)


def drawn_steps(group: MemoryGroup, seed: ProcessSeed) -> tuple[Step, ...]:
    """Allocate and free blocks of drawn sizes for drawn times (the article's second test).

    Whether it starts held comes from a stream of its own, so that the draws after it do not depend on that choice.
    At the end everything is freed, early enough that the last block can come back within the trial.
    """
    stream = seed.open_stream()
    last_s = group.duration_s - group.tail_s
    steps: list[Step] = []
    for iteration, (at_s, free_s, size) in enumerate(_draw_blocks(group, stream, seed)):
        if at_s >= last_s:
            return tuple(steps)
        steps += _use_block(group, at_s, min(free_s, last_s), size, iteration, stream)
    return tuple(steps)


def _draw_blocks(
    group: MemoryGroup, stream: RandomStream, seed: ProcessSeed
) -> Iterator[tuple[float, float, int]]:
    """Yield when each block is allocated and freed, in seconds, and its bytes, without end."""
    now_s, wait = 0.0, not _starts_held(group, seed)
    while True:
        size, hold_s, idle_s = (stream.choose(r) for r in (group.size, group.hold, group.idle))
        start_s = now_s + (idle_s if wait else 0.0)
        yield start_s, start_s + hold_s, round(size)
        now_s, wait = start_s + hold_s, True


def _starts_held(group: MemoryGroup, seed: ProcessSeed) -> bool:
    if group.start in {"held", "idle"}:
        return group.start == "held"
    duty = group.hold.mean / max(group.hold.mean + group.idle.mean, 1e-9)
    probability = group.start if isinstance(group.start, float) else duty
    return seed.open_stream(":start").fraction() < probability


def _use_block(
    group: MemoryGroup, at_s: float, free_s: float, size: int, iteration: int, stream: RandomStream
) -> tuple[Step, Step]:
    """Return the two steps of one block: it is allocated and it is freed."""
    scan, stride, barrier = group.scan, group.stride_bytes, group.barriers
    seed = int(stream.fraction() * 2**32)
    return (
        Step(round(at_s, 6), Action.ALLOCATE, size, iteration, scan, stride, seed, barrier=barrier),
        Step(round(free_s, 6), Action.FREE, size, iteration, barrier=barrier),
    )


def fio_steps(group: FioGroup, seed: int) -> tuple[Step, ...]:
    """Run one fio after the other (the article's I/O tests)."""
    return tuple(
        Step(r.at_s, Action.RUN, 0, n, argv=r.argv, timeout_s=r.timeout_s, label=r.label)
        for n, r in enumerate(fio_runs(group.job, seed))
    )


def command_steps(group: CommandGroup) -> tuple[Step, ...]:
    """Run a program of the user's, a number of times."""
    job, label = group.job, group.workload.name
    return tuple(
        Step(n * job.period_s, Action.RUN, 0, n, argv=job.argv, timeout_s=job.timeout_s, label=label)
        for n in range(job.count)
    )


# By Workload.schedule of kinds.py.
SCHEDULES: dict[str, MemorySchedule] = {"cyclic": cyclic_steps, "drawn": drawn_steps}

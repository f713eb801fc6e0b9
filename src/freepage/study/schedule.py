"""What one worker process does and when: a pure function of the study, the seed and the process' name."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from freepage.records import Action, ProcessSchedule, Step
from freepage.study.fio import fio_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.study.study import Group, Range

# A VM has no containers; it uses the name that the first container of a pod would have.
FIRST_CONTAINER = "c0"


class Draw:
    """The reproducible chain of draws of one process.

    Only random() is used: it is the one method whose results are promised to stay the same across Python versions.
    """

    def __init__(self, seed: int, instance: str, process: int, purpose: str = "") -> None:
        self._random = random.Random(f"{seed}:{instance}:{FIRST_CONTAINER}:{process}{purpose}")

    def share(self) -> float:
        """Draw from [0, 1)."""
        return self._random.random()

    def value(self, values: Range) -> float:
        """Draw one of minimum, minimum + step, ... up to maximum, all as likely."""
        count = int((values.maximum - values.minimum) / values.step + 1e-9) + 1 if values.step > 0 else 1
        return values.minimum + values.step * int(self.share() * count)


class ScheduleKind(Protocol):
    """Makes the steps of one process of an group."""

    def __call__(self, group: Group, seed: int, instance: str, process: int) -> tuple[Step, ...]: ...


def build_schedule(group: Group, seed: int, instance: str, process: int) -> ProcessSchedule:
    """Compute what process `process` of `instance` does; the same arguments always give the same steps."""
    steps = KINDS[group.kind](group, seed, instance, process)
    return ProcessSchedule(process, tuple(replace(s, at_s=round(s.at_s + group.after_s, 6)) for s in steps))


def cycle_steps(group: Group, seed: int, instance: str, process: int) -> tuple[Step, ...]:
    """Allocate, hold, free, idle, all over again (the article's first test)."""
    draw = Draw(seed, instance, process)
    period_s = group.slot_s + group.hold.maximum + group.idle.maximum
    size = round(group.size.maximum)
    steps: list[Step] = []
    for iteration in range(group.iterations):
        at_s = iteration * period_s
        free_s = at_s + group.slot_s + group.hold.maximum
        steps += _pair(group, at_s, free_s, size, iteration, draw)
    return tuple(steps)


def random_steps(group: Group, seed: int, instance: str, process: int) -> tuple[Step, ...]:
    """Allocate and free blocks of drawn sizes for drawn times (the article's second test).

    Whether it starts held comes from a chain of its own, so that the draws after it do not depend on that choice.
    At the end everything is freed, early enough that the last block can come back within the trial.
    """
    draw = Draw(seed, instance, process)
    last_s = group.duration_s - group.tail_s
    steps: list[Step] = []
    for iteration, (at_s, free_s, size) in enumerate(_draw_blocks(group, draw, seed, instance, process)):
        if at_s >= last_s:
            return tuple(steps)
        steps += _pair(group, at_s, min(free_s, last_s), size, iteration, draw)
    return tuple(steps)


def _draw_blocks(
    group: Group, draw: Draw, seed: int, instance: str, process: int
) -> Iterator[tuple[float, float, int]]:
    now_s, wait = 0.0, not _starts_held(group, seed, instance, process)
    while True:
        size, hold_s, idle_s = (draw.value(r) for r in (group.size, group.hold, group.idle))
        start_s = now_s + (idle_s if wait else 0.0)
        yield start_s, start_s + hold_s, round(size)
        now_s, wait = start_s + hold_s, True


def _starts_held(group: Group, seed: int, instance: str, process: int) -> bool:
    if group.start in {"held", "idle"}:
        return group.start == "held"
    duty = group.hold.mean / max(group.hold.mean + group.idle.mean, 1e-9)
    probability = group.start if isinstance(group.start, float) else duty
    return Draw(seed, instance, process, ":start").share() < probability


def _pair(
    group: Group, at_s: float, free_s: float, size: int, iteration: int, draw: Draw
) -> tuple[Step, Step]:
    scan, stride = group.scan, group.stride_bytes
    seed = int(draw.share() * 2**32)
    barrier = group.barriers
    return (
        Step(round(at_s, 6), Action.ALLOCATE, size, iteration, scan, stride, seed, barrier=barrier),
        Step(round(free_s, 6), Action.FREE, size, iteration, barrier=barrier),
    )


def fio_steps(group: Group, seed: int, instance: str, process: int) -> tuple[Step, ...]:
    """Run one fio after the other (the article's I/O tests)."""
    del instance, process
    if group.io is None:
        raise TypeError(group.kind)
    return tuple(
        Step(r.at_s, Action.RUN, 0, n, argv=r.argv, timeout_s=r.timeout_s, label=r.label)
        for n, r in enumerate(fio_runs(group.io, seed))
    )


def command_steps(group: Group, seed: int, instance: str, process: int) -> tuple[Step, ...]:
    """Run a program of the user's, a number of times."""
    del seed, instance, process
    if group.command is None:
        raise TypeError(group.kind)
    job = group.command
    return tuple(
        Step(n * job.period_s, Action.RUN, 0, n, argv=job.argv, timeout_s=job.timeout_s, label="command")
        for n in range(job.count)
    )


KINDS: dict[str, ScheduleKind] = {
    "cycle": cycle_steps,
    # The article's synchronised instances: the same cycle in many instances, at common times.
    "burst": cycle_steps,
    "random": random_steps,
    # The article's very fast rate of allocation and release: random, with times far shorter than FPR's own.
    "churn": random_steps,
    "fio": fio_steps,
    "command": command_steps,
}

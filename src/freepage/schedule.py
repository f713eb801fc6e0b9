"""What one worker process does and when: a pure function of the study, the seed and the process' name."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from freepage.fpr.mechanics import release_time_bound_s
from freepage.records import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.study import Experiment, Range

# A VM has no containers; it uses the name that the first container of a pod would have.
FIRST_CONTAINER = "c0"


@dataclass(frozen=True)
class Step:
    """One action at a fixed time: `at_s` seconds after the trial's zero.

    An allocation maps `bytes` anonymously and writes one byte every `stride_bytes`; until it is freed it is held as
    `scan` says: "once" (left alone), "sequential" or "random" (touched again and again, in order or seeded order).
    A run starts the program `argv` and waits for its end, for `timeout_s` at most; `bytes` is 0, `label` says what it
    measures. With `barrier` the step waits for this same step (action and iteration) of all processes of the trial.
    """

    at_s: float
    action: Action
    bytes: int
    iteration: int
    scan: str = "once"
    stride_bytes: int = 4096
    seed: int = 0
    argv: tuple[str, ...] = ()
    timeout_s: float = 0.0
    label: str = ""
    barrier: bool = False


@dataclass(frozen=True)
class ProcessSchedule:
    """The steps of one process, in order of time."""

    process: int
    steps: tuple[Step, ...]


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
    """Makes the steps of one process of an experiment."""

    def __call__(
        self, experiment: Experiment, seed: int, instance: str, process: int
    ) -> tuple[Step, ...]: ...


def build_schedule(experiment: Experiment, seed: int, instance: str, process: int) -> ProcessSchedule:
    """Compute what process `process` of `instance` does; the same arguments always give the same steps."""
    return ProcessSchedule(process, KINDS[experiment.kind](experiment, seed, instance, process))


def cycle_steps(experiment: Experiment, seed: int, instance: str, process: int) -> tuple[Step, ...]:
    """Allocate, hold, free, idle, all over again (the article's first test)."""
    draw = Draw(seed, instance, process)
    period_s = experiment.slot_s + experiment.hold.maximum + experiment.idle.maximum
    size = round(experiment.size.maximum)
    steps: list[Step] = []
    for iteration in range(experiment.iterations):
        at_s = iteration * period_s
        free_s = at_s + experiment.slot_s + experiment.hold.maximum
        steps += _pair(experiment, at_s, free_s, size, iteration, draw)
    return tuple(steps)


def random_steps(experiment: Experiment, seed: int, instance: str, process: int) -> tuple[Step, ...]:
    """Allocate and free blocks of drawn sizes for drawn times (the article's second test).

    Whether it starts held comes from a chain of its own, so that the draws after it do not depend on that choice.
    At the end everything is freed, early enough that the last block can come back within the trial.
    """
    draw = Draw(seed, instance, process)
    last_s = experiment.duration_s - tail_s(experiment)
    steps: list[Step] = []
    for iteration, (at_s, free_s, size) in enumerate(_draw_blocks(experiment, draw, seed, instance, process)):
        if at_s >= last_s:
            return tuple(steps)
        steps += _pair(experiment, at_s, min(free_s, last_s), size, iteration, draw)
    return tuple(steps)


def tail_s(experiment: Experiment) -> float:
    """Seconds at the end of a random trial in which nothing is held."""
    return min(release_time_bound_s(round(experiment.size.maximum)), experiment.duration_s / 3)


def _draw_blocks(
    experiment: Experiment, draw: Draw, seed: int, instance: str, process: int
) -> Iterator[tuple[float, float, int]]:
    now_s, wait = 0.0, not _starts_held(experiment, seed, instance, process)
    while True:
        size, hold_s, idle_s = (draw.value(r) for r in (experiment.size, experiment.hold, experiment.idle))
        start_s = now_s + (idle_s if wait else 0.0)
        yield start_s, start_s + hold_s, round(size)
        now_s, wait = start_s + hold_s, True


def _starts_held(experiment: Experiment, seed: int, instance: str, process: int) -> bool:
    if experiment.start != "duty-cycle":
        return experiment.start == "held"
    duty = experiment.hold.mean / max(experiment.hold.mean + experiment.idle.mean, 1e-9)
    return Draw(seed, instance, process, ":start").share() < duty


def _pair(
    experiment: Experiment, at_s: float, free_s: float, size: int, iteration: int, draw: Draw
) -> tuple[Step, Step]:
    scan, stride = experiment.scan, experiment.stride_bytes
    seed = int(draw.share() * 2**32)
    return (
        Step(round(at_s, 6), Action.ALLOCATE, size, iteration, scan, stride, seed),
        Step(round(free_s, 6), Action.FREE, size, iteration),
    )


KINDS: dict[str, ScheduleKind] = {
    "cycle": cycle_steps,
    # The article's synchronised instances: the same cycle in many instances, at common times.
    "burst": cycle_steps,
    "random": random_steps,
    # The article's very fast rate of allocation and release: random, with times far shorter than FPR's own.
    "churn": random_steps,
}

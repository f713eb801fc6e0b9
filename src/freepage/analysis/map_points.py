"""The points of a map as their pairs of trials saw them: what FPR saved, and what was waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.arithmetic import subtract
from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity
from freepage.kinds import Subject
from freepage.records import Action, Arm
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from freepage.analysis.estimates import TrialValues
    from freepage.analysis.experiments import Experiments
    from freepage.analysis.stats import Estimate
    from freepage.store import Run, TrialData


@dataclass(frozen=True)
class PointShape:
    """The schedule of a point: the bytes of one VM's block, the GiB of all blocks together, seconds, and how often each is freed.

    held_s: from the start of an allocation to the free. idle_s: of one idle time; idle_total_s: of all of a trial.
    """

    block_bytes: float
    total_gib: float
    held_s: float
    idle_s: float
    idle_total_s: float
    duration_s: float
    cycles: int


@dataclass(frozen=True)
class MeasuredPoint:
    """One point by its pairs of trials: GiB x s saved in a trial, and seconds each later allocation took longer, by repeat.

    cpu_per_gib: CPU that FPR adds, s/GiB given back.
    """

    experiment: str
    shape: PointShape
    saved_gib_s: dict[int, float]
    wait_s: dict[int, float]
    cpu_per_gib: Estimate | None

    @property
    def gain_s(self) -> dict[int, float]:
        """Return the seconds saved in one idle time less those waited for, per GiB of the block."""
        per_idle_time = self.shape.total_gib * self.shape.cycles
        saved = {repeat: gib_s / per_idle_time for repeat, gib_s in self.saved_gib_s.items()}
        return {repeat: saved[repeat] - wait for repeat, wait in self.wait_s.items() if repeat in saved}


def measure_points(
    run: Run, values: Mapping[str, TrialValues], experiments: Experiments
) -> Iterator[MeasuredPoint]:
    """Yield every point of a run's maps of which a pair of trials tells what it saves; `values`: trials' numbers by their id."""
    for name, experiment in experiments.items():
        if Subject.PAYING not in experiment.traits.measures:
            continue
        saved = _differ(run, values, name, Quantity.HELD_NEEDLESSLY, (Arm.VM, Arm.VM_FPR))
        shape = find_shape(run.ok_trials(name)[0]) if saved else None
        if shape is not None:
            waited = _differ(run, values, name, Quantity.ALLOC_REST, (Arm.VM_FPR, Arm.VM))
            yield MeasuredPoint(name, shape, saved, waited, experiment.compared(Comparison.EXTRA_CPU_PER_GIB))


def find_shape(trial: TrialData) -> PointShape | None:
    """Return the shape of a trial's schedules, in which all processes do the same; None where nothing is freed."""
    processes = [p for ps in trial.schedules.values() for p in ps]
    steps = processes[0].steps if processes else ()
    starts = [s.at_s for s in steps if s.action is Action.ALLOCATE]
    frees = [s.at_s for s in steps if s.action is Action.FREE]
    size = max((s.bytes for s in steps), default=0) * len(processes)
    if not frees or not size:
        return None
    end_s = trial.record.planned_duration_s
    idles = [end - free for free, end in zip(frees, [*starts[1:], end_s], strict=True)]
    return PointShape(
        block_bytes=size / len(trial.schedules),
        total_gib=size / GIB,
        held_s=round(frees[0] - starts[0], 3),
        idle_s=round(idles[0], 3),
        idle_total_s=sum(idles),
        duration_s=end_s,
        cycles=len(frees),
    )


def _differ(
    run: Run, values: Mapping[str, TrialValues], experiment: str, number: Quantity, arms: tuple[Arm, Arm]
) -> dict[int, float]:
    """Return a number of the first arm less that of the second, by repeat, where both are known."""
    first, second = (
        {t.record.repeat: values[t.record.id].get(number) for t in run.ok_trials(experiment, arm)}
        for arm in arms
    )
    differences = {repeat: subtract(value, second.get(repeat)) for repeat, value in first.items()}
    return {repeat: value for repeat, value in differences.items() if value is not None}

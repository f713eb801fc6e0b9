"""The largest study that a budget of memory and time allows: docs/decisions/014-counts-stay.md.

Sizes and times give way first, then repeats beyond those that show something, then counts, and the last repeats at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from freepage.errors import CapacityError
from freepage.study.demand import find_demand_bytes, find_duration_s
from freepage.study.repeats import ENOUGH_REPEATS, LEAST_REPEATS
from freepage.study.scaling.scale import LEAST_FACTOR, LEAST_INSTANCES, LEAST_ITERATIONS, Scale
from freepage.study.scaling.study import find_experiments, scale_experiment
from freepage.study.study import MemoryGroup, Sizing
from freepage.study.warmup import warmup_duration_s
from freepage.units import MIB, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from freepage.study.file import ExperimentFile, StudyFile
    from freepage.study.study import Conditions, Experiment

STEPS = 16
# Sizes grow into memory that is there as long as a repeat takes no longer. Where a node is shared it may take so much longer,
# since the VMs' levels only differ by something once they use more than they need when idle.
SHARED_NODE_MAY_TAKE = 1.1


@dataclass(frozen=True)
class Budget:
    """The memory that a trial may take, and the time that a run may take."""

    memory_bytes: float
    duration_s: float


@dataclass(frozen=True)
class Point:
    """One place on the way from the least study to the whole: repeats of each experiment, share of iterations, factor."""

    repeats: tuple[int, ...]
    iterations: float
    factor: float


class Sketches:
    """The experiments of a study at any sizing, as far as memory and time depend on it; each is computed once."""

    def __init__(self, file: StudyFile, conditions: Conditions) -> None:
        self.file, self.conditions = file, conditions
        self.experiments = find_experiments(file)
        self._known: dict[tuple[str, Sizing], Experiment] = {}
        self._grown: dict[tuple[str, Sizing], Sizing] = {}

    def draw(self, experiment: ExperimentFile, sizing: Sizing) -> Experiment:
        """Return an experiment at a sizing, whatever its repeats."""
        key = experiment.name, replace(sizing, repeats=None)
        if key not in self._known:
            scale = Scale(key[1], self.conditions, sketch=True)
            self._known[key] = scale_experiment(experiment, self.file, scale)
        return self._known[key]

    def demand_bytes(self, experiment: ExperimentFile, sizing: Sizing) -> int:
        return find_demand_bytes(self.draw(experiment, sizing))

    def duration_s(self, experiment: ExperimentFile, sizing: Sizing) -> float:
        """Return the seconds of one repeat."""
        return find_duration_s(self.draw(experiment, sizing), self.conditions.accelerator)

    def grow(self, experiment: ExperimentFile, sizing: Sizing, most: float) -> Sizing:
        """Return the sizing with the largest factor up to `most` that takes hardly more time: memory alone is there."""
        key = experiment.name, replace(sizing, repeats=None)
        if key not in self._grown:
            more = SHARED_NODE_MAY_TAKE if experiment.kind.shares_node else 1.0
            limit_s = self.duration_s(experiment, sizing) * more
            # From the least on, whatever the factor: equal limits then give equal sizes.
            larger = find_largest(
                lambda f: self.duration_s(experiment, replace(sizing, factor=f)) <= limit_s, high=most
            )
            factor = max(sizing.factor, larger)
            self._grown[key] = replace(key[1], factor=factor)
        return replace(self._grown[key], repeats=sizing.repeats)

    def repeats_of(self, experiment: ExperimentFile) -> int:
        return experiment.repeats or self.file.repeats


@dataclass(frozen=True)
class Way:
    """The way from the least study that fits a memory to the largest that does; on it nothing ever gets less.

    most: by experiment the largest sizing that the memory allows. fixed: repeats are as given, and do not give way.
    factor: the one that is given; None where the time chooses it.
    """

    sketches: Sketches
    most: tuple[Sizing, ...]
    fixed: bool
    factor: float | None = None

    def sizings(self, point: Point) -> tuple[Sizing, ...]:
        """Return the sizing of each experiment at a point: the factor, or what hardly takes longer."""
        found = []
        for experiment, most, repeats in zip(
            self.sketches.experiments, self.most, point.repeats, strict=True
        ):
            factor = min(most.factor, point.factor)
            sizing = replace(most, factor=factor, iterations=point.iterations, repeats=repeats)
            found.append(self.sketches.grow(experiment, sizing, most.factor))
        return tuple(found)

    def duration_s(self, point: Point) -> float:
        """Return the seconds of a whole run at a point."""
        sizings = self.sizings(point)
        sketches, experiments = self.sketches, self.sketches.experiments
        first = sketches.draw(experiments[0], sizings[0])
        return warmup_duration_s(first, sketches.conditions.accelerator) + sum(
            (sizing.repeats or 1) * sketches.duration_s(experiment, sizing)
            for experiment, sizing in zip(experiments, sizings, strict=True)
        )

    @cached_property
    def points(self) -> list[Point]:
        """Return the points at which repeats and counts are added, at the least factor or the given one.

        Repeats that show something come before counts; where the scale is given its counts belong to it, and come first.
        """
        wanted = [self.sketches.repeats_of(e) for e in self.sketches.experiments]
        if self.fixed:
            return self._build_points([tuple(wanted)], [])
        few = list(_raise_repeats([1] * len(wanted), wanted, [LEAST_REPEATS]))
        beyond = range(ENOUGH_REPEATS, max(*wanted, ENOUGH_REPEATS) + 1)
        many = list(_raise_repeats(list(few[-1]), wanted, beyond))[1:]
        return (
            self._build_points(few, many)
            if self.factor is None
            else self._build_points(few[:1], few[1:] + many)
        )

    def _build_points(self, before: list[tuple[int, ...]], after: list[tuple[int, ...]]) -> list[Point]:
        """Return the points of repeats that come before counts are added, of the counts, and of the repeats after them."""
        least = self.factor or LEAST_FACTOR
        shares = self._shares
        points = [Point(repeats, shares[0], least) for repeats in before]
        points += [Point(before[-1], share, least) for share in shares[1:]]
        return points + [Point(repeats, 1.0, least) for repeats in after]

    @cached_property
    def _shares(self) -> list[float]:
        """Return the shares of iterations from the least to all."""
        drawn = [self.sketches.draw(e, Sizing()) for e in self.sketches.experiments]
        groups = [g for e in drawn for g in e.groups if isinstance(g, MemoryGroup) and g.workload.cyclic]
        most = max((g.iterations for g in groups), default=1)
        return [n / most for n in range(min(LEAST_ITERATIONS, most), most)] + [1.0]


def find_way(file: StudyFile, conditions: Conditions, memory_bytes: float, *, fixed: bool) -> Way:
    """Return the way to the largest study in a memory; CapacityError where even the least experiment needs more."""
    sketches = Sketches(file, conditions)
    most = tuple(_fit_memory(e, sketches, memory_bytes) for e in sketches.experiments)
    return Way(sketches, most, fixed)


def find_way_at(file: StudyFile, conditions: Conditions, factor: float, *, fixed: bool) -> Way:
    """Return the way to the whole study at a given factor."""
    sketches = Sketches(file, conditions)
    return Way(sketches, (Sizing(factor),) * len(sketches.experiments), fixed, factor)


def fit_study(way: Way, budget_s: float, *, at_least: bool = False) -> dict[str, Sizing]:
    """Return the largest sizing of each experiment that lets the run end in `budget_s` seconds.

    Where even the least study takes longer it is returned with `at_least`, and without it CapacityError names the least time.
    """
    point = _find_furthest(way, budget_s)
    if point is None and at_least:
        point = way.points[0]
    if point is None:
        least_s = way.duration_s(way.points[0])
        raise CapacityError(
            f"the study takes {format_duration(math.ceil(least_s))} at least, and may take {format_duration(budget_s)}",
            hint=f"--time {math.ceil(least_s / 60)}min works; so do fewer arms or experiments, and --smoke only tries it",
        )
    sizings = zip(way.sketches.experiments, way.sizings(point), strict=True)
    return {e.name: _round_sizing(way.sketches, e, s) for e, s in sizings}


def _round_sizing(sketches: Sketches, experiment: ExperimentFile, sizing: Sizing) -> Sizing:
    """Return a sizing with a factor of three digits; as it is where the smaller one takes longer, as it may by whole slots."""
    rounded = replace(sizing, factor=_round_down(sizing.factor))
    longer = sketches.duration_s(experiment, rounded) > sketches.duration_s(experiment, sizing)
    return sizing if longer else rounded


def _find_furthest(way: Way, budget_s: float) -> Point | None:
    """Return the furthest point of a way in a time; None where there is none."""
    fitting = _count_fitting(way.points, lambda point: way.duration_s(point) <= budget_s)
    if fitting == 0:
        return None
    point = way.points[fitting - 1]
    if fitting < len(way.points) or way.factor is not None:
        return point
    factor = find_largest(lambda f: way.duration_s(replace(point, factor=f)) <= budget_s)
    return replace(point, factor=factor)


def _count_fitting(points: Sequence[Point], fits: Callable[[Point], bool]) -> int:
    """Return how many points fit, from the first one on."""
    low, high = 0, len(points)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(points[middle - 1]) else (low, middle - 1)
    return low


def _raise_repeats(
    repeats: list[int], wanted: Sequence[int], levels: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """Yield repeats as they are raised level by level, in each from the first experiment to the last."""
    yield tuple(repeats)
    for level in levels:
        for n, most in enumerate(wanted):
            if repeats[n] < min(level, most):
                repeats[n] = min(level, most)
                yield tuple(repeats)


def _fit_memory(experiment: ExperimentFile, sketches: Sketches, memory_bytes: float) -> Sizing:
    """Return the largest sizing in a memory: first sizes give way, then huge pages in guests, then instances."""

    def fits(sizing: Sizing) -> bool:
        return sketches.demand_bytes(experiment, sizing) <= memory_bytes

    sizings = list(_list_least(experiment))
    least = next((sizing for sizing in sizings if fits(sizing)), None)
    if least is not None:
        return replace(least, factor=find_largest(lambda f: fits(replace(least, factor=f))))
    needed = sketches.demand_bytes(experiment, sizings[-1])
    available = sketches.conditions.available_bytes
    is_there = available is None or needed <= available
    raise CapacityError(
        f"{experiment.name} needs {format_bytes(needed)} at its smallest, and may take {format_bytes(memory_bytes)}",
        hint=f"--memory {math.ceil(needed / MIB)}MiB allows it" if is_there else "free some memory",
    )


def _list_least(experiment: ExperimentFile) -> Iterator[Sizing]:
    """Yield the least sizings: with large guests, with small ones, and with fewer and fewer of those."""
    yield Sizing(LEAST_FACTOR)
    yield Sizing(LEAST_FACTOR, compact=True)
    most = max(g.instances for g in experiment.groups)
    for instances in range(most - 1, LEAST_INSTANCES - 1, -1):
        yield Sizing(LEAST_FACTOR, instances=instances / most, compact=True)


def _round_down(factor: float) -> float:
    """Return a factor with three digits that is not larger; those from 1 on are as they are."""
    if factor >= 1:
        return factor
    steps = 10.0 ** (2 - math.floor(math.log10(factor)))
    return math.floor(factor * steps) / steps


def find_largest(fits: Callable[[float], bool], low: float = LEAST_FACTOR, high: float = 1.0) -> float:
    """Return the largest factor that fits between two, by bisection; the lower one, which has to fit, where none does."""
    if fits(high):
        return high
    for _ in range(STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low

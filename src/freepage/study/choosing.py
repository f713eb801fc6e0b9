"""The points of a map that a budget allows: those first that tell most of where FPR begins to pay.

All is decided before a run, from the kernel's pace and a planned price; what is measured decides nothing of what is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from freepage.fpr.mechanics import Passes
from freepage.fpr.paying import break_even_s
from freepage.study.fitting import Sketches, find_way
from freepage.study.points import find_place, is_point
from freepage.study.scaling.memory import PLANNED_TOUCH_RATE
from freepage.study.study import Sizing
from freepage.study.warmup import warmup_duration_s
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from freepage.study.file import ExperimentFile, StudyFile
    from freepage.study.fitting import Budget
    from freepage.study.study import Conditions

# Allocating again takes a third longer with FPR (the article's table): a plan for the order of points, never a result.
PLANNED_PENALTY = 1 / 3
# So many points of a line tell most of it: what is possible, and one on either side of the break-even. Fewer are no map, so
# repeats give way before them.
LEAST_POINTS = 3


@dataclass(frozen=True)
class Choice:
    """A study without what does not run: left_out, by name. whole_s: the seconds that all points which fit the memory would take."""

    file: StudyFile
    left_out: tuple[str, ...] = ()
    whole_s: float | None = None


def choose_points(file: StudyFile, conditions: Conditions, budget: Budget) -> Choice:
    """Return a study with as many points of its maps as a budget allows with all repeats, LEAST_POINTS at least."""
    sketches = Sketches(file, conditions)
    points = order_points([e for e in sketches.experiments if is_point(e)], conditions)
    if not points:
        return Choice(file)
    others = tuple(e for e in sketches.experiments if not is_point(e))
    costs_s = {e.name: sketches.repeats_of(e) * sketches.duration_s(e, Sizing()) for e in points}
    others_s = (
        _find_others_s(file, others, conditions, budget) if others else _find_warmup_s(points[0], sketches)
    )
    fitting = _find_fitting(points, sketches, budget.memory_bytes)
    chosen = _take(fitting, costs_s, budget.duration_s - others_s)
    names = {e.name for e in chosen}
    return Choice(
        file.model_copy(update={"experiment": (*others, *chosen)}),
        tuple(e.name for e in points if e.name not in names),
        others_s + sum(costs_s[e.name] for e in fitting),
    )


def order_points(points: Sequence[ExperimentFile], conditions: Conditions) -> list[ExperimentFile]:
    """Return points as they are run for as long as there is time: line by line in turn, the first three of each line first.

    The lines of a further hold come after the second three of the first one: what is saved depends on it, the break-even by the
    kernel's pace does not.
    """
    lines: dict[tuple[float, int], list[ExperimentFile]] = {}
    for point in points:
        lines.setdefault(find_place(point)[:2], []).append(point)
    holds = list(dict.fromkeys(hold for hold, _ in lines))
    keyed = [
        ((rank // LEAST_POINTS + holds.index(hold), holds.index(hold), rank, n), point)
        for n, ((hold, size), line) in enumerate(lines.items())
        for rank, point in enumerate(_rank_line(line, size, conditions))
    ]
    return [point for _, point in sorted(keyed, key=lambda each: each[0])]


def _rank_line(line: Iterable[ExperimentFile], size: int, conditions: Conditions) -> list[ExperimentFile]:
    """Return the points of one block and hold: the longest idle time, then from the predicted break-even outwards.

    Those that end before the first pass, in which nothing can come back, are the last.
    """
    passes = Passes(block_bytes=conditions.block_bytes)
    price_s_per_gib = PLANNED_PENALTY * GIB / PLANNED_TOUCH_RATE[conditions.accelerator]
    middle_s = break_even_s(size, price_s_per_gib, passes)
    longest, *rest = sorted(line, key=_idle_s, reverse=True)
    above = [p for p in reversed(rest) if _idle_s(p) > middle_s]
    below = [p for p in rest if passes.delay_s < _idle_s(p) <= middle_s]
    early = [p for p in rest if _idle_s(p) <= passes.delay_s]
    outwards = [p for pair in zip_longest(above, below) for p in pair if p is not None]
    return [longest, *outwards, *early]


def _idle_s(point: ExperimentFile) -> float:
    return find_place(point)[2]


def _find_fitting(
    points: Sequence[ExperimentFile], sketches: Sketches, memory_bytes: float
) -> list[ExperimentFile]:
    """Return the points that fit a memory; the smallest, which is then refused or made smaller, where none does."""
    needed = {e.name: sketches.demand_bytes(e, Sizing()) for e in points}
    fitting = [e for e in points if needed[e.name] <= memory_bytes]
    return fitting or [min(points, key=lambda e: needed[e.name])]


def _take(points: Sequence[ExperimentFile], costs_s: dict[str, float], left_s: float) -> list[ExperimentFile]:
    """Return the points from the first on that a time allows."""
    chosen: list[ExperimentFile] = []
    for point in points:
        left_s -= costs_s[point.name]
        if left_s < 0 and len(chosen) >= LEAST_POINTS:
            break
        chosen.append(point)
    return chosen


def _find_others_s(
    file: StudyFile, others: Sequence[ExperimentFile], conditions: Conditions, budget: Budget
) -> float:
    """Return the seconds of what a study has beside its maps, with all repeats at the least sizes, the warm-up among them."""
    rest = file.model_copy(update={"experiment": tuple(others)})
    way = find_way(rest, conditions, budget.memory_bytes, fixed=True)
    return way.duration_s(way.points[-1])


def _find_warmup_s(first: ExperimentFile, sketches: Sketches) -> float:
    return warmup_duration_s(sketches.draw(first, Sizing()), sketches.conditions.accelerator)

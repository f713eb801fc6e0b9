"""The gains of a longer run of a study."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.study.repeats import ENOUGH_REPEATS, LEAST_REPEATS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freepage.study.fitting import Point, Way


def list_more(way: Way, budget_s: float) -> list[tuple[float, str]]:
    """Return what would come with more time than `budget_s`: the seconds that it needs, and what it is, the least first."""
    points = way.points
    shown = _first(points, lambda p: _all_have(p, points[-1], LEAST_REPEATS))
    counted = _first(points, lambda p: _all_have(p, points[-1], LEAST_REPEATS) and p.iterations == 1.0)
    decided = _first(points, lambda p: _all_have(p, points[-1], ENOUGH_REPEATS))
    found = [
        (way.duration_s(shown), _name_repeats(points[-1], LEAST_REPEATS, "show differences")),
        (way.duration_s(counted), "all allocations of the study in each trial"),
        (way.duration_s(decided), _name_repeats(points[-1], ENOUGH_REPEATS, "confirm and contradict")),
        *_list_larger(way, points[-1]),
    ]
    by_seconds: dict[float, str] = {}
    for seconds, words in found:
        if seconds > budget_s:
            by_seconds.setdefault(seconds, words)
    return list(by_seconds.items())


def _name_repeats(whole: Point, repeats: int, what_for: str) -> str:
    """Return what so many repeats of every experiment are, where the study wants so many."""
    if min(whole.repeats) < repeats:
        return "all repeats of the study"
    return f"{repeats} repeats of every experiment, which {what_for}"


def _list_larger(way: Way, whole: Point) -> list[tuple[float, str]]:
    """Return the time of the largest sizes that the memory allows; nothing where the scale is given."""
    if way.factor is not None:
        return []
    smallest = min(most.factor for most in way.most)
    words = "the study's own sizes" if smallest >= 1 else "the largest sizes for this memory"
    return [(way.duration_s(replace(whole, factor=1.0)), words)]


def _first(points: Sequence[Point], fits: Callable[[Point], bool]) -> Point:
    return next(p for p in points if fits(p))


def _all_have(point: Point, whole: Point, repeats: int) -> bool:
    """Return whether every experiment has so many repeats, or all that the study wants."""
    return all(n >= min(repeats, most) for n, most in zip(point.repeats, whole.repeats, strict=True))

"""The answer for one metric: its points by entity, and how often it really was new."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from freepage.prometheus.profile import name_entity
from freepage.prometheus.series import are_of_several_clusters

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from freepage.prometheus.profile import ProfileMetric, Scope
    from freepage.prometheus.series import TimeSeries

# Less than any two samples are apart.
EPSILON_S = 1e-6

Points = list[tuple[float, float | None]]


@dataclass(frozen=True)
class MetricAnswer:
    """The answer for one metric: points by entity, the query, and the reason where there are none."""

    metric: ProfileMetric
    query: str | None
    points: dict[str, Points]
    error: str | None = None


def group_points(metric: ProfileMetric, scope: Scope, series: Iterable[TimeSeries]) -> dict[str, Points]:
    """Group the points of series by entity.

    An entity that moved, or whose exporter started again, has several series, one after the other. Where two overlap
    (a node scraped by two jobs, or by both of a pair of Prometheus) the one with more numbers stands, because both
    together would look finer than either is; of equals always the same, whichever came first.
    """
    points: dict[str, Points] = {}
    taken: dict[str, list[tuple[float, float]]] = {}
    for one in sorted(series, key=_order_of_standing):
        name = name_entity(metric, one.labels, scope)
        spans = taken.setdefault(name, [])
        fresh = [p for p in one.points if not any(start < p[0] < end for start, end in spans)]
        if fresh:
            points[name] = sorted([*points.get(name, []), *fresh], key=lambda p: p[0])
            spans.append(_find_span(fresh))
    return points


def find_shared(metric: ProfileMetric, scope: Scope, series: Iterable[TimeSeries]) -> list[str]:
    """Return the entities whose series are of several clusters: which of them ran here is not known."""
    labels: dict[str, list[dict[str, str]]] = {}
    for one in series:
        labels.setdefault(name_entity(metric, one.labels, scope), []).append(one.labels)
    return [name for name, of_name in labels.items() if are_of_several_clusters(of_name)]


def _find_span(points: Points) -> tuple[float, float]:
    """Return the times between which points leave no room for one more: up to where the next ones would be."""
    times = [t for t, _ in points]
    distance_s = _median_distance([times]) or EPSILON_S
    return times[0] - distance_s, times[-1] + distance_s


def _order_of_standing(series: TimeSeries) -> tuple[int, list[tuple[str, str]]]:
    return -sum(value is not None for _, value in series.points), sorted(series.labels.items())


def describe_answer(answer: MetricAnswer) -> dict[str, Any]:
    """Return a metric's part of prometheus.json: the query, the number of points, and how often it was new.

    sampled_s: median distance of samples, null for an expression, whose times are only when it was evaluated.
    changed_s: median distance of changes of value, which no sampling can make finer.
    """
    metric, series = answer.metric, list(answer.points.values())
    return {
        "id": metric.id,
        "about": metric.about,
        "source": metric.source,
        "unit": metric.unit,
        "kind": metric.kind,
        "ours": metric.ours,
        "query": answer.query,
        "raw": metric.raw,
        "step_s": metric.step_s,
        "refresh_s": metric.refresh_s,
        "refresh_why": metric.refresh_why,
        "entities": len(series),
        "points": sum(len(points) for points in series),
        "sampled_s": _median_distance([[t for t, _ in points] for points in series]) if metric.raw else None,
        "changed_s": _median_distance([find_changes(points) for points in series]),
        "error": answer.error,
    }


def find_changes(points: Points) -> list[float]:
    """Return the times at which a value differs from the one before; a missing one is neither."""
    known = [(t, value) for t, value in points if value is not None]
    return [t for (_, before), (t, value) in itertools.pairwise(known) if value != before]


def _median_distance(times: Sequence[Sequence[float]]) -> float | None:
    distances = [later - earlier for one in times for earlier, later in itertools.pairwise(one)]
    return round(median(distances), 3) if distances else None

"""Series of samples: read from Prometheus' answers, and from queries cut to what a server permits.

Times are seconds since 1970 by Prometheus' clock. A value that is no number (NaN, +Inf) is None: missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

# A server refuses more than 11,000 steps for one query; Prometheus counts (end - start) / step.
MOST_POINTS = 10_000
# The span of stored samples that one query asks for.
RAW_SPAN_S = 3600
# By these a server for many clusters tells them apart.
CLUSTER_LABELS = ("cluster", "cluster_id", "clusterID", "cluster_name")


@dataclass(frozen=True)
class TimeSeries:
    """One series of an answer: its labels, and (time, value) in order."""

    labels: dict[str, str]
    points: list[tuple[float, float | None]]


@dataclass(frozen=True)
class Span:
    """A span of whole seconds."""

    start_s: int
    end_s: int


def are_of_several_clusters(labels: Collection[Mapping[str, str]]) -> bool:
    """Return whether series of one name are of several clusters, so that they are not of the same thing."""
    return any(len({of[label] for of in labels if label in of}) > 1 for label in CLUSTER_LABELS)


def split_range(span: Span, step_s: float) -> list[tuple[float, float]]:
    """Cut a span into (first, last) times of a grid `step_s` apart, with at most MOST_POINTS points from one to the other."""
    count = math.floor((span.end_s - span.start_s) / step_s + 1e-9) + 1
    return [
        (span.start_s + first * step_s, span.start_s + (min(first + MOST_POINTS, count) - 1) * step_s)
        for first in range(0, count, MOST_POINTS)
    ]


def split_span(span: Span) -> list[Span]:
    """Cut a span into those that one query for stored samples covers; each ends where the next begins."""
    starts = range(span.start_s, span.end_s, RAW_SPAN_S)
    return [Span(start, min(start + RAW_SPAN_S, span.end_s)) for start in starts]


def join_chunks(chunks: Iterable[list[TimeSeries]]) -> list[TimeSeries]:
    """Join the answers for consecutive chunks: each series once, each of its times once, in order."""
    labels: dict[frozenset[tuple[str, str]], dict[str, str]] = {}
    points: dict[frozenset[tuple[str, str]], dict[float, float | None]] = {}
    for series in (series for chunk in chunks for series in chunk):
        key = frozenset(series.labels.items())
        labels.setdefault(key, series.labels)
        points.setdefault(key, {}).update(series.points)
    return [TimeSeries(labels[key], sorted(found.items())) for key, found in points.items()]


def parse_value(value: object) -> float | None:
    """Read a sample's value, which most servers give as text; None for what is no number, and for what has no bounds."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_series(data: dict[str, Any]) -> list[TimeSeries]:
    """Read the series of a vector or a matrix, or a scalar as one without labels, by what is there; histograms have no points.

    What is of another type than the API has is left out.
    """
    found = _list(data.get("result"))
    if data.get("resultType") in ("scalar", "string"):
        return [TimeSeries({}, _read_points([found]))]
    return [_read_one(series) for series in found if isinstance(series, dict) and _has_points(series)]


def read_labels(data: dict[str, Any]) -> list[dict[str, str]]:
    """Read the labels of series from an answer that has nothing else; what is of another type than the API has is left out."""
    return [_read_texts(labels) for labels in _list(data.get("result")) if isinstance(labels, dict)]


def _read_texts(labels: dict[Any, Any]) -> dict[str, str]:
    return {str(name): str(text) for name, text in labels.items()}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_points(series: dict[str, Any]) -> bool:
    return series.get("values") is not None or series.get("value") is not None


def _read_one(series: dict[str, Any]) -> TimeSeries:
    metric, values = series.get("metric"), series.get("values")
    labels = _read_texts(metric) if isinstance(metric, dict) else {}
    return TimeSeries(labels, _read_points([series.get("value")] if values is None else _list(values)))


def _read_points(values: Iterable[Any]) -> list[tuple[float, float | None]]:
    """Return the points in order, each of their times once; what is no pair of a time and a value is left out."""
    pairs = (pair for pair in values if isinstance(pair, list) and len(pair) == 2)
    timed = ((parse_value(t), parse_value(value)) for t, value in pairs)
    return sorted({t: value for t, value in timed if t is not None}.items())

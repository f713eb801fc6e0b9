"""Series of samples: read from Prometheus' answers, and from queries cut to what a server permits.

Times are seconds since 1970 by Prometheus' clock. A value that is no number (NaN, +Inf) is None: missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# A server refuses more than 11,000 steps for one query; Prometheus counts (end - start) / step.
MOST_POINTS = 10_000
# The span of stored samples that one query asks for.
RAW_SPAN_S = 3600


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


def parse_value(text: str) -> float | None:
    """Read a sample's value; None for what is no number."""
    value = float(text)
    return value if math.isfinite(value) else None


def read_series(data: dict[str, Any]) -> list[TimeSeries]:
    """Read the series of a vector or a matrix; histograms have no points."""
    found = data.get("result", ())
    return [
        TimeSeries(
            series.get("metric", {}),
            [(float(t), parse_value(v)) for t, v in series.get("values") or [series["value"]]],
        )
        for series in found
        if "values" in series or "value" in series
    ]

"""Collects what a Prometheus has for the whole span of a stored run."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freepage.prometheus.answers import MetricAnswer, describe_answer, find_shared, group_points
from freepage.prometheus.client import open_prometheus
from freepage.prometheus.errors import QueryError
from freepage.prometheus.profile import fill_query, parse_profile, read_profile
from freepage.prometheus.scope import find_scope, find_span, node_names
from freepage.prometheus.series import Span
from freepage.store import PrometheusSamples, load_run, write_prometheus

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from freepage.prometheus.client import PrometheusClient, Settings
    from freepage.prometheus.profile import ProfileMetric, Scope

SCHEMA = 1


async def collect(folder: Path, settings: Settings) -> PrometheusSamples:
    """Ask a Prometheus for everything its profile has about a stored run, and store it in the run's folder.

    A query that is refused leaves its metric empty, with the reason; PrometheusError when nothing can be asked.
    """
    run = load_run(folder)
    profile = read_profile()
    async with open_prometheus(settings) as client:
        clock = await client.measure_clock()
        span = find_span(run, clock.offset_s, time.time())
        scope = await find_scope(client, run.manifest, settings, span)
        answers = [await _ask(client, metric, scope, span) for metric in parse_profile(profile)]
        info = {
            "schema": SCHEMA,
            "url": client.url,
            "version": await client.read_version(),
            "collected_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "start_s": span.start_s,
            "end_s": span.end_s,
            "clock": asdict(clock),
            "nodes": {name: scope.nodes.get(name) for name in node_names(run.manifest, settings)},
            "namespace": scope.namespace,
            "names": scope.names,
            "warnings": client.warnings,
            "metrics": [describe_answer(a) for a in answers],
            "profile": profile,
        }
    collected = PrometheusSamples(info, _build_frame(answers))
    write_prometheus(folder, collected)
    return collected


async def _ask(client: PrometheusClient, metric: ProfileMetric, scope: Scope, span: Span) -> MetricAnswer:
    if not scope.covers(metric.about):
        return MetricAnswer(metric, None, {}, f"the run has no {metric.about} that Prometheus knows of")
    query = fill_query(metric, scope)
    try:
        if metric.step_s is None:
            series = await client.query_samples(query, span)
        else:
            series = await client.query_range(query, _find_span_of(metric, span), metric.step_s)
    except QueryError as error:
        return MetricAnswer(metric, query, {}, error.message)
    shared = find_shared(metric, scope, series)
    if shared:
        words = f"several clusters have {', '.join(shared[:3])}: ask the cluster's own Prometheus"
        return MetricAnswer(metric, query, {}, words)
    return MetricAnswer(metric, query, group_points(metric, scope, series))


def _find_span_of(metric: ProfileMetric, span: Span) -> Span:
    """Return the span that a metric is asked for: the run's, or whole steps that end where that begins."""
    if metric.before_s is None:
        return span
    return Span(span.start_s - metric.before_s + round(metric.step_s or 0), span.start_s)


def _build_frame(answers: list[MetricAnswer]) -> pl.DataFrame:
    import polars as pl

    rows = [
        (t, answer.metric.id, entity, value)
        for answer in answers
        for entity, points in answer.points.items()
        for t, value in points
    ]
    schema = {"wall_s": pl.Float64, "metric": pl.String, "entity": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")

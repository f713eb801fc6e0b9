"""Collects what a Prometheus has for the whole span of a stored run."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from freepage.prometheus.client import (
    PrometheusError,
    QueryError,
    Span,
    open_prometheus,
)
from freepage.prometheus.profile import (
    Scope,
    fill_query,
    find_instances,
    name_entity,
    parse_profile,
    read_profile,
)
from freepage.store import PrometheusSamples, load_run, write_prometheus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import polars as pl

    from freepage.prometheus.client import PrometheusClient, Settings, TimeSeries
    from freepage.prometheus.profile import ProfileMetric
    from freepage.records import Manifest
    from freepage.store import Run, TrialData

SCHEMA = 1
# Before the first trial and after the last, so that there is a sample on either side of everything.
MARGIN_S = 60
NODES_QUERY = '{__name__=~"node_uname_info|node_memory_MemTotal_bytes|kube_node_info"}'

Points = list[tuple[float, float | None]]


@dataclass(frozen=True)
class Answer:
    """What came for one metric: points by entity, the query, and why there is nothing where there is nothing."""

    metric: ProfileMetric
    query: str | None
    points: dict[str, Points]
    error: str | None = None


async def collect(folder: Path, settings: Settings) -> PrometheusSamples:
    """Ask a Prometheus for everything its profile has about a stored run, and keep it in the run's folder.

    A query that is refused leaves its metric empty, with the reason; PrometheusError when nothing can be asked.
    """
    run = load_run(folder)
    profile = read_profile()
    async with open_prometheus(settings) as client:
        clock = await client.measure_clock()
        span = find_span(run, clock.offset_s, time.time())
        scope = await _find_scope(client, run.manifest, settings, span)
        answers = [await _ask(client, metric, scope, span) for metric in parse_profile(profile)]
        info = {
            "schema": SCHEMA,
            "url": client.url,
            "version": await client.read_version(),
            "collected_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "start_s": span.start_s,
            "end_s": span.end_s,
            "clock": asdict(clock),
            "nodes": {name: scope.nodes.get(name) for name in _node_names(run.manifest, settings)},
            "namespace": scope.namespace,
            "names": scope.names,
            "warnings": client.warnings,
            "metrics": [describe_answer(a) for a in answers],
            "profile": profile,
        }
    collected = PrometheusSamples(info, _build_frame(answers))
    write_prometheus(folder, collected)
    return collected


def find_span(run: Run, offset_s: float, now_s: float) -> Span:
    """Give the span of a run's trials by Prometheus' clock (ours + offset), with a margin, but not past now.

    An expression asked for in the future would repeat its last value. Raises PrometheusError for a run without a trial
    that began.
    """
    spans = [span for t in run.trials if (span := _trial_span(t)) is not None]
    if not spans:
        raise PrometheusError(f"no trial of {run.folder} has a start, so there is nothing to ask about")
    start_s, end_s = min(s for s, _ in spans) + offset_s, max(e for _, e in spans) + offset_s
    last_s = min(math.ceil(end_s) + MARGIN_S, max(math.ceil(end_s), math.floor(now_s + offset_s)))
    return Span(math.floor(start_s) - MARGIN_S, last_s)


def _trial_span(trial: TrialData) -> tuple[float, float] | None:
    """Give when a trial's samples were taken, in seconds since 1970."""
    if trial.record.wall_zero is None or trial.samples.is_empty():
        return None
    zero_s = datetime.fromisoformat(trial.record.wall_zero).timestamp()
    times = trial.samples["t_s"].to_list()
    return zero_s + min(times), zero_s + max(times)


async def _find_scope(client: PrometheusClient, manifest: Manifest, settings: Settings, span: Span) -> Scope:
    """Find what the run is about, and which `instance` each node is here.

    A node that Prometheus does not know is a warning; PrometheusError when there is nothing to ask about.
    """
    host = manifest.host
    names = _node_names(manifest, settings)
    namespace = settings.namespace or _word(host.get("namespace"))
    prefix = settings.names or _word(host.get("names")) or ""
    seen = [s.labels for s in await client.query(NODES_QUERY, span.end_s)]
    nodes = find_instances(names, seen)
    known = _list_some({s["instance"] for s in seen if "instance" in s})
    missing = [name for name in names if name not in nodes]
    if missing:
        client.warnings.append(
            f"no node-exporter of {', '.join(missing)} is known (known instances: {known})"
        )
    if not nodes and namespace is None:
        raise PrometheusError(
            f"{client.url} knows nothing of {', '.join(names)} at the time of the run",
            hint=f"say which node it is with --node INSTANCE; it knows: {known}",
        )
    return Scope(nodes, namespace, prefix)


def _node_names(manifest: Manifest, settings: Settings) -> tuple[str, ...]:
    """Give the nodes asked for, or those of the run: the facts of several nodes have their names in one line."""
    return settings.nodes or tuple(str(manifest.host.get("hostname") or "").split(", "))


def _list_some(names: set[str], most: int = 8) -> str:
    shown = ", ".join(sorted(names)[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _word(value: object) -> str | None:
    return None if value is None else str(value)


async def _ask(client: PrometheusClient, metric: ProfileMetric, scope: Scope, span: Span) -> Answer:
    if not scope.covers(metric.about):
        return Answer(metric, None, {}, f"the run has no {metric.about} that Prometheus knows of")
    query = fill_query(metric, scope)
    try:
        if metric.step_s is None:
            series = await client.query_samples(query, span)
        else:
            series = await client.query_range(query, span, metric.step_s)
    except QueryError as error:
        return Answer(metric, query, {}, error.message)
    return Answer(metric, query, group_points(metric, scope, series))


def group_points(metric: ProfileMetric, scope: Scope, series: Iterable[TimeSeries]) -> dict[str, Points]:
    """Give points by entity.

    An entity that moved, or whose exporter started again, has several series, one after the other. Where two overlap
    (a node scraped by two jobs) the longer one stands, because both together would look finer than either is.
    """
    points: dict[str, Points] = {}
    taken: dict[str, list[tuple[float, float]]] = {}
    for one in sorted(series, key=lambda s: -len(s.points)):
        name = name_entity(metric, one.labels, scope)
        spans = taken.setdefault(name, [])
        fresh = [p for p in one.points if not any(start <= p[0] <= end for start, end in spans)]
        if fresh:
            points[name] = sorted([*points.get(name, []), *fresh], key=lambda p: p[0])
            spans.append((fresh[0][0], fresh[-1][0]))
    return points


def describe_answer(answer: Answer) -> dict[str, Any]:
    """Give what prometheus.json says of a metric: what was asked, what came, and how often it was new.

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
    """Give the times at which a value differs from the one before; a missing one is neither."""
    known = [(t, value) for t, value in points if value is not None]
    return [t for (_, before), (t, value) in itertools.pairwise(known) if value != before]


def _median_distance(times: Sequence[Sequence[float]]) -> float | None:
    distances = [later - earlier for one in times for earlier, later in itertools.pairwise(one)]
    return round(median(distances), 3) if distances else None


def _build_frame(answers: list[Answer]) -> pl.DataFrame:
    import polars as pl

    rows = [
        (t, answer.metric.id, entity, value)
        for answer in answers
        for entity, points in answer.points.items()
        for t, value in points
    ]
    schema = {"wall_s": pl.Float64, "metric": pl.String, "entity": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")

"""The span and the scope of a stored run: when to ask about, and which nodes, namespace and names."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from freepage.prometheus.errors import PrometheusError
from freepage.prometheus.profile import Scope, find_instances
from freepage.prometheus.series import Span

if TYPE_CHECKING:
    from freepage.prometheus.client import PrometheusClient, Settings
    from freepage.records import Manifest
    from freepage.store import Run, TrialData

# Before the first trial and after the last, so that there is a sample on either side of everything.
MARGIN_S = 60
NODES_QUERY = '{__name__=~"node_uname_info|node_memory_MemTotal_bytes|kube_node_info"}'


def find_span(run: Run, offset_s: float, now_s: float) -> Span:
    """Return the span of a run's trials by Prometheus' clock (ours + offset), with a margin, but not past now.

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
    """Return the times of a trial's first and last sample (s since 1970); None where it has none."""
    if trial.record.wall_zero is None or trial.samples.is_empty():
        return None
    zero_s = datetime.fromisoformat(trial.record.wall_zero).timestamp()
    times = trial.samples["t_s"].to_list()
    return zero_s + min(times), zero_s + max(times)


async def find_scope(client: PrometheusClient, manifest: Manifest, settings: Settings, span: Span) -> Scope:
    """Find the run's nodes with their `instance` labels, its namespace, and how its names begin.

    A node that Prometheus does not know is a warning; PrometheusError when there is nothing to ask about.
    """
    host = manifest.host
    names = node_names(manifest, settings)
    namespace = settings.namespace or _text_or_none(host.get("namespace"))
    prefix = settings.names or _text_or_none(host.get("names")) or ""
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


def node_names(manifest: Manifest, settings: Settings) -> tuple[str, ...]:
    """Return the nodes asked for, else those of the run: the facts of several nodes have their names in one line."""
    return settings.nodes or tuple(str(manifest.host.get("hostname") or "").split(", "))


def _list_some(names: set[str], most: int = 8) -> str:
    shown = ", ".join(sorted(names)[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)

"""The values a Prometheus has of a run, beside what freepage sampled itself at the same times."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from freepage.analysis.series import Series, metric_series, node_series, resample
from freepage.analysis.stats import Estimate
from freepage.metrics import in_use_bytes
from freepage.records import NODE, ClockOffset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from freepage.store import PrometheusSamples, Run, TrialData

IN_USE = "in use"
# The parts of the article's formula, as node-exporter names them, by our names.
IN_USE_PARTS = {
    f"mem_{ours}_bytes": f"node_memory_{theirs}_bytes"
    for ours, theirs in (
        ("total", "MemTotal"),
        ("free", "MemFree"),
        ("cached", "Cached"),
        ("buffers", "Buffers"),
        ("sreclaimable", "SReclaimable"),
    )
}
RESIDENT = "kubevirt_vmi_memory_resident_bytes"
# The containers that carry a workload: our worker, and KubeVirt's for a VM.
WORKLOADS = ("worker", "compute")
# The distance of samples (s) that the article asked of its Prometheus; further apart than so many times it is not that.
WISHED_S = 1.0
MOST_TIMES = 1.5
# The share of differences that lies between "low" and "high".
MIDDLE = (0.05, 0.95)


@dataclass(frozen=True)
class PrometheusMetric:
    """One metric that a Prometheus was asked for; the fields are those of prometheus.json.

    difference: its samples less our own at the same times, the median, and between what the middle nine tenths of them
    lie; None where there is nothing of ours to compare.
    """

    id: str
    about: str
    source: str
    unit: str
    kind: str
    query: str
    raw: bool
    step_s: float | None
    refresh_s: float
    refresh_why: str
    entities: int
    points: int
    sampled_s: float | None
    changed_s: float | None
    error: str | None
    difference: Estimate | None


@dataclass(frozen=True)
class PrometheusResults:
    """Everything a Prometheus has of a run. clock: its clock less ours. nodes: their label `instance` by name."""

    url: str
    version: str | None
    collected_at: str
    clock: ClockOffset
    nodes: dict[str, str | None]
    namespace: str | None
    warnings: tuple[str, ...]
    metrics: tuple[PrometheusMetric, ...]


def build_prometheus(run: Run) -> PrometheusResults | None:
    """Return what a Prometheus has of a run; None where none was asked."""
    if run.prometheus is None:
        return None
    info = run.prometheus.info
    known = ("url", "version", "collected_at", "nodes", "namespace")
    return PrometheusResults(
        **{key: info[key] for key in known},
        clock=ClockOffset(**info["clock"]),
        warnings=tuple(info["warnings"]),
        metrics=tuple(_build_metric(run, m) for m in info["metrics"] if m["query"] is not None),
    )


def _build_metric(run: Run, metric: Mapping[str, Any]) -> PrometheusMetric:
    known = {field.name: metric[field.name] for field in fields(PrometheusMetric) if field.name in metric}
    difference = _summarise(find_differences(run, metric), metric["unit"])
    return PrometheusMetric(**known, difference=difference)


def find_differences(run: Run, metric: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return Prometheus' samples less our own at the same times, over all trials; none where there is nothing of ours."""
    if run.prometheus is None or metric["ours"] is None:
        return np.array([])
    pairs = [pair for trial in run.ok_trials() for pair in _pairs(run.prometheus, trial, metric)]
    parts = [_subtract(theirs, ours.known()) for theirs, ours in pairs]
    return np.concatenate(parts) if parts else np.array([])


def _subtract(theirs: Series, ours: Series) -> NDArray[np.float64]:
    """Return theirs less ours, interpolated between samples but not across a gap, at their times."""
    if len(ours.t_s) < 2:
        return np.array([])
    found = theirs.values - resample(ours, theirs.t_s, float(np.median(np.diff(ours.t_s))))
    return np.asarray(found[~np.isnan(found)])


def _pairs(
    collected: PrometheusSamples, trial: TrialData, metric: Mapping[str, Any]
) -> Iterator[tuple[Series, Series]]:
    """Yield a metric and the number of ours that should be the same, for everything in the trial that has both."""
    by_entity = trial_series(collected, trial, metric["id"])
    if metric["about"] == NODE:
        theirs = add_series(list(by_entity.values()), len(collected.info["nodes"]))
        yield theirs, own_node_series(trial, metric["ours"])
        return
    for entity, theirs in by_entity.items():
        instance = find_vmi(entity, trial)
        if instance is not None:
            yield theirs, metric_series(trial, instance, metric["ours"])


def trial_series(collected: PrometheusSamples, trial: TrialData, metric: str) -> dict[str, Series]:
    """Return a metric by entity while our samples of a trial were taken, in seconds since the trial's zero by our clock."""
    if trial.record.wall_zero is None or trial.samples.is_empty():
        return {}
    zero_s = datetime.fromisoformat(trial.record.wall_zero).timestamp() + collected.info["clock"]["offset_s"]
    times = trial.samples["t_s"].to_numpy()
    within = pl.col("wall_s").is_between(zero_s + float(times.min()), zero_s + float(times.max()))
    rows = collected.samples.filter((pl.col("metric") == metric) & within).sort("wall_s")
    return {
        str(entity): Series(
            part["wall_s"].to_numpy() - zero_s, part["value"].fill_null(float("nan")).to_numpy()
        )
        for (entity,), part in rows.group_by("entity", maintain_order=True)
    }


def in_use_series(collected: PrometheusSamples, trial: TrialData) -> Series:
    """Return all nodes' memory in use by the article's formula, at the times of Prometheus' own samples."""
    parts = {ours: trial_series(collected, trial, theirs) for ours, theirs in IN_USE_PARTS.items()}
    nodes = [
        _combine({ours: found[name] for ours, found in parts.items() if name in found})
        for name in parts["mem_total_bytes"]
    ]
    return add_series(nodes, len(collected.info["nodes"]))


def _combine(parts: Mapping[str, Series]) -> Series:
    """Return what the formula makes where all parts were sampled at once, as they are in one scrape."""
    times = sorted(set.intersection(*(set(s.t_s.tolist()) for s in parts.values())))
    values = {key: dict(zip(s.t_s.tolist(), s.values.tolist(), strict=True)) for key, s in parts.items()}
    in_use = [in_use_bytes({key: found[t] for key, found in values.items()}) for t in times]
    return Series(np.array(times), np.array([np.nan if v is None else v for v in in_use], dtype=float))


def resident_totals(collected: PrometheusSamples, trial: TrialData) -> tuple[Series, Series]:
    """Return the resident memory of all VMs of a trial, as we sampled it and as KubeVirt exports it."""
    found = trial_series(collected, trial, RESIDENT)
    mine = {entity: name for entity in found if (name := find_vmi(entity, trial)) is not None}
    ours = [metric_series(trial, name, "rss_bytes") for name in mine.values()]
    return add_series(ours, len(mine)), add_series([found[entity] for entity in mine], len(mine))


def own_node_series(trial: TrialData, ours: str) -> Series:
    """Return a number of ours of the whole node; memory in use as the article has it, with what only we see left out."""
    return node_series(trial, _plain_in_use) if ours == IN_USE else metric_series(trial, NODE, ours)


def _plain_in_use(tick: Mapping[str, float | None]) -> float | None:
    return in_use_bytes({key: tick.get(key) for key in IN_USE_PARTS})


def find_vmi(entity: str, trial: TrialData) -> str | None:
    """Return the instance of a trial that a VM, or a pod's container, is; a trial's number and the instance end its name."""
    pod, _, container = entity.partition("/")
    if container and container not in WORKLOADS:
        return None
    name = re.sub(r"^virt-launcher-(.+)-[a-z0-9]{5}$", r"\1", pod)
    return next(
        (i for i in trial.schedules if name == i or name.endswith(f"-{trial.record.order + 1}-{i}")), None
    )


def add_series(parts: Sequence[Series], count: int) -> Series:
    """Return the sum of `count` series at all their times, interpolated between samples; NaN (or nothing) where one is not there."""
    known = [part.known() for part in parts]
    if len(known) < count or not known or any(len(part.t_s) == 0 for part in known):
        return Series(np.array([]), np.array([]))
    if len(known) == 1:
        return known[0]
    times = np.unique(np.concatenate([part.t_s for part in known]))
    added = [np.interp(times, part.t_s, part.values, left=np.nan, right=np.nan) for part in known]
    return Series(times, np.sum(added, axis=0)).known()


def _summarise(differences: NDArray[np.float64], unit: str) -> Estimate | None:
    """Return the median difference, and between what the middle nine tenths of them lie."""
    if len(differences) == 0:
        return None
    low, value, high = (float(v) for v in np.quantile(differences, (MIDDLE[0], 0.5, MIDDLE[1])))
    return Estimate(value, low, high, unit, len(differences))


def describe_pace(metrics: Iterable[tuple[str, float | None]]) -> str:
    """Return whether nodes were sampled as often as wished, by how far apart each metric's samples are (s).

    "" where none came of their free memory, or a single one.
    """
    sampled_s = dict(metrics).get(IN_USE_PARTS["mem_free_bytes"])
    if sampled_s is None:
        return ""
    if sampled_s <= MOST_TIMES * WISHED_S:
        return f"Prometheus sampled nodes every {sampled_s:.2g} s."
    return (
        f"Prometheus sampled nodes every {sampled_s:.3g} s, not every second: what moves faster does not show in it. "
        "`freepage prometheus --recipe` prints a configuration that does."
    )

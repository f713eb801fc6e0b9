"""Input and output: what fio measured in every cell, against the device itself, and whether it ran from the page cache."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from freepage.analysis.series import metric_series
from freepage.analysis.stats import Estimate, estimate_mean, estimate_ratio
from freepage.kinds import find_kind
from freepage.records import BLOCK_BYTES, CELL, DEVICE, Action, Arm, TrialStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freepage.store import TrialData

# A read cell ran from the cache when at most this share of what fio read came from a block device while it ran.
FROM_DEVICE_AT_MOST = 0.05
# Where that is not known, and for writes: a cell ran from the cache when it was this many times as fast as the device.
FASTER_THAN_DEVICE = 1.5
READS = ("read", "randread")
UNIT = "bytes/s"

Cells = dict[str, "Cell"]


@dataclass(frozen=True)
class Cell:
    """One cell of one trial: bytes per second through the page cache, and of the device itself; None is not measured.

    from_device: share of what was read that came from a block device. reason: why the cell is empty.
    """

    operation: str
    streams: int
    bytes_per_s: float | None = None
    device_bytes_per_s: float | None = None
    from_device: float | None = None
    reason: str | None = None

    @property
    def cached(self) -> bool | None:
        """Whether it ran from the page cache; None where nothing can tell."""
        return is_cached(self.operation, self.bytes_per_s, self.device_bytes_per_s, self.from_device)


@dataclass(frozen=True)
class FioSaid:
    """What fio measured: bytes moved in its direction, and per second, and bytes read from devices meanwhile, if known."""

    io_bytes: float
    bytes_per_s: float
    read_bytes: float | None = None


def is_cached(
    operation: str, bytes_per_s: float | None, device: float | None, from_device: float | None
) -> bool | None:
    """Decide whether a cell ran from the page cache: by what was read from devices, else by the device's own speed."""
    if bytes_per_s is None:
        return None
    if operation in READS and from_device is not None:
        return from_device <= FROM_DEVICE_AT_MOST
    return None if device is None else bytes_per_s >= FASTER_THAN_DEVICE * device


def parse_fio(text: str, operation: str) -> FioSaid | None:
    """Read fio's JSON (it may write lines of text before it); None when there is none."""
    start = text.find("{")
    try:
        jobs: list[dict[str, Any]] = json.loads(text[start:])["jobs"] if start >= 0 else []
        parts = [job["read" if operation in READS else "write"] for job in jobs]
        said = FioSaid(sum(float(p["io_bytes"]) for p in parts), sum(float(p["bw_bytes"]) for p in parts))
    except (ValueError, KeyError, TypeError):
        return None
    return said if parts else None


def measure_cells(trial: TrialData) -> Cells:
    """Give every cell of a trial by its id, such as "randread-7"; those of a trial that did not end well are empty.

    Instances that run side by side are added up; a cell that one of them lacks is empty.
    """
    device: dict[str, float | None] = {}
    cells: Cells = {}
    for (phase, operation, streams), runs in _runs(trial).items():
        said, reason = _add_up([_read_run(trial, operation, *run) for run in runs])
        name = f"{operation}-{streams}"
        speed = None if said is None else said.bytes_per_s
        if phase == DEVICE:
            device[name] = speed
            continue
        share = None
        if said is not None and said.io_bytes > 0 and said.read_bytes is not None and operation in READS:
            share = said.read_bytes / said.io_bytes
        cells[name] = Cell(operation, streams, speed, device.get(name), share, reason)
    return cells


def _runs(trial: TrialData) -> dict[tuple[str, str, int], list[tuple[str, int, int]]]:
    """Give every fio of a trial that measures, as instance, process and index, by its phase, operation and streams."""
    runs: dict[tuple[str, str, int], list[tuple[str, int, int]]] = {}
    for instance, processes in trial.schedules.items():
        for process in processes:
            for index, step in enumerate(process.steps):
                words = step.label.split("/")
                if step.action is Action.RUN and words[0] in {DEVICE, CELL}:
                    key = (words[0], words[1], int(words[2]))
                    runs.setdefault(key, []).append((instance, process.process, index))
    return runs


def _add_up(found: Sequence[tuple[FioSaid | None, str | None]]) -> tuple[FioSaid | None, str | None]:
    """Add up what instances said side by side, or give the first reason why one said nothing."""
    said = [one for one, _ in found if one is not None]
    if len(said) < len(found):
        return None, next(reason for one, reason in found if one is None)
    read = [one.read_bytes for one in said if one.read_bytes is not None]
    read_bytes = sum(read) if len(read) == len(said) else None
    return FioSaid(sum(s.io_bytes for s in said), sum(s.bytes_per_s for s in said), read_bytes), None


def _read_run(
    trial: TrialData, operation: str, instance: str, process: int, index: int
) -> tuple[FioSaid | None, str | None]:
    """Give what a fio said, or why there is nothing."""
    import polars as pl

    if trial.record.status is not TrialStatus.OK:
        return None, trial.record.error or f"the trial is {trial.record.status}"
    rows = trial.events.filter(
        (pl.col("instance") == instance) & (pl.col("process") == process) & (pl.col("index") == index)
    ).to_dicts()
    if not rows:
        return None, "fio was not run"
    event = rows[0]
    if not event["ok"]:
        said = (trial.read_output(instance, process, index, "err") or "").strip().splitlines()
        return None, ": ".join([f"fio {event['error']}", *said[-1:]])
    found = parse_fio(trial.read_output(instance, process, index) or "", operation)
    if found is None:
        return None, "what fio wrote is not its JSON"
    read_bytes = event.get("read_bytes")
    return replace(found, read_bytes=None if read_bytes is None else float(read_bytes)), None


def measure_io(trial: TrialData) -> dict[str, float | None]:
    """Give a trial's numbers about I/O: the share of its read cells that ran from the cache, and fio's working set."""
    keys = ("cached_read_fraction", "working_set_mean_bytes", "working_set_max_bytes")
    if not find_kind(trial.record.kind).measures_io:
        return dict.fromkeys(keys)
    known = [c.cached for c in measure_cells(trial).values() if c.operation in READS and c.cached is not None]
    series = [
        metric_series(trial, name, "cgroup_working_set_bytes").between(0, trial.record.planned_duration_s)
        for name in {run[0] for runs in _runs(trial).values() for run in runs}
    ]
    means, peaks = [s.mean() for s in series], [s.maximum() for s in series]
    return dict(zip(keys, (fmean(known) if known else None, _sum(means), _sum(peaks)), strict=True))


def describe_cells(trials: Sequence[TrialData], arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Give the cells of an experiment for results.json: by arm throughput, device, cached and reason, and the ratio."""
    measured = {t.record.id: measure_cells(t) for t in trials}
    names = {name: cell for cells in measured.values() for name, cell in cells.items()}
    return [
        {
            "id": name,
            "operation": cell.operation,
            "streams": cell.streams,
            "block_bytes": BLOCK_BYTES[cell.operation],
            "arms": {
                str(arm): _describe_arm(
                    [
                        measured[t.record.id][name]
                        for t in trials
                        if t.record.arm is arm and name in measured[t.record.id]
                    ]
                )
                for arm in arms
            },
            "ratio": _json(_ratio(trials, measured, name)),
        }
        for name, cell in names.items()
    ]


def _describe_arm(cells: list[Cell]) -> dict[str, Any]:
    """Give one arm's part of a cell, over its trials."""
    throughput = estimate_mean([c.bytes_per_s for c in cells], UNIT)
    device = estimate_mean([c.device_bytes_per_s for c in cells], UNIT)
    shares = [c.from_device for c in cells if c.from_device is not None]
    reasons = list(dict.fromkeys(c.reason for c in cells if c.reason is not None))
    cached = None
    if throughput is not None:
        share = fmean(shares) if shares else None
        cached = is_cached(cells[0].operation, throughput.value, device.value if device else None, share)
    reason = None if throughput is not None else "; ".join(reasons) or "no trial on this arm"
    return {
        "throughput": _json(throughput),
        "device": _json(device),
        "from_device": fmean(shares) if shares else None,
        "cached": cached,
        "reason": reason,
    }


def compare_io(trials: Sequence[TrialData]) -> dict[str, Estimate | None]:
    """Compare FPR with no FPR over all cells: throughput (geometric mean of ratios), and cached cells that were lost."""
    measured = {t.record.id: measure_cells(t) for t in trials if t.record.status is TrialStatus.OK}
    with_fpr, without = (_by_repeat(trials, measured, arm) for arm in (Arm.VM_FPR, Arm.VM))
    means: dict[int, float | None] = {}
    lost: list[float | None] = []
    for repeat in sorted(set(with_fpr) & set(without)):
        pairs = [(with_fpr[repeat][n], without[repeat][n]) for n in with_fpr[repeat] if n in without[repeat]]
        logs = [math.log(a.bytes_per_s / b.bytes_per_s) for a, b in pairs if a.bytes_per_s and b.bytes_per_s]
        means[repeat] = math.exp(fmean(logs)) if logs else None
        known = [(a.cached, b.cached) for a, b in pairs if a.cached is not None and b.cached is not None]
        lost.append(float(sum(b and not a for a, b in known)) if known else None)
    return {
        "io_ratio": estimate_ratio(means, dict.fromkeys(means, 1.0)),
        "cached_lost": estimate_mean(lost, "cells"),
    }


def _by_repeat(trials: Sequence[TrialData], measured: dict[str, Cells], arm: Arm) -> dict[int, Cells]:
    return {
        t.record.repeat: measured[t.record.id]
        for t in trials
        if t.record.arm is arm and t.record.id in measured
    }


def _ratio(trials: Sequence[TrialData], measured: dict[str, Cells], name: str) -> Estimate | None:
    def speeds(arm: Arm) -> dict[int, float | None]:
        cells = _by_repeat(trials, measured, arm)
        return {repeat: c[name].bytes_per_s for repeat, c in cells.items() if name in c}

    return estimate_ratio(speeds(Arm.VM_FPR), speeds(Arm.VM))


def memory_ratios(by_repeat: Callable[[Arm, str], dict[int, float | None]]) -> dict[str, Estimate | None]:
    """Give node memory in use and working set with FPR against without, mean and max (the article's figure 5)."""
    keys = {
        "node_mean_ratio": "node_in_use_mean_bytes",
        "node_max_ratio": "node_in_use_max_bytes",
        "working_set_mean_ratio": "working_set_mean_bytes",
        "working_set_max_ratio": "working_set_max_bytes",
    }
    return {n: estimate_ratio(by_repeat(Arm.VM_FPR, k), by_repeat(Arm.VM, k)) for n, k in keys.items()}


def _sum(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _json(estimate: Estimate | None) -> dict[str, object] | None:
    return None if estimate is None else estimate.as_json()

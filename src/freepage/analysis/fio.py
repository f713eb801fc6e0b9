"""fio in one trial, cell by cell, against the device itself, and whether it ran from the page cache."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import polars as pl

from freepage.analysis.arithmetic import add_all
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.fio_json import read_last_result
from freepage.analysis.series import metric_series
from freepage.kinds import find_kind
from freepage.records import BLOCK_BYTES, CELL, DEVICE, Action, TrialStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.analysis.estimates import TrialValues
    from freepage.records import Step
    from freepage.store import TrialData

# Measured, not guessed: docs/decisions/005-programs-and-disks.md.
# A read cell ran from the cache when at most this share of what fio read came from a block device while it ran.
FROM_DEVICE_AT_MOST = 0.05
# Where that is not known, and for writes: a cell ran from the cache when it was this many times as fast as the device.
FASTER_THAN_DEVICE = 1.5
READS = ("read", "randread")

Cells = dict[str, "TrialCell"]


@dataclass(frozen=True)
class TrialCell:
    """One cell of one trial: bytes per second through the page cache, and of the device itself; None is not measured.

    from_device: share of what was read that came from a block device. reason: why the cell is empty.
    """

    operation: str
    streams: int
    block_bytes: int
    bytes_per_s: float | None = None
    device_bytes_per_s: float | None = None
    from_device: float | None = None
    reason: str | None = None

    @property
    def cached(self) -> bool | None:
        """Whether it ran from the page cache; None where nothing can tell."""
        return is_cached(self.operation, self.bytes_per_s, self.device_bytes_per_s, self.from_device)


@dataclass(frozen=True)
class FioResult:
    """The result of one fio: bytes moved in its direction, and per second, and bytes read from devices meanwhile, if known.

    reason: why there is nothing.
    """

    io_bytes: float = 0.0
    bytes_per_s: float | None = None
    read_bytes: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _FioStep:
    """One fio of a trial's schedules that measures, and where its output is found."""

    operation: str
    instance: str
    process: int
    index: int
    block_bytes: int


def is_cached(
    operation: str, bytes_per_s: float | None, device: float | None, from_device: float | None
) -> bool | None:
    """Decide whether a cell ran from the page cache: by what was read from devices, else by the device's own speed."""
    if bytes_per_s is None:
        return None
    if operation in READS and from_device is not None:
        return from_device <= FROM_DEVICE_AT_MOST
    return None if device is None else bytes_per_s >= FASTER_THAN_DEVICE * device


def parse_fio(text: str, operation: str) -> FioResult | None:
    """Read fio's JSON, whatever it wrote around it; None when there is none, or no number of this operation in it."""
    direction = "read" if operation in READS else "write"
    try:
        jobs: Any = (read_last_result(text) or {})["jobs"]
        parts = [job[direction] for job in jobs]
        moved, speed = (math.fsum(float(part[key]) for part in parts) for key in ("io_bytes", "bw_bytes"))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    known = parts and math.isfinite(moved + speed) and min(moved, speed) >= 0
    return FioResult(moved, speed) if known else None


def measure_cells(trial: TrialData) -> Cells:
    """Return every cell of a trial by its id, such as "randread-7"; those of a trial that did not end well are empty.

    Instances that run side by side are added up; a cell that one of them lacks is empty.
    """
    device: dict[str, float | None] = {}
    cells: Cells = {}
    for (phase, operation, streams), steps in _find_steps(trial).items():
        found = _add_up([_read_result(trial, step) for step in steps])
        name = f"{operation}-{streams}"
        if phase == DEVICE:
            device[name] = found.bytes_per_s
            continue
        share = _share_from_device(found) if operation in READS else None
        block = steps[0].block_bytes
        cells[name] = TrialCell(
            operation, streams, block, found.bytes_per_s, device.get(name), share, found.reason
        )
    return cells


def measure_io(trial: TrialData) -> TrialValues:
    """Return a trial's numbers about I/O: the share of its read cells that ran from the cache, and fio's working set."""
    if not find_kind(trial.record.kind).measures_io:
        numbers = (Quantity.CACHED_READS, Quantity.WORKING_SET_MEAN, Quantity.WORKING_SET_MAX)
        return dict.fromkeys((*numbers, TrialOnly.CELLS_MEASURED))
    cells = measure_cells(trial).values()
    known = [c.cached for c in cells if c.operation in READS and c.cached is not None]
    measured = [c.bytes_per_s is not None for c in cells]
    series = [
        metric_series(trial, name, "cgroup_working_set_bytes").between(0, trial.record.planned_duration_s)
        for name in {step.instance for steps in _find_steps(trial).values() for step in steps}
    ]
    means, peaks = (add_all(values) for values in ([s.mean() for s in series], [s.maximum() for s in series]))
    return {
        Quantity.CACHED_READS: fmean(known) if known else None,
        Quantity.WORKING_SET_MEAN: means,
        Quantity.WORKING_SET_MAX: peaks,
        TrialOnly.CELLS_MEASURED: fmean(measured) if measured else None,
    }


def _find_steps(trial: TrialData) -> dict[tuple[str, str, int], list[_FioStep]]:
    """Return every fio of a trial that measures, by its phase, operation and streams."""
    found: dict[tuple[str, str, int], list[_FioStep]] = {}
    for instance, processes in trial.schedules.items():
        for process in processes:
            for index, step in enumerate(process.steps):
                words = step.label.split("/")
                if step.action is Action.RUN and words[0] in {DEVICE, CELL}:
                    key = (words[0], words[1], int(words[2]))
                    block = _find_block(step)
                    found.setdefault(key, []).append(
                        _FioStep(words[1], instance, process.process, index, block)
                    )
    return found


def _find_block(step: Step) -> int:
    """Return the bytes of one I/O that fio was asked for."""
    given = next((a.removeprefix("--bs=") for a in step.argv if a.startswith("--bs=")), None)
    return int(given) if given else BLOCK_BYTES[step.label.split("/")[1]]


def _share_from_device(found: FioResult) -> float | None:
    return None if found.read_bytes is None or found.io_bytes <= 0 else found.read_bytes / found.io_bytes


def _add_up(results: Sequence[FioResult]) -> FioResult:
    """Return the sum over instances side by side, or the first reason why one has nothing."""
    reason = next((r.reason for r in results if r.reason is not None), None)
    if reason is not None:
        return FioResult(reason=reason)
    read = [r.read_bytes for r in results if r.read_bytes is not None]
    return FioResult(
        sum(r.io_bytes for r in results),
        add_all(r.bytes_per_s for r in results),
        sum(read) if len(read) == len(results) else None,
    )


def _read_result(trial: TrialData, step: _FioStep) -> FioResult:
    """Return what one fio measured, or why there is nothing."""
    if trial.record.status is not TrialStatus.OK:
        return FioResult(reason=trial.record.error or f"the trial is {trial.record.status}")
    where = (step.instance, step.process, step.index)
    mine = (
        (pl.col("instance") == step.instance)
        & (pl.col("process") == step.process)
        & (pl.col("index") == step.index)
    )
    rows = trial.events.filter(mine).to_dicts()
    if not rows:
        return FioResult(reason="fio was not run")
    event = rows[0]
    if not event["ok"]:
        errors = (trial.read_output(*where, "err") or "").strip().splitlines()
        return FioResult(reason=": ".join([f"fio {event['error']}", *errors[-1:]]))
    found = parse_fio(trial.read_output(*where) or "", step.operation)
    if found is None:
        return FioResult(reason="what fio wrote is not its JSON")
    read_bytes = event.get("read_bytes")
    return replace(found, read_bytes=None if read_bytes is None else float(read_bytes))

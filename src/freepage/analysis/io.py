"""fio's cells over the trials of an experiment: throughput on every arm, and what FPR changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from freepage.analysis.estimates import Comparison
from freepage.analysis.fio import TrialCell, is_cached, measure_cells
from freepage.analysis.stats import Estimate, estimate_mean, estimate_ratio
from freepage.records import BLOCK_BYTES, Arm, TrialStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.analysis.estimates import Comparisons
    from freepage.analysis.fio import Cells
    from freepage.store import TrialData

THROUGHPUT_UNIT = "bytes/s"


@dataclass(frozen=True)
class ArmCell:
    """One cell on one arm, over its trials: throughput and the device's own, in bytes/s; None is not measured.

    from_device: share of what was read that came from a block device. cached: whether it ran from the page cache.
    reason: why the cell is empty.
    """

    throughput: Estimate | None
    device: Estimate | None
    from_device: float | None
    cached: bool | None
    reason: str | None


@dataclass(frozen=True)
class CellResult:
    """One cell of an experiment, on every arm; ratio: throughput, vm-fpr / vm."""

    id: str
    operation: str
    streams: int
    block_bytes: int
    arms: dict[Arm, ArmCell]
    ratio: Estimate | None


def estimate_cells(trials: Sequence[TrialData], arms: Sequence[Arm]) -> tuple[CellResult, ...]:
    """Return the cells of an experiment; `trials` are all of it, for those that did not end well say why."""
    measured = {t.record.id: measure_cells(t) for t in trials}
    names = {name: cell for cells in measured.values() for name, cell in cells.items()}
    by_arm = {arm: [measured[t.record.id] for t in trials if t.record.arm is arm] for arm in arms}
    return tuple(
        CellResult(
            name,
            cell.operation,
            cell.streams,
            BLOCK_BYTES[cell.operation],
            {arm: _estimate_cell([c[name] for c in cells if name in c]) for arm, cells in by_arm.items()},
            _ratio(trials, measured, name),
        )
        for name, cell in names.items()
    )


def _estimate_cell(cells: list[TrialCell]) -> ArmCell:
    throughput = estimate_mean([c.bytes_per_s for c in cells], THROUGHPUT_UNIT)
    device = estimate_mean([c.device_bytes_per_s for c in cells], THROUGHPUT_UNIT)
    shares = [c.from_device for c in cells if c.from_device is not None]
    share = fmean(shares) if shares else None
    if throughput is None:
        reasons = dict.fromkeys(c.reason for c in cells if c.reason is not None)
        return ArmCell(None, device, share, None, "; ".join(reasons) or "no trial on this arm")
    cached = is_cached(cells[0].operation, throughput.value, device.value if device else None, share)
    return ArmCell(throughput, device, share, cached, None)


def compare_io(trials: Sequence[TrialData]) -> Comparisons:
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
        Comparison.IO_RATIO: estimate_ratio(means, dict.fromkeys(means, 1.0)),
        Comparison.CACHED_LOST: estimate_mean(lost, Comparison.CACHED_LOST.unit),
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

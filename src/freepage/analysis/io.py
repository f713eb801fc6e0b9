"""fio's cells over the trials of an experiment: throughput on every arm, and what FPR changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from freepage.analysis.compared import Comparison
from freepage.analysis.fio import TrialCell, is_cached, measure_cells
from freepage.analysis.stats import Estimate, estimate_count, estimate_positive, estimate_ratio
from freepage.records import Arm, TrialStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.analysis.compared import Comparisons
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
            cell.block_bytes,
            {arm: _estimate_cell([c[name] for c in cells if name in c]) for arm, cells in by_arm.items()},
            _ratio(trials, measured, name),
        )
        for name, cell in names.items()
    )


def _estimate_cell(cells: list[TrialCell]) -> ArmCell:
    throughput = estimate_positive([c.bytes_per_s for c in cells], THROUGHPUT_UNIT)
    device = estimate_positive([c.device_bytes_per_s for c in cells], THROUGHPUT_UNIT)
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
    cached: list[float | None] = []
    for repeat in sorted(set(with_fpr) & set(without)):
        names = dict.fromkeys((*with_fpr[repeat], *without[repeat]))
        pairs = [(with_fpr[repeat].get(n), without[repeat].get(n)) for n in names]
        means[repeat] = _mean_ratio(pairs)
        ran = [a.cached for a, b in pairs if a and b and b.cached and a.cached is not None]
        known = any(a.cached is not None and b.cached is not None for a, b in pairs if a and b)
        lost.append(float(ran.count(False)) if known else None)
        cached.append(float(len(ran)) if known else None)
    return {
        Comparison.IO_RATIO: estimate_ratio(means, dict.fromkeys(means, 1.0)),
        Comparison.CACHED_LOST: estimate_count(lost, cached, Comparison.CACHED_LOST.unit),
        Comparison.CACHED_LOST_SHARE: estimate_count(lost, cached, Comparison.CACHED_LOST_SHARE.unit),
    }


def _mean_ratio(pairs: Sequence[tuple[TrialCell | None, TrialCell | None]]) -> float | None:
    """Return the geometric mean of a block's ratios; None where a cell is missing: the others alone are another mixture."""
    speeds = [(a.bytes_per_s, b.bytes_per_s) for a, b in pairs if a and b]
    logs = [math.log(a / b) for a, b in speeds if a and b]
    return math.exp(fmean(logs)) if logs and len(logs) == len(pairs) else None


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

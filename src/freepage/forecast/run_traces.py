"""The VMs of a stored run as traces, and what its VMMs need beside their guests."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.series import hold, metric_series, resident_series, vms_of
from freepage.forecast.columns import block_column
from freepage.forecast.measured import GuestUnits, Measured, find_reportable
from freepage.forecast.traces import build_trace
from freepage.fpr.footprint import OVERHEAD_RANGE_BYTES, measure_whole_bytes
from freepage.fpr.release import find_reporting
from freepage.metrics import BUDDY_ORDERS
from freepage.records import Arm
from freepage.store.folder import PLAN, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.series import Series
    from freepage.forecast.trace import Array, VmTrace
    from freepage.records import Evidence
    from freepage.store import Run, TrialData

_ARMS = (Arm.VM, Arm.VM_FPR)
Sizes = dict[tuple[str, str], float]


def traces_of_run(run: Run, reporting_order: int | None = None) -> list[VmTrace]:
    """Return the VMs of every trial of the arms vm and vm-fpr that ended well, from the trial's zero to its end.

    reporting_order: instead of the guest's own. The guest's memory is what its VMM was given (plan.json), else what its
    kernel manages.
    """
    sizes = read_sizes(run)
    return [
        _build(run, trial, instance, sizes, reporting_order)
        for trial in run.ok_trials()
        if trial.record.arm in _ARMS
        for instance in vms_of(trial)
    ]


def _build(run: Run, trial: TrialData, instance: str, sizes: Sizes, reporting_order: int | None) -> VmTrace:
    seen = _read(run, trial, instance, sizes, reporting_order)
    during = np.flatnonzero((seen.t_s >= 0) & (seen.t_s <= trial.record.planned_duration_s))
    evidence = _find_evidence(trial, instance)
    fpr_on = (
        evidence.configured
        if evidence and evidence.configured is not None
        else trial.record.arm is Arm.VM_FPR
    )
    return build_trace(f"{trial.record.id}/{instance}", seen.take(during), fpr_on=fpr_on)


def _read(run: Run, trial: TrialData, instance: str, sizes: Sizes, reporting_order: int | None) -> Measured:
    """Return all samples of one VM, at the times at which its guest was seen: less often than its resident memory is."""
    resident = resident_series(trial, instance)
    blocks = {n: metric_series(trial, instance, f"guest_free_order_{n}_blocks") for n in BUDDY_ORDERS}
    free = metric_series(trial, instance, "guest_free_bytes")
    seen = next((each for each in (*blocks.values(), free) if len(each.known().t_s)), resident)
    numbers = {block_column(n): _hold(each, seen.t_s) for n, each in blocks.items()}
    reportable = find_reportable(numbers, _find_units(run, trial, instance, reporting_order))
    size, unknown = sizes.get((trial.record.id, instance)), np.full(len(seen.t_s), np.nan)
    return Measured(
        seen.t_s,
        _hold(resident, seen.t_s),
        _hold(metric_series(trial, instance, "guest_total_bytes"), seen.t_s)
        if size is None
        else np.full(len(seen.t_s), size),
        _hold(free, seen.t_s),
        unknown if reportable is None else reportable,
        _hold(metric_series(trial, instance, "guest_cached_bytes"), seen.t_s),
    )


def _hold(series: Series, t_s: Array) -> Array:
    """Return the last value of a series at other times; NaN in its own gaps."""
    known = series.known().t_s
    return (
        hold(series, t_s, float(np.median(np.diff(known)))) if len(known) > 1 else np.full(len(t_s), np.nan)
    )


def _find_units(run: Run, trial: TrialData, instance: str, reporting_order: int | None) -> GuestUnits:
    """Return a guest's pages, and what it reports: as asked for, as it says itself, or as its architecture usually does."""
    evidence, architecture = _find_evidence(trial, instance), run.manifest.host.get("architecture")
    found = find_reporting(
        [evidence] if evidence else [], None if architecture is None else str(architecture)
    )
    if found is None:
        return GuestUnits(reporting_order=reporting_order)
    return GuestUnits(found.page_bytes, found.order if reporting_order is None else reporting_order)


def _find_evidence(trial: TrialData, instance: str) -> Evidence | None:
    return next((e for e in trial.record.evidence if e.instance == instance), None)


def read_sizes(run: Run) -> Sizes:
    """Return the memory that each VM was given, by trial and instance, as the run's plan has it; nothing without one."""
    path = run.folder / PLAN
    return {
        (str(trial.get("id")), str(instance.get("name"))): float(instance["vm_memory_bytes"])
        for trial in (read_json(path) if path.exists() else ())
        for instance in trial.get("instances", ())
        if instance.get("vm_memory_bytes")
    }


def measure_overhead(run: Run) -> tuple[float, float, float] | None:
    """Return what a VMM of the run needs beside its guest (bytes), least, likely and most; None where it was not seen.

    Of VMs with FPR, at the last sample before the schedules start, when a guest has reported all that it can: the median. Where
    none was seen so, of those without, whose resident and reportable memory together tell how much it is at most: the least.
    """
    sizes = read_sizes(run)
    found = [
        size for trial in run.ok_trials(arm=Arm.VM_FPR) for size in _settled_overheads(run, trial, sizes)
    ]
    if found:
        return min(found), median(found), max(found)
    found = [size for trial in run.ok_trials(arm=Arm.VM) for size in _whole_overheads(run, trial, sizes)]
    return (min(OVERHEAD_RANGE_BYTES[0], *found), min(found), median(found)) if found else None


def _settled_overheads(run: Run, trial: TrialData, sizes: Sizes) -> Iterator[float]:
    for instance in vms_of(trial) if trial.record.settled else ():
        seen = _read(run, trial, instance, sizes, None)
        overhead = seen.resident_bytes - (seen.total_bytes - seen.reportable_bytes)
        settled = overhead[(seen.t_s < 0) & ~np.isnan(overhead)]
        if len(settled):
            yield max(0.0, float(settled[-1]))


def _whole_overheads(run: Run, trial: TrialData, sizes: Sizes) -> Iterator[float]:
    for instance in vms_of(trial):
        seen = _read(run, trial, instance, sizes, None)
        known = ~np.isnan(seen.resident_bytes + seen.reportable_bytes + seen.total_bytes)
        if np.count_nonzero(known) > 1:
            whole = measure_whole_bytes(seen.resident_bytes[known], seen.reportable_bytes[known])
            if whole is not None:
                yield max(0.0, whole - float(seen.total_bytes[known][0]))

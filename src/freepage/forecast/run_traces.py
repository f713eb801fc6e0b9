"""The VMs of a stored run as traces, and what its VMMs need beside their guests."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.series import metric_series, resample, resident_series, vms_of
from freepage.forecast.columns import block_column
from freepage.forecast.measured import GuestUnits, Measured, find_reportable
from freepage.forecast.traces import build_trace
from freepage.metrics import BUDDY_ORDERS
from freepage.records import Arm
from freepage.store.folder import PLAN, read_json
from freepage.units import KIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    """Return all samples of one VM, at the times at which its resident memory was read."""
    resident = resident_series(trial, instance)

    def values(metric: str) -> Array:
        return resample(metric_series(trial, instance, metric), resident.t_s, run.manifest.interval_s)

    blocks = {block_column(n): values(f"guest_free_order_{n}_blocks") for n in BUDDY_ORDERS}
    reportable = find_reportable(blocks, _find_units(trial, instance, reporting_order))
    size = sizes.get((trial.record.id, instance))
    return Measured(
        resident.t_s,
        resident.values,
        values("guest_total_bytes") if size is None else np.full(len(resident.t_s), size),
        values("guest_free_bytes"),
        np.full(len(resident.t_s), np.nan) if reportable is None else reportable,
        values("guest_cached_bytes"),
    )


def _find_units(trial: TrialData, instance: str, reporting_order: int | None) -> GuestUnits:
    """Return a guest's pages and what it reports: as told, as it says itself, or the usual, which is never beyond its lists."""
    evidence = _find_evidence(trial, instance)
    if evidence is None:
        return GuestUnits(reporting_order=reporting_order)
    page_bytes = evidence.page_bytes or 4 * KIB
    largest = (evidence.free_lists or len(BUDDY_ORDERS)) - 1
    own = evidence.reporting_order or min(GuestUnits(page_bytes).order, largest)
    return GuestUnits(page_bytes, own if reporting_order is None else reporting_order)


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
    """Return what a VMM of the run needs beside its guest (bytes): least, median and most over its VMs with FPR.

    At the last sample before the schedules start, when a guest has reported all that it can; None where none was seen so.
    """
    sizes = read_sizes(run)
    found = [size for trial in run.ok_trials(arm=Arm.VM_FPR) for size in _overheads(run, trial, sizes)]
    return (min(found), median(found), max(found)) if found else None


def _overheads(run: Run, trial: TrialData, sizes: Mapping[tuple[str, str], float]) -> Iterator[float]:
    for instance in vms_of(trial):
        seen = _read(run, trial, instance, dict(sizes), None)
        overhead = seen.resident_bytes - (seen.total_bytes - seen.reportable_bytes)
        settled = overhead[(seen.t_s < 0) & ~np.isnan(overhead)]
        if len(settled) and trial.record.settled:
            yield max(0.0, float(settled[-1]))

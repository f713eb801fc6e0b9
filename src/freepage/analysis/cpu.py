"""CPU of one trial: of instances, of QEMU's threads, of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from freepage.analysis.arithmetic import add_all, divide, subtract
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.series import (
    BUSY_STATES,
    Series,
    busy_cores_series,
    growth,
    instances_of,
    metric_series,
    resident_series,
    vms_of,
)
from freepage.fpr.pace import RELEASE_WATCH_S
from freepage.kinds import find_kind
from freepage.records import NODE, Action
from freepage.units import GIB, MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.analysis.estimates import TrialValues
    from freepage.store import TrialData

# The pages that a fault brings, an ordinary one or a huge one, where the host's are not known: of x86-64, and of arm64 with
# pages of 4 KiB.
PAGE_BYTES = 4096
HUGE_PAGE_BYTES = 2 * MIB
# Pages of QEMU's own and of its files make more faults, or less memory, than the guest's: this much either way is nothing.
FAULT_ERROR_BYTES = 16.0 * MIB
# CPU time per GiB given back says nothing where next to nothing came back.
LEAST_GIVEN_BACK_GIB = 0.05
# A rate stands at the end of its sampling interval: the one a step ends in is looked at too.
TICK_S = 1.0


def measure_cpu(trial: TrialData) -> TrialValues:
    """Return the CPU that instances and the host used over the trial."""
    duration_s = trial.record.planned_duration_s
    busy_s = add_all(growth(trial, NODE, f"cpu_{state}_s") for state in BUSY_STATES)
    busy_cores = busy_cores_series(trial).between(0, duration_s)
    vms = vms_of(trial)
    total_s, main_s = _total_s(trial, instances_of(trial), "total"), _total_s(trial, vms, "main_loop")
    back_gib = divide(_given_back_bytes(trial, vms), GIB)
    measurable = back_gib is not None and back_gib > LEAST_GIVEN_BACK_GIB
    return {
        Quantity.NODE_CPU_PEAK: busy_cores.maximum(),
        Quantity.CPU_ALLOC_PEAK: _peak_cores(trial, busy_cores, Action.ALLOCATE),
        Quantity.CPU_RELEASE_PEAK: _peak_cores(trial, busy_cores, Action.FREE),
        Quantity.VCPU_CPU: _total_s(trial, vms, "vcpu"),
        Quantity.GUEST_CPU: _guest_cores(trial, vms),
        Quantity.OTHER_CPU: _total_s(trial, vms, "other"),
        TrialOnly.INSTANCE_CPU_TIME: total_s,
        TrialOnly.GIVEN_BACK_GIB: back_gib,
        Quantity.NODE_CPU: divide(busy_s, duration_s),
        Quantity.INSTANCE_CPU: divide(total_s, duration_s),
        Quantity.MAIN_LOOP_CPU: main_s,
        Quantity.MAIN_LOOP_CPU_PER_GIB: divide(main_s, back_gib) if measurable else None,
    }


def _total_s(trial: TrialData, instances: Sequence[str], part: str) -> float | None:
    """Return the CPU seconds that one part of the threads of some instances used."""
    return add_all(growth(trial, i, f"cpu_{part}_s") for i in instances)


def _guest_cores(trial: TrialData, vms: Sequence[str]) -> float | None:
    """Return how many cores the guests say they were busy with, programs and kernels, between their first and last answer."""
    return add_all(
        add_all(_rate_of_guest(trial, instance, kind) for kind in ("user", "system")) for instance in vms
    )


def _rate_of_guest(trial: TrialData, instance: str, kind: str) -> float | None:
    series = metric_series(trial, instance, f"guest_cpu_{kind}_s").known()
    during = series.between(0, trial.record.planned_duration_s)
    span_s = float(during.t_s[-1] - during.t_s[0]) if len(during.t_s) else 0.0
    return divide(during.rise(), span_s)


def _given_back_bytes(trial: TrialData, vms: Sequence[str]) -> float | None:
    """Return all that came back to the host over the trial, however soon it was taken again.

    What resident memory grew by is what was faulted in less what was given back. Falls between samples would miss what
    comes back and is taken again within one interval. A container gives back what it frees.
    """
    frees = trial.events.filter(
        (pl.col("action") == Action.FREE) & pl.col("ok") & ~pl.col("instance").is_in(vms)
    )
    freed = float(sum(frees["bytes"].to_list()))
    return add_all([freed, _returned_bytes(trial, vms)]) if vms else freed


def _returned_bytes(trial: TrialData, vms: Sequence[str]) -> float | None:
    """Return what VMs gave back, from the faults of their QEMUs; None where those do not explain what was seen."""
    faulted, grown = faulted_bytes(trial), add_all(_grown_bytes(trial, i) for i in vms)
    if faulted is None or grown is None:
        return None
    returned = faulted[0] - grown
    least = sum(_fallen_bytes(trial, i) for i in vms)
    return max(returned, 0.0) if returned >= least - FAULT_ERROR_BYTES else None


def faulted_bytes(trial: TrialData) -> tuple[float, float] | None:
    """Return the bytes that faults brought to a trial's instances, and how many faults: those of QEMU, else of workers.

    The kernel counts huge pages for the host alone. Other work that takes some makes this too large, by pages QEMU
    cannot have faulted at the most.
    """
    vms = vms_of(trial)
    if not vms:
        rows = trial.events.filter((pl.col("action") == Action.ALLOCATE) & pl.col("ok"))
        return float(sum(rows["bytes"].to_list())), float(sum(rows["minor_faults"].to_list()))
    faults = add_all(growth(trial, i, "minor_faults") for i in vms)
    huge = growth(trial, NODE, "thp_fault_alloc")
    if faults is None or huge is None:
        return None
    huge = min(huge, faults)
    page_bytes, huge_page_bytes = _page_sizes(trial)
    return (faults - huge) * page_bytes + huge * huge_page_bytes, faults


def _page_sizes(trial: TrialData) -> tuple[int, int]:
    """Return the bytes that an ordinary and a huge fault of QEMU bring."""
    seen = next((e for e in trial.record.evidence if e.host_page_bytes is not None), None)
    if seen is None:
        return PAGE_BYTES, HUGE_PAGE_BYTES
    return seen.host_page_bytes or PAGE_BYTES, seen.host_huge_page_bytes or 0


def _grown_bytes(trial: TrialData, instance: str) -> float | None:
    known = resident_series(trial, instance)
    return subtract(known.last_before(trial.record.planned_duration_s + 0.5), known.last_before(0))


def _fallen_bytes(trial: TrialData, instance: str) -> float:
    """Return all that an instance's resident memory fell by, from one sample to the next."""
    during = resident_series(trial, instance).known().between(0, trial.record.planned_duration_s)
    return -float(np.minimum(np.diff(during.values), 0.0).sum())


def _peak_cores(trial: TrialData, busy_cores: Series, action: Action) -> float | None:
    """Return the highest CPU of the host while instances that act together allocate, or after they free, until they allocate.

    None for kinds whose instances do not act together.
    """
    if not find_kind(trial.record.kind).synchronised:
        return None
    rows = trial.events.filter((pl.col("action") == action) & pl.col("ok"))
    spans = rows.group_by("iteration").agg(pl.col("planned_s").min(), pl.col("end_s").max())
    least_s = RELEASE_WATCH_S if action is Action.FREE else 0.0
    starts: list[float] = trial.events.filter(pl.col("action") == Action.ALLOCATE)["planned_s"].to_list()
    peaks = []
    for _, start_s, end_s in spans.iter_rows():
        until_s = max(end_s + TICK_S, start_s + least_s)
        if action is Action.FREE:
            until_s = min([until_s, *(s for s in starts if s > start_s)])
        peaks.append(busy_cores.between(start_s, until_s).maximum())
    return max((peak for peak in peaks if peak is not None), default=None)

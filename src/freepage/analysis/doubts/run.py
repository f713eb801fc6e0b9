"""Doubts about a run as a whole: trials that did not count, and what was not alike in those that are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.arithmetic import divide
from freepage.analysis.cpu import faulted_bytes
from freepage.analysis.definition import Area
from freepage.analysis.doubts.base import Doubt
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.records import Action, Arm, TrialStatus
from freepage.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.analysis.doubts.base import DoubtInput
    from freepage.analysis.experiments import ExperimentResults
    from freepage.records import ProcessSchedule
    from freepage.store import TrialData

LEAST_TRIALS = 3
# Pages of pods and VMs are unlike where a fault brings so many times as much to one as to the other.
UNLIKE_PAGES = 8


def find_failed_trials(found: DoubtInput) -> Doubt | None:
    fine = {TrialStatus.OK, TrialStatus.SKIPPED}
    failed = [t.record for t in found.run.trials if t.record.status not in fine]
    if not failed:
        return None
    names = ", ".join(r.id for r in failed[:4]) + (", ..." if len(failed) > 4 else "")
    return Doubt(
        "failed-trials",
        f"{len(failed)} of {len(found.run.trials)} trials did not end well: {names}.",
        "Their errors are in the table of trials; run again once they are understood.",
        Area.ALL,
    )


def find_skipped_trials(found: DoubtInput) -> Doubt | None:
    skipped = [t.record for t in found.run.trials if t.record.status is TrialStatus.SKIPPED]
    if not skipped:
        return None
    names = ", ".join(dict.fromkeys(f"{r.experiment} on {r.arm}" for r in skipped))
    reasons = "; ".join(dict.fromkeys(str(r.error) for r in skipped))
    remedies = ". ".join(dict.fromkeys(r.hint for r in skipped if r.hint))
    return Doubt(
        "skipped-trials",
        f"{len(skipped)} of {len(found.run.trials)} trials could not run here ({names}): {reasons}.",
        remedies or "The rest of the run stands.",
        Area.ALL,
    )


def find_smoke_run(found: DoubtInput) -> Doubt | None:
    manifest = found.run.manifest
    if not manifest.smoke:
        return None
    return Doubt(
        "smoke-run",
        "This was a smoke run: experiments run once on each arm, for seconds, with small blocks and files; "
        "of several experiments of one kind the first.",
        "Leave out --smoke to measure.",
        Area.ALL,
    )


def find_few_trials(found: DoubtInput) -> Doubt | None:
    counts = {name: _count_fewest_trials(e) for name, e in found.experiments.items()}
    few = [f"{name} ({n})" for name, n in counts.items() if n < LEAST_TRIALS]
    if not few:
        return None
    return Doubt(
        "few-trials",
        f"Fewer than {LEAST_TRIALS} trials an arm for {', '.join(few)}: so few give no interval and decide nothing.",
        "Run again with --repeats 5.",
        Area.ALL,
    )


def find_failed_programs(found: DoubtInput, experiment: str) -> Doubt | None:
    mine = [t.events for t in found.run.ok_trials(experiment)]
    runs = [row for events in mine for row in events.iter_rows(named=True) if row["action"] == Action.RUN]
    failed = [row for row in runs if not row["ok"]]
    if not failed:
        return None
    errors = "; ".join(dict.fromkeys(str(row["error"]) for row in failed))
    built = " and the image must have been built with --study" if "image" in found.run.manifest.tools else ""
    return Doubt(
        "programs-failed",
        f"In {experiment} {len(failed)} of {len(runs)} runs of programs failed: {errors}.",
        f"What they wrote is in the trials' folders. A program must be among the study's `programs` or in its `folder`{built}.",
        Area.ALL,
        experiment,
    )


def find_different_schedules(found: DoubtInput, experiment: str) -> Doubt | None:
    """Return a doubt where the arms of a repeat did not do the same; each repeat has schedules of its own."""
    repeats: dict[int, list[dict[str, list[ProcessSchedule]]]] = {}
    for trial in found.run.ok_trials(experiment):
        repeats.setdefault(trial.record.repeat, []).append(trial.schedules)
    if not all(_is_subset(one, max(mine, key=len)) for mine in repeats.values() for one in mine):
        return Doubt(
            "schedules-differ",
            f"Not all trials of {experiment} followed the same schedules, so its arms cannot be compared.",
            "Run the study again as a whole.",
            Area.ALL,
            experiment,
        )
    return None


def _is_subset(some: Mapping[str, object], all_: Mapping[str, object]) -> bool:
    """Return whether the same instances did the same; a baseline lacks instances."""
    return all(all_.get(name) == schedules for name, schedules in some.items())


def find_different_thp(found: DoubtInput, experiment: str) -> Doubt | None:
    """Return a doubt where huge pages differ: they change both what a fault costs and what can be given back."""
    seen = {
        (e.guest_thp, e.host_thp)
        for t in found.run.ok_trials(experiment)
        if t.record.arm is not Arm.POD
        for e in t.record.evidence
        if e.is_of_vm
    }
    if len(seen) > 1:
        words = "; ".join(f"guest {guest}, host {host}" for guest, host in sorted(seen, key=str))
        return Doubt(
            "thp-differs",
            f"Transparent huge pages were not set alike in all VMs of {experiment}: {words}.",
            "Set /sys/kernel/mm/transparent_hugepage/enabled once, before the run.",
            Area.ALL,
            experiment,
        )
    return None


def find_different_pages(found: DoubtInput, experiment: str) -> Doubt | None:
    """Return a doubt where pods got small pages and VMs large ones, or the other way round: a fault then brings more, for less."""
    pods, vms = (_bytes_per_fault(found.run.ok_trials(experiment), arm) for arm in (Arm.POD, Arm.VM_FPR))
    if pods is None or vms is None or max(pods, vms) < UNLIKE_PAGES * min(pods, vms):
        return None
    return Doubt(
        "page-sizes-differ",
        f"In {experiment} one page fault brought {format_bytes(vms)} on average to a VM and {format_bytes(pods)} to a pod: QEMU "
        "asks the host for huge pages, a pod's programs do not. That makes pods slower to allocate, so the times of VMs "
        "and pods do not compare.",
        "echo always > /sys/kernel/mm/transparent_hugepage/enabled gives pods huge pages too.",
        Area.TIME,
        experiment,
    )


def _bytes_per_fault(trials: Sequence[TrialData], arm: Arm) -> float | None:
    """Return how much a fault on the host brought, mean over an arm's trials."""
    mine = [faulted_bytes(t) for t in trials if t.record.arm is arm]
    size, count = (
        (sum(part) for part in zip(*(f for f in mine if f is not None), strict=True))
        if any(mine)
        else (0.0, 0.0)
    )
    return divide(size, count)


def find_reporting_host(found: DoubtInput) -> Doubt | None:
    if found.run.manifest.host.get("reports_free_pages") is not True:
        return None
    return Doubt(
        "host-reports-free-pages",
        "This host is a virtual machine that reports its own free pages to what it runs on. Memory nobody touched lately is "
        "taken from it and takes several times as long to touch again, and free memory dips while it is reported: times "
        "to allocate, and peaks of the node's memory, are not of this host alone.",
        "Measure on a host that is no virtual machine, or switch reporting off in its own VM.",
        Area.TIME,
    )


def find_unsettled_trials(found: DoubtInput) -> Doubt | None:
    unsettled = [t.record for t in found.run.ok_trials() if t.record.settled is False]
    if not unsettled:
        return None
    names = ", ".join(r.id for r in unsettled[:4]) + (", ..." if len(unsettled) > 4 else "")
    waited = max((r.settle_s for r in unsettled if r.settle_s is not None), default=None)
    after = "" if waited is None else f" after {format_duration(waited)}"
    return Doubt(
        "never-settled",
        f"In {len(unsettled)} trials memory still moved when they started{after}, so that they did not start alike: {names}.",
        f"{found.alone}.",
        Area.NODE,
    )


def find_missing_cells(found: DoubtInput, experiment: str) -> Doubt | None:
    """Return a doubt where fio's cells are missing, so that a ratio over all cells comes from fewer blocks, or from none."""
    mine = [found.values[t.record.id] for t in found.run.ok_trials(experiment)]
    shares = [s for values in mine if (s := values.get(TrialOnly.CELLS_MEASURED)) is not None]
    if all(share == 1 for share in shares):
        return None
    return Doubt(
        "cells-missing",
        f"In {experiment} {sum(shares) / len(shares):.0%} of fio's cells were measured; a block in which one is missing has no "
        "throughput over all cells.",
        "The table of cells says why each is empty.",
        Area.TIME,
        experiment,
    )


def _count_fewest_trials(experiment: ExperimentResults) -> int:
    measured = [experiment.estimate(arm, Quantity.NODE_MEAN) for arm in experiment.arms]
    return min((e.n if e is not None else 0 for e in measured), default=0)

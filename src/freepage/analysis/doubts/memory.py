"""Doubts about memory: whether FPR really worked, and what else moved the memory of instances and the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.closure import LEAST_MEMORY_BYTES, SHARE_OF_EFFECT
from freepage.analysis.compared import Comparison
from freepage.analysis.definition import Area
from freepage.analysis.doubts.base import Doubt
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.series import metric_series
from freepage.fpr.mechanics import PASS_DELAY_S, slowest_delay_s
from freepage.fpr.release import longest_release_s
from freepage.kinds import Subject
from freepage.records import NODE, Arm
from freepage.units import GIB, format_bytes

if TYPE_CHECKING:
    from freepage.analysis.doubts.base import DoubtInput

BASELINE_DRIFT_BYTES = 0.25 * GIB


def find_missing_evidence(found: DoubtInput) -> Doubt | None:
    evidence = [e for t in found.run.ok_trials(arm=Arm.VM_FPR) for e in t.record.evidence if e.is_of_vm]
    if not evidence or all(e.active for e in evidence):
        return None
    text = "In some FPR trials no report was seen to arrive at QEMU while the workload ran"
    if any(e.active is None for e in evidence):
        text = "QEMU did not say how many reports it handled in some FPR trials"
    return Doubt(
        "not-seen-active", f"{text}.", "Look at the evidence table; QEMU 7.2 or newer can tell.", Area.MEMORY
    )


def find_inhibited(found: DoubtInput, experiment: str) -> Doubt | None:
    given = found.experiments[experiment].estimate(Arm.VM_FPR, Quantity.GIVEN_BACK)
    active = any(e.active for t in found.run.ok_trials(experiment) for e in t.record.evidence)
    if given is not None and given.value < 0.1 and active and not found.run.manifest.smoke:
        return Doubt(
            "inhibited",
            f"Reports arrived in {experiment}, but the host's memory did not fall: QEMU threw them away.",
            "Likely causes: VFIO devices, locked memory (mem-lock), page poisoning in the guest, 1 GiB huge pages.",
            Area.MEMORY,
            experiment,
        )
    return None


def find_slow_passes(found: DoubtInput) -> Doubt | None:
    """Return a doubt where guests wait longer before a pass than the schedules were planned for."""
    evidence = (e for t in found.run.ok_trials(arm=Arm.VM_FPR) for e in t.record.evidence)
    delay_s = max((e.reporting_delay_s or 0.0 for e in evidence), default=0.0)
    if delay_s <= PASS_DELAY_S:
        return None
    return Doubt(
        "slow-passes",
        f"Guests wait {delay_s:g} s before each pass of reporting (page_reporting_delay_ms), and the schedules leave time for passes "
        f"{PASS_DELAY_S:g} s apart: what was freed may not have been back before it was allocated again.",
        "Leave the guest's page_reporting_delay_ms at 2000, or give the experiments a longer idle.",
        Area.MEMORY,
    )


def find_swap(found: DoubtInput) -> Doubt | None:
    moved = sum(metric_series(t, NODE, "pswpout").rise() or 0.0 for t in found.run.trials)
    if moved <= 0:
        return None
    return Doubt(
        "swapped",
        f"{found.host.capitalize()} swapped out {moved:.0f} pages during the run, which also lowers resident memory.",
        "Use a smaller --scale, or switch swap off.",
        Area.MEMORY,
    )


def find_same_page_merging(found: DoubtInput) -> Doubt | None:
    if found.run.manifest.host.get("ksm_run") != 1:
        return None
    return Doubt(
        "ksm",
        "Kernel same-page merging runs on this host and merges equal pages of guests.",
        "echo 0 > /sys/kernel/mm/ksm/run",
        Area.MEMORY,
    )


def find_window_too_short(found: DoubtInput, experiment: str) -> Doubt | None:
    results = found.experiments[experiment]
    given = results.estimate(Arm.VM_FPR, Quantity.GIVEN_BACK)
    if Subject.RELEASES not in results.traits.measures or given is None or given.value <= 0.3:
        return None
    reached, all_ = (
        _total(found, experiment, count) for count in (TrialOnly.RELEASE_T90_COUNT, TrialOnly.RELEASES)
    )
    if 2 * reached > all_:
        return None
    evidence = (e for t in found.run.ok_trials(experiment, Arm.VM_FPR) for e in t.record.evidence)
    needed_s = longest_release_s(slowest_delay_s(evidence))
    return Doubt(
        "window-too-short",
        f"In {experiment} only {reached:.0f} of {all_:.0f} releases got 90 % back before memory was allocated again: the "
        f"time it takes is longer than {'half of them' if 2 * reached == all_ else 'most'} had.",
        f"Give FPR the {needed_s:g} s it may need: --set {experiment}.idle={needed_s:g}s. What then still stays, the guest keeps, for "
        "example in fragments too small to report.",
        Area.MEMORY,
        experiment,
    )


def find_noisy_node(found: DoubtInput, experiment: str) -> Doubt | None:
    """Return a doubt where the node's memory varied too much to show what FPR saves, and nothing tells what else moved it."""
    results = found.experiments[experiment]
    saved = results.compared(Comparison.SAVED_MEAN)
    without = results.estimate(Arm.VM, Quantity.NODE_MEAN)
    if Subject.NODE_MEMORY not in results.traits.measures or saved is None or without is None:
        return None
    if saved.low is None or saved.high is None or _is_closed(found, experiment):
        return None
    half = (saved.high - saved.low) / 2
    if half <= max(LEAST_MEMORY_BYTES, SHARE_OF_EFFECT * without.value) or not saved.low < 0 < saved.high:
        return None
    return Doubt(
        "noisy-node",
        f"In {experiment} the node's memory varied so much between repeats that its mean does not show what FPR saves: "
        f"{format_bytes(saved.value)}, give or take {format_bytes(half)}. What else moved it is not known here. Resident memory "
        "of the instances, from which memory given back is computed, has no such noise.",
        f"{found.alone}; or use more --repeats.",
        Area.NODE,
        experiment,
    )


def find_baseline_drift(found: DoubtInput, experiment: str) -> Doubt | None:
    """Return a doubt where baselines differ between trials, and nothing tells what moved inside them."""
    mine = [t.record.id for t in found.run.ok_trials(experiment)]
    baselines = [b for i in mine if (b := found.values[i].get(TrialOnly.BASELINE)) is not None]
    if _is_closed(found, experiment) or len(baselines) < 2:
        return None
    if max(baselines) - min(baselines) < BASELINE_DRIFT_BYTES:
        return None
    return Doubt(
        "baseline-drift",
        f"What else runs on {found.host} used between {format_bytes(min(baselines))} and {format_bytes(max(baselines))} "
        f"before trials of {experiment} started.",
        f"{found.alone}.",
        Area.NODE,
        experiment,
    )


def _is_closed(found: DoubtInput, experiment: str) -> bool:
    """Return whether the books of memory are known for all trials of an experiment, so that other work shows in them."""
    mine = [t.record.id for t in found.run.ok_trials(experiment)]
    return all(found.values[i].get(TrialOnly.CLOSURE_MEMORY) is not None for i in mine)


def _total(found: DoubtInput, experiment: str, count: TrialOnly) -> float:
    """Return the sum of a count over the FPR trials of an experiment."""
    mine = [t.record.id for t in found.run.ok_trials(experiment, Arm.VM_FPR)]
    return sum(found.values[i].get(count) or 0.0 for i in mine)

"""Named reasons not to trust a result, each with its remedy; only what was seen in this run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from freepage.analysis.series import metric_series
from freepage.kinds import Subject, find_kind
from freepage.records import NODE, SAMPLER, Action, Arm, TrialStatus
from freepage.units import GIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freepage.analysis.stats import Estimate
    from freepage.store import Run, TrialData

LATE_FRACTION = 0.25
LATE_STEP_S = 0.25
STEAL_FRACTION = 0.02
BASELINE_DRIFT_BYTES = 0.25 * GIB
LEAST_TRIALS = 3


@dataclass(frozen=True)
class Doubt:
    """A reason not to trust part of a result.

    touches: memory (given back), node (the node's memory in use), time (and CPU), or all. experiment: the one it is
    about; None for the whole run.
    """

    id: str
    text: str
    remedy: str
    touches: str
    experiment: str | None = None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Findings:
    """What doubts are found in.

    The run, each trial's numbers, estimates by experiment, arm and name, and comparisons by experiment and name.
    """

    run: Run
    values: Mapping[str, Mapping[str, float | None]]
    estimates: Mapping[str, Mapping[str, Mapping[str, Estimate | None]]]
    comparisons: Mapping[str, Mapping[str, Estimate | None]]

    def measures(self, experiment: str) -> frozenset[Subject]:
        mine = (t.record.kind for t in self.run.trials if t.record.experiment == experiment)
        return find_kind(next(mine, "")).measures

    @property
    def host(self) -> str:
        return "the nodes" if self.run.manifest.on_cluster else "the host"

    @property
    def alone(self) -> str:
        """Say how what is measured is kept apart from other work."""
        if self.run.manifest.on_cluster:
            return "Measure nodes that run nothing else (--nodes)"
        return "Stop other work on the host, or use --node-memory, which counts nothing else"


def find_doubts(findings: Findings) -> list[Doubt]:
    """Give every doubt this run gives reason for: those about all of it, then those about single experiments."""
    found = [check(findings) for check in CHECKS]
    found += [check(findings, name) for check in CHECKS_OF_EXPERIMENTS for name in findings.estimates]
    return [doubt for doubt in found if doubt is not None]


def _emulation(findings: Findings) -> Doubt | None:
    manifest = findings.run.manifest
    if manifest.accelerator != "tcg" or not {Arm.VM, Arm.VM_FPR} & set(manifest.arms):
        return None
    return Doubt(
        "emulated",
        f"Guests ran under emulation (TCG): {manifest.accelerator_reason}. Memory behaves as on real hardware; "
        "times and CPU do not, so they do not decide the verdict.",
        "Run where KVM works to measure times and CPU.",
        "time",
    )


def _failed_trials(findings: Findings) -> Doubt | None:
    fine = {TrialStatus.OK, TrialStatus.SKIPPED}
    failed = [t.record for t in findings.run.trials if t.record.status not in fine]
    if not failed:
        return None
    names = ", ".join(r.id for r in failed[:4]) + (", ..." if len(failed) > 4 else "")
    return Doubt(
        "failed-trials",
        f"{len(failed)} of {len(findings.run.trials)} trials did not end well: {names}.",
        "Their errors are in the table of trials; run again once they are understood.",
        "all",
    )


def _skipped_trials(findings: Findings) -> Doubt | None:
    skipped = [t.record for t in findings.run.trials if t.record.status is TrialStatus.SKIPPED]
    if not skipped:
        return None
    names = ", ".join(dict.fromkeys(f"{r.experiment} on {r.arm}" for r in skipped))
    reasons = "; ".join(dict.fromkeys(str(r.error) for r in skipped))
    remedies = ". ".join(dict.fromkeys(r.hint for r in skipped if r.hint))
    return Doubt(
        "skipped-trials",
        f"{len(skipped)} of {len(findings.run.trials)} trials could not run here ({names}): {reasons}.",
        remedies or "The rest of the run stands.",
        "all",
    )


def _only_tried(findings: Findings) -> Doubt | None:
    manifest = findings.run.manifest
    if not manifest.smoke:
        return None
    return Doubt(
        "only-tried",
        f"At scale {manifest.scale:g} an experiment is only tried: once on each arm, for seconds, with small blocks and files; of "
        "several experiments of one kind the first.",
        "Leave out --scale to measure.",
        "all",
    )


def _few_trials(findings: Findings) -> Doubt | None:
    counts = {name: _fewest_trials(arms) for name, arms in findings.estimates.items()}
    few = [f"{name} ({n})" for name, n in counts.items() if n < LEAST_TRIALS]
    if not few:
        return None
    return Doubt(
        "few-trials",
        f"Fewer than {LEAST_TRIALS} trials an arm for {', '.join(few)}: one trial gives no interval, two a very wide one.",
        "Run again with --repeats 5.",
        "all",
    )


def _missing_evidence(findings: Findings) -> Doubt | None:
    evidence = [e for t in findings.run.ok_trials(arm=Arm.VM_FPR) for e in t.record.evidence if e.is_of_vm]
    if not evidence or all(e.active for e in evidence):
        return None
    text = "In some FPR trials no report was seen to arrive at QEMU"
    if any(e.active is None for e in evidence):
        text = "QEMU did not say how many reports it handled in some FPR trials"
    return Doubt(
        "not-seen-active", f"{text}.", "Look at the evidence table; QEMU 7.2 or newer can tell.", "memory"
    )


def _inhibited(findings: Findings, experiment: str) -> Doubt | None:
    given = findings.estimates[experiment].get(Arm.VM_FPR, {}).get("given_back_fraction")
    active = any(e.active for t in findings.run.ok_trials(experiment) for e in t.record.evidence)
    if given is not None and given.value < 0.1 and active and not findings.run.manifest.smoke:
        return Doubt(
            "inhibited",
            f"Reports arrived in {experiment}, but the host's memory did not fall: QEMU threw them away.",
            "Likely causes: VFIO devices, locked memory (mem-lock), page poisoning in the guest, 1 GiB huge pages.",
            "memory",
            experiment,
        )
    return None


def _swap(findings: Findings) -> Doubt | None:
    moved = sum(_growth(t, NODE, "pswpout") for t in findings.run.trials)
    if moved <= 0:
        return None
    return Doubt(
        "swapped",
        f"{findings.host.capitalize()} swapped out {moved:.0f} pages during the run, which also lowers resident memory.",
        "Use a smaller --scale, or switch swap off.",
        "memory",
    )


def _same_page_merging(findings: Findings) -> Doubt | None:
    if findings.run.manifest.host.get("ksm_run") != 1:
        return None
    return Doubt(
        "ksm",
        "Kernel same-page merging runs on this host and merges equal pages of guests.",
        "echo 0 > /sys/kernel/mm/ksm/run",
        "memory",
    )


def _steal(findings: Findings) -> Doubt | None:
    stolen = sum(_growth(t, NODE, "cpu_steal_s") for t in findings.run.trials)
    cpus = float(str(findings.run.manifest.host.get("cpus_logical") or 1))
    capacity_s = cpus * sum(t.record.planned_duration_s for t in findings.run.trials)
    if capacity_s <= 0 or stolen / capacity_s < STEAL_FRACTION:
        return None
    return Doubt(
        "steal",
        f"{findings.host.capitalize()} lost {stolen / capacity_s:.0%} of the CPU time to other virtual machines.",
        "Use a host of your own, or more repeats.",
        "time",
    )


def _sampler_late(findings: Findings) -> Doubt | None:
    late = [
        value
        for t in findings.run.trials
        for value in metric_series(t, SAMPLER, "late_s").values
        if value > LATE_FRACTION * findings.run.manifest.interval_s
    ]
    ticks = sum(len(metric_series(t, SAMPLER, "late_s").values) for t in findings.run.trials)
    if not ticks or len(late) / ticks < 0.02:
        return None
    return Doubt(
        "sampler-late",
        f"{len(late)} of {ticks} samples came late by more than {LATE_FRACTION:.0%} of their interval (at most {max(late):.2f} s).",
        "Use a longer interval, or fewer instances.",
        "time",
    )


def _steps_late(findings: Findings) -> Doubt | None:
    lateness = [s for t in findings.run.ok_trials() for s in t.events["late_s"].to_list()]
    late = [s for s in lateness if s > LATE_STEP_S]
    if not late:
        return None
    return Doubt(
        "steps-late",
        f"{len(late)} of {len(lateness)} steps started more than {LATE_STEP_S} s late (at most {max(late):.1f} s): {findings.host} could not keep up with "
        "the schedule. Later steps were not shifted.",
        "Use a smaller --scale, or give the experiment a longer slot.",
        "time",
    )


def _failed_programs(findings: Findings, experiment: str) -> Doubt | None:
    mine = [t.events for t in findings.run.ok_trials(experiment)]
    runs = [row for events in mine for row in events.iter_rows(named=True) if row["action"] == Action.RUN]
    failed = [row for row in runs if not row["ok"]]
    if not failed:
        return None
    errors = "; ".join(dict.fromkeys(str(row["error"]) for row in failed))
    built = " and the image must have been built with --study" if findings.run.manifest.on_cluster else ""
    return Doubt(
        "programs-failed",
        f"In {experiment} {len(failed)} of {len(runs)} runs of programs failed: {errors}.",
        f"What they wrote is in the trials' folders. A program must be among the study's `programs` or in its `folder`{built}.",
        "all",
        experiment,
    )


def _window_too_short(findings: Findings, experiment: str) -> Doubt | None:
    fpr = findings.estimates[experiment].get(Arm.VM_FPR, {})
    given = fpr.get("given_back_fraction")
    if (
        Subject.RELEASES in findings.measures(experiment)
        and given is not None
        and given.value > 0.3
        and fpr.get("release_t90_s") is None
    ):
        reached, all_ = (_total(findings, experiment, key) for key in ("release_t90_count", "releases"))
        return Doubt(
            "window-too-short",
            f"In {experiment} only {reached:.0f} of {all_:.0f} releases got 90 % back before memory was allocated again, so "
            "there is no time for it.",
            f"Give FPR the 34 s it may need: --set {experiment}.idle=34s. What then still stays, the guest keeps, for "
            "example in fragments too small to report.",
            "memory",
            experiment,
        )
    return None


def _noisy_node(findings: Findings, experiment: str) -> Doubt | None:
    saved = findings.comparisons[experiment].get("saved_mean_bytes")
    if Subject.NODE_MEMORY not in findings.measures(experiment) or saved is None or saved.low is None:
        return None
    if not saved.low < 0 < saved.value:
        return None
    return Doubt(
        "noisy-node",
        f"In {experiment} the node's memory varied so much between repeats that its mean does not show what FPR saves: "
        f"{format_bytes(saved.value)}, with an interval that reaches below zero. Resident memory "
        "of the instances, from which memory given back is computed, has no such noise.",
        f"{findings.alone}; or use more --repeats.",
        "node",
        experiment,
    )


def _different_schedules(findings: Findings, experiment: str) -> Doubt | None:
    mine = [t.schedules for t in findings.run.ok_trials(experiment)]
    if any(not _is_subset(schedules, max(mine, key=len)) for schedules in mine):
        return Doubt(
            "schedules-differ",
            f"Not all trials of {experiment} followed the same schedules, so its arms cannot be compared.",
            "Run the study again as a whole.",
            "all",
            experiment,
        )
    return None


def _is_subset(some: Mapping[str, object], all_: Mapping[str, object]) -> bool:
    """Say whether the same instances did the same; a baseline lacks instances."""
    return all(all_.get(name) == schedules for name, schedules in some.items())


def _different_thp(findings: Findings, experiment: str) -> Doubt | None:
    """Huge pages change both what a fault costs and what can be given back."""
    seen = {
        (e.guest_thp, e.host_thp)
        for t in findings.run.ok_trials(experiment)
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
            "all",
            experiment,
        )
    return None


def _baseline_drift(findings: Findings, experiment: str) -> Doubt | None:
    mine = [t.record.id for t in findings.run.ok_trials(experiment)]
    baselines = [b for i in mine if (b := findings.values[i].get("baseline_bytes")) is not None]
    if len(baselines) > 1 and max(baselines) - min(baselines) >= BASELINE_DRIFT_BYTES:
        return Doubt(
            "baseline-drift",
            f"What else runs on {findings.host} used between {format_bytes(min(baselines))} and {format_bytes(max(baselines))} "
            f"before trials of {experiment} started.",
            f"{findings.alone}.",
            "node",
            experiment,
        )
    return None


def _total(findings: Findings, experiment: str, key: str) -> float:
    """Add up a count over the FPR trials of an experiment."""
    mine = [t.record.id for t in findings.run.ok_trials(experiment, Arm.VM_FPR)]
    return sum(findings.values[i].get(key) or 0.0 for i in mine)


def _fewest_trials(arms: Mapping[str, Mapping[str, Estimate | None]]) -> int:
    measured = [estimates.get("node_in_use_mean_bytes") for estimates in arms.values()]
    return min((e.n if e is not None else 0 for e in measured), default=0)


def _growth(trial: TrialData, entity: str, metric: str) -> float:
    known = metric_series(trial, entity, metric).known().values
    return float(known[-1] - known[0]) if len(known) > 1 else 0.0


CHECKS: tuple[Callable[[Findings], Doubt | None], ...] = (
    _failed_trials,
    _skipped_trials,
    _missing_evidence,
    _emulation,
    _only_tried,
    _few_trials,
    _swap,
    _same_page_merging,
    _steal,
    _steps_late,
    _sampler_late,
)
CHECKS_OF_EXPERIMENTS: tuple[Callable[[Findings, str], Doubt | None], ...] = (
    _failed_programs,
    _inhibited,
    _different_schedules,
    _different_thp,
    _window_too_short,
    _noisy_node,
    _baseline_drift,
)

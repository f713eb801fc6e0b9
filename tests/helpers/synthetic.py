"""Writes run folders whose truth is known, through the same writers a real run uses."""

from __future__ import annotations

from dataclasses import dataclass, replace

from freepage.records import (
    CARRIERS,
    NODE,
    RUN_SCHEMA,
    Action,
    Arm,
    EventLine,
    Evidence,
    Manifest,
    SampleLine,
    TrialRecord,
    TrialStatus,
    VerdictRule,
)
from freepage.store import TrialWriter, write_manifest
from freepage.study.plan import plan_trials
from freepage.study.read import parse_study
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.units import GIB, MIB
from helpers.made_once import copy_made

STUDY = """name = "synthetic"
title = "A run whose truth is known"
repeats = {repeats}
[[experiment]]
kind = "cycle"
size = "1GiB"
slot = "4s"
hold = "4s"
idle = "20s"
iterations = 3
"""
IDLE_BYTES = 200 * MIB
BASELINE_BYTES = 3 * GIB


@dataclass(frozen=True)
class Truth:
    """The synthetic host: the share FPR gives back, the seconds until it starts to, and how fast."""

    given_back: float = 0.96
    delay_s: float = 2.0
    release_s: float = 4.0
    first_s: float = 2.0
    later_s: float = 1.0
    penalty: float = 1.5
    repeats: int = 3
    accelerator: str = "kvm"
    active: bool = True
    swapped: bool = False
    failed: tuple[int, ...] = ()


def write_run(folder, truth=Truth()):
    """Write a whole run below `folder` and return the folder."""
    copy_made(folder, _write, (truth,))
    return folder


def _write(folder, truth):
    study = scale_study(
        parse_study(STUDY.format(repeats=truth.repeats), "synthetic.toml"),
        1.0,
        Conditions(32 * GIB, 8, "kvm"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, build_manifest(truth))
    for trial in plan_trials(study):
        write_trial(folder / "trials" / trial.id, trial, truth)


def build_manifest(truth):
    return Manifest(
        schema=RUN_SCHEMA,
        freepage_version="0",
        command=("freepage", "run", "synthetic.toml"),
        study="synthetic",
        title="A run whose truth is known",
        seed=1,
        scale=1.0,
        repeats=truth.repeats,
        arms=CARRIERS,
        target="local",
        accelerator=truth.accelerator,
        accelerator_reason="it is synthetic",
        interval_s=1.0,
        node="host",
        node_memory_bytes=32 * GIB,
        started_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T00:10:00+00:00",
        host={"hostname": "<script>alert(1)</script>", "cpus_logical": 8, "ksm_run": 0},
        tools={"qemu": "QEMU 0"},
        verdict_rule=VerdictRule(),
        smoke=False,
    )


def write_trial(folder, trial, truth):
    writer = TrialWriter(folder)
    writer.write_schedules({i.name: i.schedules for i in trial.instances})
    record = TrialRecord(
        trial.id,
        trial.experiment.name,
        trial.arm,
        trial.repeat,
        trial.order,
        TrialStatus.OK,
        trial.duration_s,
        kind=trial.experiment.kind.name,
    )
    if trial.order in truth.failed:
        record = replace(
            record, status=TrialStatus.FAILED, error="it broke <b>badly</b>", hint="look at the console"
        )
    else:
        events = list(build_events(trial, truth))
        for event in events:
            writer.write_event(event)
        for line in build_samples(trial, events, truth):
            writer.write_sample(line)
        record = replace(record, ready_s=2.0, evidence=(build_evidence(trial, truth),))
    writer.write_record(record)
    writer.seal()


def build_evidence(trial, truth):
    if trial.arm is Arm.POD:
        return Evidence("cycle-0")
    on = trial.arm is Arm.VM_FPR
    return Evidence(
        "cycle-0", configured=on, negotiated=on, active=truth.active if on else None, reporting_order=9
    )


def allocation_s(arm, iteration, truth):
    """Return the seconds an allocation takes: without FPR later ones are faster, with FPR slower by the penalty."""
    if iteration == 0 or arm is Arm.POD:
        return truth.first_s
    return truth.later_s * (truth.penalty if arm is Arm.VM_FPR else 1.0)


def build_events(trial, truth):
    for plan in trial.instances:
        for process in plan.schedules:
            for index, step in enumerate(process.steps):
                allocating = step.action is Action.ALLOCATE
                wall_s = allocation_s(trial.arm, step.iteration, truth) if allocating else 0.01
                wall_s *= 1 + 0.01 * trial.repeat
                yield EventLine(
                    t_s=step.at_s,
                    end_s=step.at_s + wall_s,
                    instance=plan.name,
                    process=process.process,
                    index=index,
                    iteration=step.iteration,
                    action=step.action,
                    bytes=step.bytes,
                    planned_s=step.at_s,
                    late_s=0.0,
                    wall_s=wall_s,
                    user_s=0.1 * wall_s,
                    system_s=0.9 * wall_s,
                    minor_faults=step.bytes // 4096 if allocating else 0,
                    major_faults=0,
                    ok=True,
                )


def resident_bytes(t_s, arm, events, truth):
    """Resident memory of the one instance at a time: what the arm keeps of what was ever allocated."""
    held = 0.0
    kept = 0.0
    for event in events:
        if event.action == Action.ALLOCATE and t_s >= event.t_s:
            grown = min(1.0, (t_s - event.t_s) / event.wall_s)
            held = event.bytes
            kept = max(kept, grown * event.bytes)
        if event.action == Action.FREE and t_s > event.t_s:
            kept = left_after(t_s - event.t_s, held, arm, truth)
    idle = 0.0 if arm is Arm.POD else IDLE_BYTES
    return idle + kept


def left_after(seconds, held, arm, truth):
    if arm is Arm.POD:
        return 0.0
    if arm is Arm.VM:
        return held
    progress = min(1.0, max(0.0, (seconds - truth.delay_s) / truth.release_s))
    return held * (1 - truth.given_back * progress)


def build_samples(trial, events, truth):
    faulted, before = 0.0, 0.0
    for tick in range(-6, int(trial.duration_s) + 1):
        t_s = float(tick)
        resident = resident_bytes(t_s, trial.arm, events, truth) if t_s >= -1 else 0.0
        used = BASELINE_BYTES + resident
        faulted, before = faulted + max(0.0, resident - before), resident
        node = {
            "mem_total_bytes": 32.0 * GIB,
            "mem_free_bytes": 32.0 * GIB - used - 3 * GIB,
            "mem_cached_bytes": 2.0 * GIB,
            "mem_buffers_bytes": 0.5 * GIB,
            "mem_sreclaimable_bytes": 0.5 * GIB,
            "mem_available_bytes": 32.0 * GIB - used,
            "cpu_user_s": 100.0 + 0.35 * max(t_s, 0.0),
            "cpu_system_s": 10.0,
            "cpu_nice_s": 0.0,
            "cpu_irq_s": 0.0,
            "cpu_softirq_s": 0.0,
            "cpu_steal_s": 0.0,
            "pswpout": max(t_s, 0.0) * 100 if truth.swapped else 0.0,
        }
        values = {NODE: node}
        node["thp_fault_alloc"] = 0.0
        if t_s >= -1:
            rate = 0.3 if trial.arm is Arm.VM_FPR else 0.2
            cpu_s = 5.0 + rate * max(t_s, 0.0)
            values["cycle-0"] = {
                "rss_bytes": resident,
                "swap_bytes": 0.0,
                "cpu_total_s": cpu_s,
                "cpu_main_loop_s": 1.0,
                "minor_faults": faulted // 4096,
            }
        yield SampleLine(t_s, 0.001, values)

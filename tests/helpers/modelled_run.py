"""Runs of both built-in kinds of experiment, with the real schedules, on a host and guests that are a few formulas.

Guests: a VM keeps every page it ever touched. One with FPR puts `given_back` of each freed block on a list that a pass
empties by at most `pass_bytes` every `pass_s` seconds, the first one `pass_s` after the free; the rest stays until it is
allocated again. A pod gives everything back at once.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from freepage.records import (
    CARRIERS,
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
from freepage.store import TrialWriter, prepare_folder, write_json, write_manifest
from freepage.study.plan import plan_as_json, plan_trials
from freepage.study.read import parse_study
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.units import GIB, MIB
from helpers.made_once import copy_made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from freepage.study.plan import InstancePlan, Trial

STUDY = """
name = "modelled"
title = "A run whose truth is known"
seed = 7
scale = 1.0

[[experiment]]
kind = "cycle"
repeats = {repeats}
size = "512MiB"
slot = "2s"
hold = "3s"
idle = "10s"
iterations = 3

[[experiment]]
kind = "random"
repeats = {repeats}
instances = 2
processes = 2
size = "64MiB,192MiB,32MiB"
hold = "6s,12s,1s"
idle = "6s,10s,1s"
duration = "60s"
"""
CYCLE_ONLY = STUDY[: STUDY.rindex("[[experiment]]")]
# Instances that act together, and some that never rest.
TOGETHER = """name = "together"
repeats = {repeats}
[[experiment]]
kind = "burst"
instances = 3
size = "64MiB"
hold = "2s"
idle = "6s"
iterations = 2
[[experiment]]
kind = "churn"
arms = ["vm", "vm-fpr"]
instances = 2
size = "64MiB,128MiB,32MiB"
hold = "500ms,1500ms,100ms"
idle = "500ms,1500ms,100ms"
duration = "20s"
"""
TICK_S = 0.05
READY_S = 3.0
FIRST_SAMPLE_S = -8.0
INSTANCES_START_S = -5.0
INSTANCES_READY_S = INSTANCES_START_S + READY_S


@dataclass(frozen=True)
class Truth:
    """The numbers the run was made from, which its estimates must find again.

    control_slowdown: how many times as long the control of an A/A test takes to allocate.
    drawn_phases: samples fall at the phase of their block after the zero, as in a real run; otherwise on the zero.
    guest_free_bytes: what is free in a guest before it works, in blocks of 4 MiB; 0 where guests do not show their free blocks.
    """

    given_back: float = 0.96
    pass_s: float = 2.0
    pass_bytes: float = 256 * MIB
    baseline_bytes: float = 2 * GIB
    pod_idle_bytes: float = 2 * MIB
    vm_idle_bytes: float = 180 * MIB
    first_s_per_gib: dict[Arm, float] = field(
        default_factory=lambda: {Arm.POD: 0.8, Arm.VM: 1.2, Arm.VM_FPR: 1.25}
    )
    rest_s_per_gib: dict[Arm, float] = field(
        default_factory=lambda: {Arm.POD: 0.8, Arm.VM: 0.9, Arm.VM_FPR: 1.2}
    )
    main_loop_s_per_gib: float = 0.25
    other_cores: float = 0.1
    node_noise_bytes: float = 0.5 * MIB
    trial_spread: float = 0.02
    interval_s: float = 0.5
    accelerator: str = "kvm"
    repeats: int = 3
    drawn_phases: bool = False
    control_slowdown: float = 1.0
    guest_free_bytes: float = 0.0
    host: dict[str, object] = field(default_factory=dict)


HOST = {
    "hostname": "modelled",
    "architecture": "x86_64",
    "kernel": "6.1.0",
    "cpu_model": "no CPU at all",
    "cpus_logical": 4,
    "memory_total_bytes": 16 * GIB,
    "memory_available_bytes": 12 * GIB,
    "swap_total_bytes": 0,
    "thp_enabled": "madvise",
    "ksm_run": 0,
    "cgroup_version": 2,
}


def write_run(
    folder: Path,
    truth: Truth | None = None,
    *,
    study: str = STUDY,
    arms: tuple[Arm, ...] = CARRIERS,
    failed: dict[str, str] | None = None,
    planned: tuple[str, ...] = (),
) -> Truth:
    """Write a run folder and return its truth.

    `failed` maps trial ids to errors: such a trial has a record and nothing else. `planned` ids were never reached.
    """
    truth = truth or Truth()
    copy_made(folder, _write, (truth, study, arms, failed or {}, planned))
    return truth


def _write(
    folder: Path,
    truth: Truth,
    study: str,
    arms: tuple[Arm, ...],
    failed: dict[str, str],
    planned: tuple[str, ...],
) -> None:
    file = parse_study(study.format(repeats=truth.repeats), "modelled.toml", ()).model_copy(
        update={"arms": arms}
    )
    scaled = scale_study(file, 1.0, Conditions(16 * GIB, 4, truth.accelerator))
    trials = plan_trials(replace(scaled, interval_s=truth.interval_s))
    prepare_folder(folder, force=False)
    write_manifest(folder, _manifest(truth, arms, scaled.verdict_rule))
    write_json(folder / "plan.json", plan_as_json(trials))
    for trial in (t for t in trials if t.id not in planned):
        error = failed.get(trial.id)
        _write_failed(folder, trial, truth, error) if error else _write_trial(folder, trial, truth)


def find_trial_ids(folder: Path, experiment: str, arm: Arm) -> list[str]:
    """Return the ids of a written run's trials of one experiment and arm."""
    mine = re.compile(rf"\d+-{experiment}-{arm}-\d+")
    return sorted(p.name for p in (folder / "trials").iterdir() if mine.fullmatch(p.name))


@dataclass
class _Instance:
    """The memory and CPU of one instance while its schedule is replayed."""

    plan: InstancePlan
    arm: Arm
    truth: Truth
    speed: float
    held: float = 0.0
    kept: float = 0.0
    listed: float = 0.0
    next_pass_s: float | None = None
    given_back: float = 0.0
    faulted: float = 0.0
    cpu_s: float = 0.0

    @property
    def resident_bytes(self) -> float:
        idle = self.truth.pod_idle_bytes if self.arm is Arm.POD else self.truth.vm_idle_bytes
        return idle + self.held + self.kept + self.listed

    def allocate(self, size: float) -> None:
        """Take pages that are still resident first, as a kernel would."""
        for name in ("listed", "kept"):
            reused = min(getattr(self, name), size)
            setattr(self, name, getattr(self, name) - reused)
            size -= reused
            self.held += reused
        self.held += size
        self.faulted += size

    def free(self, size: float, now_s: float) -> None:
        self.held -= size
        if self.arm is Arm.VM:
            self.kept += size
        elif self.arm is Arm.VM_FPR:
            self.kept += size * (1 - self.truth.given_back)
            self.listed += size * self.truth.given_back
            self.next_pass_s = self.next_pass_s or now_s + self.truth.pass_s

    def run_pass(self, now_s: float) -> None:
        if self.next_pass_s is None or now_s < self.next_pass_s - 1e-9:
            return
        back = min(self.listed, self.truth.pass_bytes)
        self.listed -= back
        self.given_back += back
        self.next_pass_s = now_s + self.truth.pass_s if self.listed > 0 else None


def _write_trial(folder: Path, trial: Trial, truth: Truth) -> None:
    writer = TrialWriter(folder / "trials" / trial.id)
    writer.write_schedules({i.name: i.schedules for i in trial.instances})
    chance = random.Random(f"{trial.experiment.name}:{trial.arm}:{trial.repeat}")
    slowdown = truth.control_slowdown if trial.arm is Arm.CONTROL else 1.0
    speed = slowdown * (1 + truth.trial_spread * chance.uniform(-1, 1))
    instances = [_Instance(plan, plan.carrier, truth, speed) for plan in trial.instances]
    changes = {i.plan.name: [] for i in instances}
    for instance in instances:
        for event in _replay(instance):
            writer.write_event(event)
            changes[instance.plan.name] += _memory_changes(event)
    for line in _sample(trial, instances, changes, truth, chance):
        writer.write_sample(line)
    evidence = tuple(_evidence(i) for i in instances)
    writer.write_record(
        replace(
            _record(trial, truth),
            status=TrialStatus.OK,
            ready_s=READY_S,
            evidence=evidence,
            wall_zero="2026-01-02T03:04:05.000+00:00",
            sampler_cpu_s=0.05,
            sampler_wall_s=trial.duration_s,
        )
    )
    writer.seal()


def _write_failed(folder: Path, trial: Trial, truth: Truth, error: str) -> None:
    writer = TrialWriter(folder / "trials" / trial.id)
    writer.write_schedules({i.name: i.schedules for i in trial.instances})
    writer.write_record(replace(_record(trial, truth), status=TrialStatus.FAILED, error=error))
    writer.seal()


def _replay(instance: _Instance) -> Iterator[EventLine]:
    """Yield every step's event; an allocation takes its size times the arm's seconds per GiB, the first and later ones."""
    truth, arm = instance.truth, instance.arm
    for schedule in instance.plan.schedules:
        for index, step in enumerate(schedule.steps):
            pace = truth.first_s_per_gib if step.iteration == 0 else truth.rest_s_per_gib
            allocates = step.action is Action.ALLOCATE
            wall_s = pace[arm] * instance.speed * step.bytes / GIB if allocates else 0.002
            yield EventLine(
                t_s=step.at_s,
                end_s=step.at_s + wall_s,
                instance=instance.plan.name,
                process=schedule.process,
                index=index,
                iteration=step.iteration,
                action=step.action,
                bytes=step.bytes,
                planned_s=step.at_s,
                late_s=0.0004,
                wall_s=wall_s,
                user_s=wall_s * 0.05,
                system_s=wall_s * 0.95,
                minor_faults=step.bytes // 4096 if allocates else 0,
                major_faults=0,
                ok=True,
            )


def _memory_changes(event: EventLine) -> list[tuple[float, float]]:
    """Return (time, bytes) in small portions: an allocation grows evenly while it is touched."""
    if event.action == Action.FREE:
        return [(event.t_s, -float(event.bytes))]
    portions = max(1, round(event.wall_s / TICK_S))
    return [(event.t_s + (n + 1) * event.wall_s / portions, event.bytes / portions) for n in range(portions)]


def _sample(
    trial: Trial,
    instances: list[_Instance],
    changes: dict[str, list[tuple[float, float]]],
    truth: Truth,
    chance: random.Random,
) -> Iterator[SampleLine]:
    """Walk through the trial in ticks and yield a sample at every interval, at the trial's phase after its zero."""
    per_sample = round(truth.interval_s / TICK_S)
    first, last = round(FIRST_SAMPLE_S / TICK_S), round((trial.duration_s + 0.5) / TICK_S)
    shift = int(trial.phase_s / TICK_S) % per_sample if truth.drawn_phases else 0
    pending = {i.plan.name: sorted(changes[i.plan.name]) for i in instances}
    for tick in range(first, last + 1):
        now_s = tick * TICK_S
        for instance in instances:
            _advance(instance, pending[instance.plan.name], now_s)
        if (tick - shift) % per_sample == 0:
            yield SampleLine(now_s, 0.001, _values(instances, now_s, truth, chance))


def _advance(instance: _Instance, pending: list[tuple[float, float]], now_s: float) -> None:
    instance.run_pass(now_s)
    while pending and pending[0][0] <= now_s + 1e-9:
        at_s, size = pending.pop(0)
        instance.allocate(size) if size > 0 else instance.free(-size, at_s)
        instance.cpu_s += max(size, 0) / GIB


def _values(
    instances: list[_Instance], now_s: float, truth: Truth, chance: random.Random
) -> dict[str, dict[str, float | None]]:
    there = min(1.0, max(0.0, (now_s - INSTANCES_START_S) / READY_S))
    in_use = truth.baseline_bytes + there * sum(i.resident_bytes for i in instances)
    in_use += chance.gauss(0, truth.node_noise_bytes)
    cpu_s = sum(i.cpu_s + i.given_back / GIB * truth.main_loop_s_per_gib for i in instances)
    values: dict[str, dict[str, float | None]] = {"node": _node_values(in_use, now_s, cpu_s, truth)}
    if now_s >= INSTANCES_READY_S:
        values |= {i.plan.name: _instance_values(i, truth) for i in instances}
    return values


def _node_values(in_use: float, now_s: float, cpu_s: float, truth: Truth) -> dict[str, float | None]:
    cached, buffers, slab = 1.0 * GIB, 64.0 * MIB, 128.0 * MIB
    since_s = now_s - FIRST_SAMPLE_S
    return {
        "mem_total_bytes": 16.0 * GIB,
        "mem_free_bytes": 16 * GIB - in_use - cached - buffers - slab,
        "mem_available_bytes": 16 * GIB - in_use - 100 * MIB,
        "mem_buffers_bytes": buffers,
        "mem_cached_bytes": cached,
        "mem_sreclaimable_bytes": slab,
        "mem_shmem_bytes": 1.0 * MIB,
        "cpu_user_s": cpu_s + truth.other_cores * since_s,
        "cpu_nice_s": 0.0,
        "cpu_system_s": 0.0,
        "cpu_irq_s": 0.0,
        "cpu_softirq_s": 0.0,
        "cpu_steal_s": 0.0,
        "pswpout": 0.0,
        "thp_fault_alloc": 0.0,
        "psi_memory_some_s": None,
    }


def _instance_values(instance: _Instance, truth: Truth) -> dict[str, float | None]:
    back_s = instance.given_back / GIB * truth.main_loop_s_per_gib
    values: dict[str, float | None] = {
        "rss_bytes": instance.resident_bytes,
        "swap_bytes": 0.0,
        "cpu_total_s": instance.cpu_s + (0.0 if instance.arm is Arm.POD else back_s),
    }
    if instance.arm is Arm.POD:
        return values | {"cgroup_usage_bytes": instance.resident_bytes + 1 * MIB}
    return (
        values
        | {
            "cpu_vcpu_s": instance.cpu_s,
            "cpu_main_loop_s": back_s,
            "cpu_other_s": 0.0,
            "minor_faults": instance.faulted // 4096,
        }
        | _free_blocks(instance, truth)
    )


def _free_blocks(instance: _Instance, truth: Truth) -> dict[str, float | None]:
    """Return a guest's free blocks: without FPR it cannot report, and keeps as small a part of what it frees in no list."""
    if not truth.guest_free_bytes:
        return {}
    unlisted = instance.kept * (1 - truth.given_back if instance.arm is Arm.VM else 1.0)
    free = truth.guest_free_bytes - instance.held - unlisted
    return {"guest_free_order_9_blocks": 0.0, "guest_free_order_10_blocks": free / (4 * MIB)}


def _evidence(instance: _Instance) -> Evidence:
    if instance.arm is Arm.POD:
        return Evidence(instance.plan.name, host_thp="madvise")
    on = instance.arm is Arm.VM_FPR
    return Evidence(
        instance.plan.name,
        configured=on,
        negotiated=on,
        active=on,
        report_count=4 if on else 0,
        reporting_order=9 if on else None,
        guest_kernel="6.1.0-cloud",
        guest_thp="always",
        host_thp="madvise",
        memory_backend="anonymous",
        accelerator=instance.truth.accelerator,
    )


def _record(trial: Trial, truth: Truth) -> TrialRecord:
    return TrialRecord(
        id=trial.id,
        experiment=trial.experiment.name,
        arm=trial.arm,
        repeat=trial.repeat,
        order=trial.order,
        status=TrialStatus.PLANNED,
        planned_duration_s=trial.duration_s,
        kind=trial.experiment.kind.name,
        warmup=trial.warmup,
        position=trial.position,
        schedule_seed=trial.schedule_seed,
        phase_s=trial.phase_s if truth.drawn_phases else 0.0,
        settled=True,
        settle_s=6.0,
    )


def _manifest(truth: Truth, arms: tuple[Arm, ...], verdict_rule: VerdictRule) -> Manifest:
    return Manifest(
        schema=RUN_SCHEMA,
        freepage_version="0",
        command=("freepage", "run", "modelled.toml"),
        study="modelled",
        title="A run whose truth is known",
        seed=7,
        scale=1.0,
        repeats=truth.repeats,
        arms=arms,
        target="local",
        accelerator=truth.accelerator,
        accelerator_reason="a guest that does not exist boots on anything",
        interval_s=truth.interval_s,
        node="host",
        node_memory_bytes=16 * GIB,
        started_at="2026-01-02T03:04:05+00:00",
        finished_at="2026-01-02T03:14:05+00:00",
        host=HOST | truth.host,
        tools={"qemu": "none"},
        verdict_rule=verdict_rule,
        smoke=False,
    )

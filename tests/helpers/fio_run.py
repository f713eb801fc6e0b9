"""Runs of fio whose truth is known, in guests and on the host, through the same writers a real run uses."""

from __future__ import annotations

import json

from freepage.records import NODE, Action, EventLine, SampleLine, TrialRecord, TrialStatus
from freepage.store import TrialWriter, load_run, write_json, write_manifest
from freepage.study.plan import plan_as_json, plan_trials
from freepage.study.read import parse_study
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.units import GIB, MIB
from helpers.synthetic import Truth, build_manifest

GUEST_IO = """name = "io"
repeats = 5
[[experiment]]
kind = "guest-io"
file = "64MiB"
streams = [1, 2]
operations = ["read", "write"]
runtime = "1s"
"""
HOST_IO = """name = "io"
repeats = 5
arms = ["vm", "vm-fpr"]
[[experiment]]
kind = "host-io"
node_memory = "8GiB"
[[experiment.group]]
name = "memory"
kind = "random"
size = "512MiB"
hold = "4s"
idle = "12s"
duration = "60s"
instances = 2
[[experiment.group]]
kind = "fio"
carrier = "pod"
file = "auto"
after = "20s"
runtime = "1s"
operations = ["read"]
"""
DEVICE = 100.0 * MIB


def fio_json(operation, bytes_per_s, io_bytes):
    idle = {"io_bytes": 0, "bw_bytes": 0}
    moved = {"io_bytes": io_bytes, "bw_bytes": bytes_per_s}
    job = {"jobname": "test", "read": idle, "write": idle} | {operation.removeprefix("rand"): moved}
    return "fio: a word of warning\n" + json.dumps({"fio version": "fio-3.33", "jobs": [job]})


def write_io_run(folder, study, speeds, *, failing=(), skipped=()):
    """Write a run: `speeds` by arm is (throughput, share of it read from the device); `failing` are (arm, label)."""
    scaled = scale_study(parse_study(study, "io.toml"), 1.0, Conditions(32 * GIB, 8, "kvm"))
    trials = plan_trials(scaled)
    folder.mkdir(parents=True)
    write_manifest(folder, build_manifest(Truth()))
    write_json(folder / "plan.json", plan_as_json(trials))
    for trial in trials:
        status = TrialStatus.SKIPPED if trial.arm in skipped else TrialStatus.OK
        writer = TrialWriter(folder / "trials" / trial.id)
        writer.write_schedules({i.name: i.schedules for i in trial.instances})
        if status is TrialStatus.OK:
            write_io_trial(
                writer, trial, speeds[trial.arm], [label for arm, label in failing if arm == trial.arm]
            )
        writer.write_record(
            TrialRecord(
                trial.id,
                trial.experiment.name,
                trial.arm,
                trial.repeat,
                trial.order,
                status,
                trial.duration_s,
                kind=trial.experiment.kind.name,
                ready_s=1.0,
                error="fio is not installed" if status is TrialStatus.SKIPPED else None,
            )
        )
        writer.seal()
    return load_run(folder)


def write_io_trial(writer, trial, speed, failing):
    throughput, from_device = speed
    for plan in trial.instances:
        for index, step in enumerate(plan.schedules[0].steps):
            if step.action is not Action.RUN:
                continue
            words = step.label.split("/")
            bytes_per_s = DEVICE if words[0] == "device" else throughput * (1 + 0.01 * trial.repeat)
            event = EventLine(
                step.at_s, step.at_s + 1, plan.name, 0, index, index, "run", 0, step.at_s, 0.0, 1.0, 0.1, 0.1, 1, 0,
                ok=step.label not in failing,
                error="ended with status 1" if step.label in failing else None,
                read_bytes=round(bytes_per_s * (1.0 if words[0] == "device" else from_device)),
            )  # fmt: skip
            writer.write_event(event)
            if step.label in failing:
                writer.write_output(plan.name, 0, index, "err", b"fio: no space\n")
            elif len(words) == 3:
                text = fio_json(words[1], bytes_per_s, round(bytes_per_s))
                writer.write_output(plan.name, 0, index, "out", text.encode())
    for tick in range(-3, round(trial.duration_s) + 1):
        values = {
            p.name: {"rss_bytes": 200.0 * MIB, "cgroup_working_set_bytes": 300.0 * MIB + tick}
            for p in trial.instances
        }
        node = {"mem_total_bytes": 1.0} | (
            {"node_cgroup_usage_bytes": 1.0} if trial.node_memory_bytes else {}
        )
        writer.write_sample(SampleLine(float(tick), 0.0, {NODE: node} | values))


CACHED = (900.0 * MIB, 0.0)
UNCACHED = (95.0 * MIB, 1.0)

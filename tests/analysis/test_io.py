"""Input and output, from fio's own words to results, tables and figures."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from freepage.analysis.io import is_cached, measure_cells, parse_fio
from freepage.analysis.results import build_results
from freepage.records import NODE, Action, Arm, EventLine, SampleLine, TrialRecord, TrialStatus
from freepage.report.figures import ARM_COLOURS, draw_figures
from freepage.report.io_figures import throughput_spec
from freepage.report.page import find_headlines
from freepage.report.tables import build_tables
from freepage.store import TrialWriter, load_run, load_trial, write_json, write_manifest
from freepage.study.plan import plan_as_json, plan_trials
from freepage.study.read import parse_study
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.units import GIB, MIB
from helpers.synthetic import Truth, build_manifest

GUEST_IO = """name = "io"
repeats = 2
[[experiment]]
kind = "guest-io"
file = "64MiB"
streams = [1, 2]
operations = ["read", "write"]
runtime = "1s"
"""
HOST_IO = """name = "io"
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


def test_what_fio_says_is_read_past_its_warnings_and_added_up_over_jobs():
    said = parse_fio(fio_json("randread", 5e6, 7_000_000), "randread")
    assert (said.bytes_per_s, said.io_bytes) == (5e6, 7e6)
    assert parse_fio("fio: died", "read") is None
    assert parse_fio('{"jobs": []}', "read") is None
    assert parse_fio('{"jobs": [{"read": {}}]}', "read") is None


@pytest.mark.parametrize(
    ("operation", "speed", "device", "share", "cached"),
    [
        ("read", 100, 1000, 0.01, True),
        ("read", 5000, 1000, 0.5, False),
        ("randread", 160, 100, None, True),
        ("write", 160, 100, None, True),
        ("write", 140, 100, 0.0, False),
        ("write", 140, None, None, None),
        ("read", None, 100, 0.0, None),
    ],
)
def test_a_read_is_cached_when_little_came_from_the_device_and_a_write_when_it_was_faster(
    operation, speed, device, share, cached
):
    assert is_cached(operation, speed, device, share) is cached


def test_guests_that_keep_their_cache_lose_no_cell_and_the_ratio_has_an_interval(tmp_path):
    run = write_io_run(
        tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: (810.0 * MIB, 0.0)}
    )
    found = build_results(run)["experiments"]["guest-io"]
    assert [c["id"] for c in found["cells"]] == ["read-1", "read-2", "write-1", "write-2"]
    cell = found["cells"][0]
    assert cell["arms"]["vm-fpr"]["cached"] is True
    assert cell["arms"]["vm-fpr"]["device"]["value"] == pytest.approx(DEVICE)
    assert cell["arms"]["vm-fpr"]["throughput"]["n"] == 2
    assert found["comparisons"]["io_ratio"]["value"] == pytest.approx(0.9, rel=0.001)
    assert found["comparisons"]["io_ratio"]["low"] is not None
    assert found["comparisons"]["cached_lost"]["value"] == 0
    assert found["arms"]["vm"]["cached_read_fraction"]["value"] == 1
    assert found["arms"]["vm"]["working_set_mean_bytes"]["value"] == pytest.approx(300 * MIB, rel=0.01)
    assert found["arms"]["vm"]["held_needlessly_gib_s"] is None


def test_what_several_instances_move_is_added_up(tmp_path):
    several = GUEST_IO.replace('file = "64MiB"', 'file = "64MiB"\ninstances = 3')
    run = write_io_run(
        tmp_path / "run", several, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED},
        failing=[(Arm.VM, "cell/write/1")],
    )  # fmt: skip
    cells = measure_cells(next(t for t in run.trials if t.record.arm is Arm.POD and not t.record.repeat))
    assert cells["read-1"].bytes_per_s == pytest.approx(3 * 900 * MIB)
    assert cells["read-1"].device_bytes_per_s == pytest.approx(3 * DEVICE)
    assert cells["read-1"].from_device == 0.0
    failed = measure_cells(next(t for t in run.trials if t.record.arm is Arm.VM))["write-1"]
    assert (failed.bytes_per_s, failed.reason) == (None, "fio ended with status 1: fio: no space")


def test_a_run_of_fio_alone_puts_its_own_numbers_on_top(tmp_path):
    run = write_io_run(tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED})
    numbers = {n["label"]: n["value"] for n in find_headlines(build_results(run))}
    assert numbers["fio with FPR"] == "1.00×"
    assert numbers["Reads from the cache"] == "100.0 %"
    assert numbers["Cached cells lost"] == "0 cells"


def test_a_cell_that_is_no_longer_cached_with_fpr_is_counted_as_lost(tmp_path):
    run = write_io_run(tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: UNCACHED})
    results = build_results(run)
    found = results["experiments"]["guest-io"]
    assert found["comparisons"]["cached_lost"]["value"] == 4
    decisions = {c["id"]: c["decision"] for c in results["claims"]}
    assert decisions["no-cached-case-lost"] == "contradicted"
    title = next(f.title for f in draw_figures(run, results) if f.id.startswith("throughput"))
    assert title == "With FPR some reads no longer run from the guest's page cache (guest-io)"


def test_a_fio_that_fails_leaves_its_cell_empty_with_the_reason_and_the_rest_stands(tmp_path):
    run = write_io_run(
        tmp_path / "run",
        GUEST_IO,
        {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED},
        failing=[(Arm.VM_FPR, "cell/read/2")],
    )
    results = build_results(run)
    cells = {c["id"]: c for c in results["experiments"]["guest-io"]["cells"]}
    empty = cells["read-2"]["arms"]["vm-fpr"]
    assert (empty["throughput"], empty["cached"]) == (None, None)
    assert empty["reason"] == "fio ended with status 1: fio: no space"
    assert cells["read-2"]["ratio"] is None
    assert cells["read-1"]["ratio"]["value"] == pytest.approx(1.0)
    table = next(t for t in build_tables(results, run.manifest) if t.id == "guest-io")
    assert any("no space" in cell.interval for row in table.rows for cell in row)


def test_an_arm_that_was_skipped_says_why_in_every_cell(tmp_path):
    speeds = {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED}
    run = write_io_run(tmp_path / "run", GUEST_IO, speeds, skipped=(Arm.POD,))
    results = build_results(run)
    reasons = {c["arms"]["pod"]["reason"] for c in results["experiments"]["guest-io"]["cells"]}
    assert reasons == {"fio is not installed"}
    doubt = next(d for d in results["doubts"] if d["id"] == "skipped-trials")
    assert "guest-io on pod" in doubt["text"]


def test_the_host_reads_from_its_cache_only_beside_vms_with_fpr(tmp_path):
    run = write_io_run(
        tmp_path / "run", HOST_IO, {Arm.BASELINE: CACHED, Arm.VM: UNCACHED, Arm.VM_FPR: CACHED}
    )
    results = build_results(run)
    decisions = {c["id"]: c["decision"] for c in results["claims"]}
    assert decisions["host-reads-cached"] == "confirmed"
    assert decisions["host-reads-not-cached-without"] == "confirmed"
    figure = next(f for f in draw_figures(run, results) if f.id == "throughput-host-io")
    assert figure.title == "Beside VMs with FPR the host reads from its page cache; without FPR it does not"
    assert set(figure.arms) == {"vm", "vm-fpr", "baseline"}
    assert '"log"' in json.dumps(figure.spec)
    memory = next(f for f in draw_figures(run, results) if f.id == "node-memory-host-io")
    assert "of the cgroup that plays the node" in memory.caption


def test_a_write_whose_device_was_not_measured_is_not_said_to_come_from_it(tmp_path):
    run = write_io_run(
        tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED},
        failing=[(Arm.VM, "device/write/1")],
    )  # fmt: skip
    (rows,) = throughput_spec(build_results(run)["experiments"]["guest-io"], ARM_COLOURS)["datasets"].values()
    said = {(row["cell"], row["arm"]): row["how"] for row in rows}
    assert said["sequential write, 1 stream", "vm"] == "not known from where"
    assert said["sequential write, 1 stream", "vm-fpr"] == "from the page cache"


def test_cells_without_output_or_of_another_kind_are_empty(tmp_path):
    run = write_io_run(tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED})
    folder = next((run.folder / "trials").glob("*-vm-1"))
    for path in (folder / "output").iterdir():
        path.unlink()
    cells = measure_cells(load_trial(folder))
    assert {c.reason for c in cells.values()} == {"what fio wrote is not its JSON"}
    trial = load_trial(folder)
    other = replace(trial, record=replace(trial.record, status=TrialStatus.FAILED, error="it broke"))
    assert {c.reason for c in measure_cells(other).values()} == {"it broke"}

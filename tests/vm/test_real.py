"""Real virtual machines and containers: what works, what breaks, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from freepage.cli.main import main
from freepage.errors import InstanceError
from freepage.image import cpio, guest
from freepage.image.kernel import find_kernel
from freepage.records import Action, Arm, ProcessSchedule, Step
from freepage.store import load_run
from freepage.targets.local import vm as vms
from freepage.targets.local.choices import LocalChoices
from freepage.targets.local.qemu_command import VmShape
from freepage.targets.local.target import open_local_target
from freepage.targets.local.vm import open_vm
from freepage.units import MIB
from freepage.worker.build import compile_static

pytestmark = pytest.mark.vm

TINY = """name = "tiny"
interval = "500ms"
repeats = 1
[[experiment]]
kind = "cycle"
size = "256MiB"
slot = "2s"
hold = "1s"
idle = "6s"
iterations = {iterations}
instances = {instances}
"""


def write_study(folder, iterations=1, instances=1):
    path = folder / "tiny.toml"
    path.write_text(TINY.format(iterations=iterations, instances=instances))
    return path


@pytest.fixture
def no_leftovers():
    """Nothing of ours is left when the test ends: no QEMU, no container, no cgroup, no mount, no scratch folder."""
    before = leftovers()
    yield
    deadline = time.monotonic() + 20
    while (left := leftovers() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def leftovers():
    found = {str(p) for p in Path("/sys/fs/cgroup").glob("**/freepage-*") if p.is_dir()}
    found |= {str(p) for p in Path("/tmp").glob("freepage-*")}
    found |= {line for line in Path("/proc/mounts").read_text().splitlines() if "freepage-" in line}
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(b"guest=" in w for w in words) or words[0] in {b"/worker", b"runc"}:
            found.add(f"{process.parent.name} {words[:3]}")
    return found


def shape(**changes):
    return replace(VmShape("vm-0", 512 * MIB, cpus=1, reporting=True, accelerator="tcg"), **changes)


async def boot(folder, vm_shape=None, boot_guest=None, **options):
    async with open_vm(vm_shape or shape(), boot_guest or guest.build_guest(), folder, None, **options) as vm:
        await vm.worker.ping()


def test_a_run_on_all_arms_shows_what_fpr_gives_back(tmp_path, no_leftovers, capsys):
    # In a node of its own, so that the host's other work is none of its memory.
    out = tmp_path / "run"
    study = str(write_study(tmp_path, iterations=2))
    assert main(["run", study, "--node-memory", "2GiB", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    arms = results["experiments"]["cycle"]["arms"]
    assert arms["vm-fpr"]["given_back_fraction"]["value"] > 0.8
    assert arms["vm"]["given_back_fraction"]["value"] < 0.05
    assert arms["pod"]["given_back_fraction"]["value"] > 0.98
    assert arms["vm-fpr"]["release_t50_s"]["value"] < 6
    assert arms["vm"]["alloc_first_s"]["value"] > 0
    evidence = {t["arm"]: t["evidence"][0] for t in results["trials"]}
    assert (evidence["vm-fpr"]["configured"], evidence["vm-fpr"]["negotiated"]) == (True, True)
    assert (evidence["vm-fpr"]["active"], evidence["vm-fpr"]["effective"]) == (True, True)
    assert (evidence["vm"]["configured"], evidence["vm"]["negotiated"], evidence["vm"]["effective"]) == (
        False,
    ) * 3
    assert results["verdict"]["decision"] == "inconclusive"
    assert "Seen in one trial, not decided" in (out / "report.html").read_text()
    said = capsys.readouterr().out
    assert "trial 1 of 6" in said
    assert "warm-up, not counted" in said
    assert "\x1b" not in said


def test_a_run_keeps_schedules_samples_events_consoles_and_conditions(tmp_path, no_leftovers):
    out = tmp_path / "run"
    assert main(["run", str(write_study(tmp_path, instances=2)), "--out", str(out), "--arms", "vm-fpr"]) == 0
    run = load_run(out)
    (trial,) = run.trials
    assert run.manifest.finished_at is not None
    assert run.manifest.tools["qemu"].startswith("QEMU")
    assert set(trial.schedules) == {"cycle-0", "cycle-1"}
    assert trial.events["instance"].n_unique() == 2
    metrics = set(trial.samples.filter(entity="cycle-1")["metric"].unique().to_list())
    assert {
        "rss_bytes",
        "cpu_vcpu_s",
        "cpu_main_loop_s",
        "guest_free_bytes",
        "guest_free_order_10_blocks",
    } <= metrics
    assert trial.record.clock_start["cycle-0"].uncertainty_s < 0.1
    assert trial.record.sampler_cpu_s < 0.05 * trial.record.sampler_wall_s
    assert (out / "trials" / trial.record.id / "console-cycle-0.log").exists()
    assert len(trial.record.evidence) == 2


def test_a_cgroup_can_be_the_node(tmp_path, no_leftovers):
    out = tmp_path / "run"
    study = str(write_study(tmp_path))
    assert main(["run", study, "--out", str(out), "--arms", "pod,vm-fpr", "--node-memory", "2GiB"]) == 0
    run = load_run(out)
    assert run.manifest.node == "cgroup"
    node = run.trials[0].samples.filter(entity="node")
    limits = node.filter(metric="node_cgroup_limit_bytes")["value"].unique().to_list()
    assert limits == [2048.0 * MIB]
    results = json.loads((out / "results.json").read_text())
    arms = results["experiments"]["cycle"]["arms"]
    assert arms["pod"]["node_in_use_max_bytes"]["value"] == pytest.approx(256 * MIB, rel=0.1)
    assert arms["vm-fpr"]["given_back_fraction"]["value"] > 0.8


def test_a_study_too_large_is_refused_before_anything_starts(tmp_path, no_leftovers, capsys):
    out = tmp_path / "run"
    assert main(["run", "cycle", "--scale", "90", "--out", str(out)]) == 3
    assert "--scale" in capsys.readouterr().err
    assert not out.exists()


async def test_a_guest_that_panics_is_an_error_with_its_last_words(tmp_path, no_leftovers):
    with pytest.raises(InstanceError, match="vm-0: the guest's kernel panicked") as caught:
        await boot(tmp_path, shape(extra_arguments="rdinit=/nope"))
    assert "not syncing" in caught.value.hint


async def test_an_init_that_gives_up_is_an_error_with_its_reason(tmp_path, no_leftovers):
    with pytest.raises(InstanceError, match="init gave up") as caught:
        await boot(tmp_path, shape(extra_arguments="freepage.worker=/nothing"))
    assert "cannot run /nothing: No such file" in caught.value.hint


async def test_qemu_that_does_not_start_is_an_error_with_what_it_said(tmp_path, no_leftovers):
    with pytest.raises(InstanceError, match="QEMU ended with status 1") as caught:
        await boot(tmp_path, shape(memory_bytes=2**52))
    assert "memory" in caught.value.hint


async def test_a_worker_that_writes_garbage_is_an_error_that_names_the_instance(tmp_path, no_leftovers):
    source = tmp_path / "garbage.c"
    source.write_text(
        '#include <stdio.h>\n#include <unistd.h>\nint main(void) { puts("\\x01 what?"); fflush(stdout); pause(); }\n'
    )
    entries = real_entries() | {
        "worker": cpio.file("worker", compile_static(source).read_bytes(), executable=True)
    }
    with pytest.raises(InstanceError, match=r"the worker of vm-0 wrote what is not the protocol.*what"):
        await boot(tmp_path, boot_guest=build_guest_of(tmp_path, entries))


async def test_a_worker_that_says_nothing_is_given_up_after_its_deadline(tmp_path, no_leftovers):
    source = tmp_path / "silent.c"
    source.write_text("#include <unistd.h>\nint main(void) { pause(); }\n")
    entries = real_entries() | {
        "worker": cpio.file("worker", compile_static(source).read_bytes(), executable=True)
    }
    with pytest.raises(InstanceError, match="did not say that it is ready within 6 s"):
        await boot(tmp_path, boot_guest=build_guest_of(tmp_path, entries), ready_deadline_s=6)


def real_entries():
    """The guest's own entries by path, to replace one of them."""
    taken = {}

    def take(entries):
        taken.update({e.path: e for e in entries})
        return b""

    original, cpio.build_archive = cpio.build_archive, take
    try:
        guest.build_initramfs(find_kernel())
    finally:
        cpio.build_archive = original
    return taken


def build_guest_of(folder, entries):
    path = folder / "initramfs"
    path.write_bytes(cpio.build_archive(entries.values()))
    return replace(guest.build_guest(), initramfs=path)


async def test_a_process_the_guest_kills_for_want_of_memory_is_named(tmp_path, no_leftovers):
    async with open_vm(shape(memory_bytes=256 * MIB), guest.build_guest(), tmp_path, None) as vm:
        await vm.worker.ping()
        await vm.worker.load([ProcessSchedule(0, (Step(0.0, Action.ALLOCATE, 210 * MIB, 0),))])
        await vm.worker.start(time.monotonic())
        with pytest.raises(InstanceError, match="process 0 ended by SIGKILL") as caught:
            await vm.worker.wait_done(lambda _: None, 60)
    assert "OOM" in caught.value.hint


async def test_a_vm_that_is_killed_ends_every_wait_with_the_reason(tmp_path, no_leftovers):
    async with open_vm(shape(), guest.build_guest(), tmp_path, None) as vm:
        await vm.worker.ping()
        await vm.worker.load([ProcessSchedule(0, (Step(60.0, Action.ALLOCATE, MIB, 0),))])
        await vm.worker.start(time.monotonic())
        waiting = asyncio.create_task(vm.worker.wait_done(lambda _: None, 60))
        os.kill(vm.pid, signal.SIGKILL)
        with pytest.raises(InstanceError, match="QEMU was killed"):
            await waiting
        assert vm.read_usage()["rss_bytes"] is None


async def test_reports_that_the_host_ignores_are_seen_to_be_ineffective(tmp_path, no_leftovers, monkeypatch):
    """With locked memory QEMU takes reports and cannot discard: negotiated and active, and nothing comes back."""
    real = vms.build_command
    monkeypatch.setattr(vms, "build_command", lambda *a: [*real(*a), "-overcommit", "mem-lock=on"])
    async with open_vm(shape(), guest.build_guest(), tmp_path, None) as vm:
        evidence = await vm.read_evidence()
        before = vm.read_usage()["rss_bytes"]
        await vm.worker.ping()
        steps = (Step(0.0, Action.ALLOCATE, 128 * MIB, 0), Step(1.0, Action.FREE, 128 * MIB, 0))
        await vm.worker.load([ProcessSchedule(0, steps)])
        await vm.worker.start(time.monotonic())
        await vm.worker.wait_done(lambda _: None, 60)
        reported = (await vm.read_evidence()).report_count
        after = await wait_for_reports(vm, reported)
        assert evidence.negotiated
        assert after.report_count > reported
        assert vm.read_usage()["rss_bytes"] >= before


async def wait_for_reports(vm, more_than, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        evidence = await vm.read_evidence()
        if evidence.report_count > more_than or time.monotonic() > deadline:
            return evidence
        await asyncio.sleep(0.2)


async def test_cancellation_in_the_middle_leaves_nothing(tmp_path, no_leftovers):
    ready = asyncio.Event()

    async def hold():
        async with open_vm(shape(), guest.build_guest(), tmp_path, None):
            ready.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await asyncio.wait_for(ready.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_accelerator_that_boots_no_guest_is_not_taken(tmp_path, no_leftovers):
    async with open_local_target(LocalChoices("auto")) as target:
        accelerator = target.facts.accelerator
        assert accelerator.name in {"kvm", "tcg"}
        assert accelerator.reason
        if accelerator.name == "kvm":
            await boot(tmp_path, shape(accelerator="kvm"), target.guest)


def start_run(folder, out):
    command = [
        sys.executable,
        "-m",
        "freepage.cli.main",
        "run",
        str(write_study(folder, iterations=9)),
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        [*command, "--arms", "vm,vm-fpr"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    wait_until(
        lambda: (
            list(out.glob("trials/*-cycle-*/events.jsonl"))
            and any(p.stat().st_size for p in out.glob("trials/*-cycle-*/events.jsonl"))
        )
    )
    return process


def wait_until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_keeps_and_reports_what_was_measured(tmp_path, no_leftovers, number):
    out = tmp_path / "run"
    process = start_run(tmp_path, out)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said.decode()
    (trial,) = load_run(out).trials
    assert trial.record.status == "interrupted"
    assert len(trial.samples)
    assert len(trial.events)
    assert "interrupted" in (out / "report.html").read_text()
    assert b"Traceback" not in said


def test_a_run_that_is_killed_leaves_no_vm_and_its_samples_can_be_read(tmp_path):
    out = tmp_path / "run"
    process = start_run(tmp_path, out)
    names = {line for line in leftovers() if "guest=" in line}
    assert names
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not names & leftovers(), 30)
    lines = next(out.glob("trials/*-cycle-*/samples.jsonl")).read_text().splitlines()
    assert lines
    assert all(json.loads(line)["values"]["node"] for line in lines[:-1])
    assert (
        main(
            [
                "run",
                str(tmp_path / "tiny.toml"),
                "--out",
                str(tmp_path / "next"),
                "--arms",
                "pod",
                "--set",
                "cycle.iterations=1",
            ]
        )
        == 0
    )
    assert not list(Path("/sys/fs/cgroup").glob(f"**/freepage-{process.pid}"))


def test_a_trial_that_fails_does_not_stop_the_run(tmp_path, no_leftovers):
    """The guest has less memory than its workload allocates: its arm fails, the pod's stands."""
    out = tmp_path / "run"
    study = write_study(tmp_path)
    code = (
        "import sys, freepage.targets.local.target as t\n"
        "real = t.VmShape\n"
        "t.VmShape = lambda name, memory, *rest: real(name, 192 * 2**20, *rest)\n"
        "from freepage.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code, "run", str(study), "--out", str(out), "--arms", "pod,vm"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 6, outcome.stderr
    statuses = {t.record.arm: t.record for t in load_run(out).trials}
    assert statuses[Arm.POD].status == "ok"
    assert statuses[Arm.VM].status == "failed"
    assert "cycle-0 could not allocate 256 MiB" in statuses[Arm.VM].error
    page = (out / "report.html").read_text()
    assert "failed-trials" in page
    assert "could not allocate 256 MiB" in page

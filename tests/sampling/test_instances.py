"""What one instance takes of its host, from the texts of its processes and its cgroup."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from freepage.metrics import INSTANCE_METRICS
from freepage.sampling.instances import (
    CgroupTexts,
    ProcessTexts,
    parse_family,
    parse_pod,
    parse_qemu_cpu,
    parse_vm,
    read_family,
    read_qemu,
)
from freepage.units import KIB

TASK = "{pid} ({name}) S 1 1 1 0 -1 0 {minor} 0 3 0 {user} {system} 0 0 20 0 1 0 5"
STAT = TASK.format(pid=7, name="qemu-kvm", minor=11, user=300, system=100)
TASKS = "\n".join([
    TASK.format(pid=7, name="qemu-kvm", minor=1, user=50, system=50),
    TASK.format(pid=9, name="CPU 0/KVM", minor=10, user=150, system=50),
    TASK.format(pid=10, name="CPU 1/TCG", minor=0, user=50, system=0),
    TASK.format(pid=11, name="worker", minor=0, user=25, system=25),
])  # fmt: skip


def test_qemus_cpu_is_told_apart_by_what_its_threads_are_for():
    values = parse_qemu_cpu(STAT, TASKS)
    assert (values["cpu_vcpu_s"], values["cpu_main_loop_s"], values["cpu_other_s"]) == (2.5, 1.0, 0.5)
    assert (values["cpu_total_s"], values["minor_faults"], values["major_faults"]) == (4.0, 11, 3)
    assert set(values) <= {m.id for m in INSTANCE_METRICS}


def test_threads_that_cannot_be_read_are_missing_and_the_whole_is_not():
    values = parse_qemu_cpu(STAT, "")
    assert values["cpu_vcpu_s"] is None
    assert values["cpu_total_s"] == 4.0


def test_a_qemu_that_is_gone_has_nothing_to_read():
    assert set(parse_vm(read_qemu(2**22 + 1), None).values()) == {None}


def test_a_vm_of_which_only_the_cgroup_is_seen_has_only_that():
    values = parse_vm(None, CgroupTexts("4096\n", "inactive_file 1024\n", 2))
    assert values["cgroup_working_set_bytes"] == 3072
    assert "rss_bytes" not in values


def test_a_worker_and_its_processes_count_together_and_one_that_is_gone_not_at_all():
    def process(kib, ticks):
        return ProcessTexts(
            f"VmRSS:\t {kib} kB\n", TASK.format(pid=1, name="w", minor=0, user=ticks, system=0)
        )

    values = parse_pod([process(100, 100), process(50, 50), ProcessTexts("", "")], None)
    assert values["rss_bytes"] == 150 * KIB
    assert values["cpu_total_s"] == pytest.approx(1.5)
    assert values["swap_bytes"] is None


def test_the_children_of_a_process_are_its_family():
    assert parse_family(5, "7 9 \n") == [5, 7, 9]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        family = read_family(os.getpid())
        child.stdin.close()
    assert len(family) >= 2
    assert parse_pod(family, None)["rss_bytes"] > 0

"""Reads what the kernel says of one instance, on whichever machine it runs: texts of processes and of a cgroup to metrics."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.metrics import sum_known
from freepage.sampling.cgroupfs import INSTANCE_FILES, parse_instance_cgroup
from freepage.sampling.procfs import PROC, parse_family_cpu_s, parse_status, parse_task_stat, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from freepage.metrics import MetricValues

_MEMORY = ("rss_bytes", "rss_anon_bytes", "rss_file_bytes", "rss_shmem_bytes", "swap_bytes")
_QEMU_CPU = (
    "cpu_vcpu_s",
    "cpu_main_loop_s",
    "cpu_other_s",
    "cpu_total_s",
    "minor_faults",
    "major_faults",
)


@dataclass(frozen=True)
class ProcessTexts:
    """The texts of /proc/PID/status and /proc/PID/stat, and those of the threads' stat, one a line; "" for none."""

    status: str
    stat: str
    tasks: str = ""


@dataclass(frozen=True)
class CgroupTexts:
    """The texts of a memory cgroup's files (cgroupfs.INSTANCE_FILES of `version`)."""

    usage: str
    stat: str
    version: int


def parse_vm(qemu: ProcessTexts | None, cgroup: CgroupTexts | None) -> MetricValues:
    """Read what a VM takes of its host, by metric id; what is not looked at (None) is left out."""
    values = {} if qemu is None else parse_status(qemu.status) | parse_qemu_cpu(qemu.stat, qemu.tasks)
    return values | _parse_cgroup(cgroup)


def parse_pod(family: Sequence[ProcessTexts], cgroup: CgroupTexts | None) -> MetricValues:
    """Read what a worker and its processes take together, and their cgroup, by metric id."""
    memory = [parse_status(texts.status) for texts in family]
    values: MetricValues = {key: sum_known(m[key] for m in memory) for key in _MEMORY}
    values["cpu_total_s"] = sum_known(parse_family_cpu_s(texts.stat) for texts in family)
    return values | _parse_cgroup(cgroup)


def parse_qemu_cpu(stat: str, tasks: str) -> MetricValues:
    """Read QEMU's CPU seconds by kind of thread, and its faults; all None when it is gone.

    With debug-threads=on, which libvirt sets too, the threads that execute the guest are named "CPU 0/KVM".
    """
    whole = parse_task_stat(stat)
    if whole is None:
        return dict.fromkeys(_QEMU_CPU)
    total_s, minor, major = whole
    pid = stat.split(" ", 1)[0]
    times = {"vcpu": 0.0, "main_loop": 0.0, "other": 0.0}
    known = bool(tasks.strip())
    for line in tasks.splitlines():
        kind = "vcpu" if "(CPU " in line else "main_loop" if line.startswith(f"{pid} ") else "other"
        task = parse_task_stat(line)
        known = known and task is not None
        times[kind] += task[0] if task else 0.0
    return {
        **{f"cpu_{kind}_s": seconds if known else None for kind, seconds in times.items()},
        "cpu_total_s": total_s,
        "minor_faults": minor,
        "major_faults": major,
    }


def parse_family(pid: int, children: str) -> list[int]:
    """Read /proc/PID/task/PID/children: a worker and its processes, which have none of their own."""
    return [pid, *(int(word) for word in children.split() if word.isascii() and word.isdigit())]


def read_process(pid: int) -> ProcessTexts:
    """Read a process of this host; every text is "" when it is gone."""
    return ProcessTexts(read_text(PROC / f"{pid}/status"), read_text(PROC / f"{pid}/stat"))


def read_qemu(pid: int) -> ProcessTexts:
    """Read a QEMU of this host with its threads; every text is "" when it is gone."""
    texts = read_process(pid)
    return ProcessTexts(texts.status, texts.stat, "".join(map(read_text, _task_files(pid))))


def read_family(pid: int) -> list[ProcessTexts]:
    """Read a worker of this host and its processes."""
    children = read_text(PROC / f"{pid}/task/{pid}/children")
    return [read_process(p) for p in parse_family(pid, children)]


def read_cgroup(folder: Path, version: int) -> CgroupTexts:
    """Read an instance's cgroup; every text is "" when it is gone."""
    usage, stat = (read_text(folder / name) for name in INSTANCE_FILES[version])
    return CgroupTexts(usage, stat, version)


def _parse_cgroup(cgroup: CgroupTexts | None) -> MetricValues:
    return {} if cgroup is None else parse_instance_cgroup(cgroup.usage, cgroup.stat, cgroup.version)


def _task_files(pid: int) -> list[Path]:
    folder = PROC / str(pid) / "task"
    try:
        return [folder / name / "stat" for name in os.listdir(folder)]  # noqa: PTH208 - names, at every tick
    except OSError:
        return []

"""The conditions of the host: what a result depends on and a reader needs to know."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from freepage.fpr.evidence import REPORTING_BIT, parse_choice, parse_features
from freepage.fpr.kernels import RunningKernel, is_reporting_registered
from freepage.sampling.balloon import count_free_lists
from freepage.sampling.procfs import THP, parse_meminfo, read_page_sizes, read_text

_SYS = Path("/sys")
_THP = Path(THP).parent


def read_host_facts() -> dict[str, object]:
    """Read what is known of this host by name; None is not known. Bytes for sizes."""
    meminfo = parse_meminfo(read_text(Path("/proc/meminfo")))
    page_bytes, huge_page_bytes = read_page_sizes()
    return {
        "hostname": platform.node(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "distribution": parse_os_release(read_text(Path("/etc/os-release"))),
        **parse_cpuinfo(read_text(Path("/proc/cpuinfo"))),
        "cpus_logical": len(os.sched_getaffinity(0)),
        "memory_total_bytes": _whole(meminfo["mem_total_bytes"]),
        "memory_available_bytes": _whole(meminfo["mem_available_bytes"]),
        "swap_total_bytes": _whole(meminfo["swap_total_bytes"]),
        "page_bytes": page_bytes,
        "numa_nodes": len(list((_SYS / "devices/system/node").glob("node[0-9]*"))) or None,
        "thp_enabled": parse_choice(read_text(_THP / "enabled")),
        "thp_defrag": parse_choice(read_text(_THP / "defrag")),
        "thp_bytes": huge_page_bytes,
        "khugepaged_max_ptes_none": _number(read_text(_THP / "khugepaged/max_ptes_none")),
        "ksm_run": _number(read_text(_SYS / "kernel/mm/ksm/run")),
        "zswap": read_text(_SYS / "module/zswap/parameters/enabled").strip() or None,
        "swappiness": _number(read_text(Path("/proc/sys/vm/swappiness"))),
        "cgroup_version": find_cgroup_version(),
        "kvm": describe_kvm(),
        "reports_free_pages": find_free_page_reporting(),
        "cpu_governor": read_text(_SYS / "devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
        "load_average": os.getloadavg()[0],
    }


def parse_cpuinfo(text: str) -> dict[str, object]:
    """Read the CPU's model, and whether this host is itself a virtual machine, from /proc/cpuinfo."""
    model = re.search(r"^(?:model name|Model|CPU part)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    known = flags is not None and platform.machine() == "x86_64"
    return {
        "cpu_model": model[1].strip() if model else None,
        "virtualised": "hypervisor" in flags[1].split() if known and flags else None,
    }


def parse_os_release(text: str) -> str | None:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', text, re.MULTILINE)
    return found[1] if found else None


def find_cgroup_version() -> int | None:
    """Find which version of the memory controller this host uses; None without one."""
    if (_SYS / "fs/cgroup/memory/memory.stat").exists():
        return 1
    controllers = read_text(_SYS / "fs/cgroup/cgroup.controllers").split()
    return 2 if "memory" in controllers else None


def find_free_page_reporting(sys: Path = _SYS, kernel: RunningKernel | None = None) -> bool | None:
    """Find whether this host is a guest that reports its own free pages; None where that is not known.

    Both must be so: its balloon and its host agreed on the feature, and a driver registered with the kernel's page reporting.
    """
    balloons = sorted((sys / "bus/virtio/drivers/virtio_balloon").glob("virtio*/features"))
    if not balloons:
        return False if (sys / "bus").exists() else None
    features = [parse_features(read_text(path)) for path in balloons]
    if any(bits is None for bits in features):
        return None
    if not any(REPORTING_BIT in bits for bits in features if bits is not None):
        return False
    order = read_text(sys / "module/page_reporting/parameters/page_reporting_order")
    return is_reporting_registered(order, kernel or _find_kernel())


def _find_kernel() -> RunningKernel:
    """Return this host's kernel."""
    free_lists = count_free_lists(read_text(Path("/proc/buddyinfo")))
    return RunningKernel(platform.release(), platform.machine(), read_page_sizes()[0], free_lists)


def describe_kvm() -> str:
    """Return whether /dev/kvm is there and may be opened, which does not mean that a guest boots on it."""
    device = Path("/dev/kvm")
    if not device.exists():
        return "absent"
    return "present" if os.access(device, os.R_OK | os.W_OK) else "present, but this user may not open it"


def _number(text: str) -> int | None:
    return int(text) if text.strip().lstrip("-").isdigit() else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)

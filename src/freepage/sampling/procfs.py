"""Reads the kernel's texts in /proc: pure parsers, and thin readers that open the files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.metrics import sum_known

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.metrics import MetricValues

PROC = Path("/proc")
# The kernel's choice of transparent huge pages (fpr.evidence.parse_choice reads it).
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
# The size of a transparent huge page: 2 MiB on x86-64, up to 512 MiB on arm64.
THP_SIZE = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_KIB = 1024

_MEMINFO = {
    "MemTotal": "mem_total_bytes",
    "MemFree": "mem_free_bytes",
    "MemAvailable": "mem_available_bytes",
    "Buffers": "mem_buffers_bytes",
    "Cached": "mem_cached_bytes",
    "SReclaimable": "mem_sreclaimable_bytes",
    "Shmem": "mem_shmem_bytes",
    "AnonPages": "mem_anon_bytes",
    "AnonHugePages": "mem_anon_huge_bytes",
    "SwapTotal": "swap_total_bytes",
    "SwapFree": "swap_free_bytes",
    "HugePages_Total": "hugepages_total",
    "HugePages_Free": "hugepages_free",
}
_CPU_STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest")
_VMSTAT = (
    "pgfault",
    "pgmajfault",
    "pswpin",
    "pswpout",
    "pgscan_direct",
    "thp_fault_alloc",
    "thp_split_page",
    "thp_deferred_split_page",
    "oom_kill",
)
_STALLS = "allocstall"
_PRESSURES = ("memory", "cpu", "io")
_SHARED_PAGES = "/sys/kernel/mm/ksm/pages_sharing"
_STATUS = {
    "VmRSS": "rss_bytes",
    "RssAnon": "rss_anon_bytes",
    "RssFile": "rss_file_bytes",
    "RssShmem": "rss_shmem_bytes",
    "VmSwap": "swap_bytes",
}

# The files read_host_from asks for, and what the lines it takes of them start with; of some it takes all.
NODE_FILES: dict[str, tuple[str, ...]] = {
    "/proc/meminfo": tuple(f"{name}:" for name in _MEMINFO),
    "/proc/stat": ("cpu ",),
    "/proc/vmstat": (*(f"{name} " for name in _VMSTAT), _STALLS),
    "/proc/zoneinfo": ("count:",),
    **{f"/proc/pressure/{resource}": () for resource in _PRESSURES},
    _SHARED_PAGES: (),
}


def parse_meminfo(text: str) -> MetricValues:
    """Read /proc/meminfo: bytes (huge pages: pages) by metric id; None for what the kernel lacks."""
    return _pick(_parse_colons(text), _MEMINFO)


def parse_stat_cpu(text: str) -> MetricValues:
    """Read the first line of /proc/stat: seconds since boot by metric id, all CPUs together."""
    found = re.search(r"^cpu +([0-9 ]*)$", text, re.MULTILINE)
    ticks = [float(word) for word in found[1].split()] if found else []
    return {
        f"cpu_{s}_s": ticks[n] / _TICKS_PER_S if n < len(ticks) else None for n, s in enumerate(_CPU_STATES)
    }


def parse_guest_cpu(text: str) -> MetricValues:
    """Read a guest's /proc/stat: CPU seconds of its programs, its kernel, and what its host took; None for no text."""
    found = parse_stat_cpu(text)
    groups = {"user": ("user", "nice"), "system": ("system", "irq", "softirq"), "steal": ("steal",)}
    return {
        f"guest_cpu_{name}_s": sum_known([found[f"cpu_{s}_s"] for s in states])
        for name, states in groups.items()
    }


def parse_vmstat(text: str) -> MetricValues:
    """Read /proc/vmstat: counts by metric id; allocation stalls of all zones together."""
    counts = {name: float(count) for name, count in re.findall(r"^(\w+) ([0-9]+)$", text, re.MULTILINE)}
    stalls = [count for name, count in counts.items() if name.startswith(_STALLS)]
    return {key: counts.get(key) for key in _VMSTAT} | {_STALLS: sum(stalls) if stalls else None}


def parse_pressure(text: str, resource: str) -> MetricValues:
    """Read one file of /proc/pressure: stalled seconds since boot by metric id."""
    totals = dict(re.findall(r"^(some|full) .*total=([0-9]+)", text, re.MULTILINE))
    return {f"psi_{resource}_{s}_s": int(totals[s]) / 1e6 if s in totals else None for s in ("some", "full")}


def parse_zoneinfo(text: str, page_bytes: int) -> MetricValues:
    """Read /proc/zoneinfo: free bytes on per-CPU lists, all zones and CPUs together; None for no text."""
    counts = re.findall(r"^\s+count:\s+([0-9]+)$", text, re.MULTILINE)
    return {"mem_per_cpu_free_bytes": sum(map(float, counts)) * page_bytes if counts else None}


def parse_status(text: str) -> MetricValues:
    """Read /proc/PID/status: resident and swapped bytes by metric id."""
    return _pick(_parse_colons(text), _STATUS)


def parse_task_stat(text: str) -> tuple[float, float, float] | None:
    """Read /proc/PID/stat or a task's: CPU seconds (user and system), minor faults, major faults; None for a torn text."""
    fields = _stat_fields(text)
    if fields is None:
        return None
    return (fields[11] + fields[12]) / _TICKS_PER_S, float(fields[7]), float(fields[9])


def parse_family_cpu_s(text: str) -> float | None:
    """Read /proc/PID/stat: CPU seconds of a process and of its children that were waited for; None for no text."""
    fields = _stat_fields(text)
    return None if fields is None else sum(fields[11:15]) / _TICKS_PER_S


def _stat_fields(text: str) -> list[int] | None:
    """Return the first fields after the name in /proc/PID/stat, 0 for the state; None for a text that ends before the CPU times."""
    words = text.rpartition(")")[2].split()[1:15]
    try:
        return [0, *map(int, words)] if len(words) == 14 else None
    except ValueError:
        return None


def read_host() -> MetricValues:
    """Read every counter of the host."""
    return read_host_from(lambda path: read_text(Path(path)))


def read_host_from(read: Callable[[str], str], page_bytes: int = _PAGE_BYTES) -> MetricValues:
    """Read every counter of a host whose files `read` gives by path, "" for one that is not there (NODE_FILES)."""
    values = parse_meminfo(read("/proc/meminfo"))
    values |= parse_stat_cpu(read("/proc/stat")) | parse_vmstat(read("/proc/vmstat"))
    values |= parse_zoneinfo(read("/proc/zoneinfo"), page_bytes)
    for resource in _PRESSURES:
        values |= parse_pressure(read(f"/proc/pressure/{resource}"), resource)
    sharing = read(_SHARED_PAGES).strip()
    known = sharing.isascii() and sharing.isdigit()
    return values | {"ksm_pages_sharing": float(sharing) if known else None}


def read_page_sizes() -> tuple[int, int | None]:
    """Return the bytes of an ordinary and of a huge page of this host; None for a kernel without huge pages."""
    huge = read_text(Path(THP_SIZE)).strip()
    return _PAGE_BYTES, int(huge) if huge.isascii() and huge.isdigit() else None


def read_text(path: Path) -> str:
    """Read a small file of the kernel; "" when it is not there or may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _parse_colons(text: str) -> dict[str, float]:
    found = re.findall(r"^([\w()]+):[ \t]+([0-9]+)( kB)?[ \t]*$", text, re.MULTILINE)
    return {name: float(number) * (_KIB if unit else 1) for name, number, unit in found}


def _pick(found: dict[str, float], ids: dict[str, str]) -> MetricValues:
    return {id_: found.get(name) for name, id_ in ids.items()}

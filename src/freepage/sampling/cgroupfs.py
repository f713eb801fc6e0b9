"""Reads a memory cgroup, version 1 or 2, into the same metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.sampling.procfs import read_text

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.metrics import MetricValues

# The files of an instance's cgroup by version: what it uses, and of what kinds.
INSTANCE_FILES = {2: ("memory.current", "memory.stat"), 1: ("memory.usage_in_bytes", "memory.stat")}
_CONTAINER_FOLDERS = {2: "/sys/fs/cgroup", 1: "/sys/fs/cgroup/memory"}

# What both versions know, by the name version 2 gives it, and version 1's name for the whole subtree.
_STAT = {
    "anon": "total_rss",
    "file": "total_cache",
    "shmem": "total_shmem",
    "inactive_file": "total_inactive_file",
    "slab_reclaimable": None,
}
# Version 1 has a number for "no limit": the largest signed one, rounded down to whole pages of whichever size the kernel has
# (4 to 256 KiB), or in old kernels the largest of all. No memory is as large.
_NO_LIMIT_V1 = 2**63 - 2**20
# The most digits of a 64-bit number.
_DIGITS = 20


def container_cgroup_files() -> dict[int, tuple[str, str]]:
    """Return the paths at which a container sees the INSTANCE_FILES of its own cgroup, by version."""
    return {
        version: (f"{_CONTAINER_FOLDERS[version]}/{usage}", f"{_CONTAINER_FOLDERS[version]}/{stat}")
        for version, (usage, stat) in INSTANCE_FILES.items()
    }


def parse_memory_stat(text: str, version: int) -> MetricValues:
    """Read memory.stat: bytes by version 2's names, of the whole subtree; None for what this version lacks."""
    words = (line.split() for line in text.splitlines())
    found = {w[0]: _whole_number(w[1]) for w in words if len(w) == 2}
    known = {name: found.get(name if version == 2 else str(v1)) for name, v1 in _STAT.items()}
    return {name: None if value is None else float(value) for name, value in known.items()}


def parse_amount(text: str) -> float | None:
    """Read one number of a cgroup file; None for "max", for version 1's no limit, and for nothing."""
    amount = _whole_number(text.strip())
    return None if amount is None or amount >= _NO_LIMIT_V1 else float(amount)


def read_cgroup_memory(folder: Path, version: int) -> MetricValues:
    """Read a cgroup's memory by plain names: usage, limit, swap, anon, file, shmem, inactive_file, slab_reclaimable."""
    current, stat = INSTANCE_FILES[version]
    limit = "memory.max" if version == 2 else "memory.limit_in_bytes"
    usage = parse_amount(read_text(folder / current))
    return parse_memory_stat(read_text(folder / stat), version) | {
        "usage": usage,
        "limit": parse_amount(read_text(folder / limit)),
        "swap": _read_swap(folder, version, usage),
    }


def parse_instance_cgroup(usage_text: str, stat_text: str, version: int) -> MetricValues:
    """Read what a cgroup's files say of an instance's memory, by metric id."""
    values = parse_memory_stat(stat_text, version)
    usage, inactive = parse_amount(usage_text), values["inactive_file"]
    return {
        "cgroup_usage_bytes": usage,
        "cgroup_anon_bytes": values["anon"],
        "cgroup_file_bytes": values["file"],
        "cgroup_working_set_bytes": None if usage is None or inactive is None else max(0.0, usage - inactive),
    }


def read_node_cgroup(folder: Path, version: int) -> MetricValues:
    """Read the cgroup that plays the node, by metric id."""
    values = read_cgroup_memory(folder, version)
    names = ("usage", "anon", "file", "shmem", "slab_reclaimable", "swap", "limit")
    return {f"node_cgroup_{name}_bytes": values[name] for name in names}


def _read_swap(folder: Path, version: int, usage: float | None) -> float | None:
    if version == 2:
        return parse_amount(read_text(folder / "memory.swap.current"))
    both = parse_amount(read_text(folder / "memory.memsw.usage_in_bytes"))
    return None if both is None or usage is None else max(0.0, both - usage)


def _whole_number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= _DIGITS else None

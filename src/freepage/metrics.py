"""Every number freepage samples: its id, unit, kind, source and meaning; and the few numbers derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Numbers by metric id; None is one that could not be read.
MetricValues = dict[str, float | None]

GAUGE = "gauge"
COUNTER = "counter"
# The orders a kernel can have lists of free blocks for: a block lies in one section of memory, 128 MiB with pages of 4 KiB
# (order 15), 512 MiB with pages of 64 KiB (order 13). x86-64 has 0 to 10.
BUDDY_ORDERS = range(16)


@dataclass(frozen=True)
class Metric:
    """One sampled number. kind: "gauge" (a level) or "counter" (only grows; rates are computed later)."""

    id: str
    unit: str
    kind: str
    source: str
    meaning: str


def _gauge(id_: str, unit: str, source: str, meaning: str) -> Metric:
    return Metric(id_, unit, GAUGE, source, meaning)


def _total(id_: str, unit: str, source: str, meaning: str) -> Metric:
    return Metric(id_, unit, COUNTER, source, meaning)


def _bytes(id_: str, source: str, meaning: str) -> Metric:
    return _gauge(id_, "bytes", source, meaning)


def _meminfo(key: str, id_: str, meaning: str) -> Metric:
    return _bytes(id_, f"/proc/meminfo {key}", meaning)


def _cpu(state: str, meaning: str) -> Metric:
    return _total(f"cpu_{state}_s", "s", "/proc/stat cpu", meaning)


def _vmstat(key: str, unit: str, meaning: str) -> Metric:
    return _total(key, unit, f"/proc/vmstat {key}", meaning)


def _pressure(resource: str, share: str) -> Metric:
    words = "some task was" if share == "some" else "all tasks were"
    source = f"/proc/pressure/{resource} {share} total"
    return _total(f"psi_{resource}_{share}_s", "s", source, f"time in which {words} stalled on {resource}")


NODE_METRICS = (
    _meminfo("MemTotal", "mem_total_bytes", "memory the node's kernel manages"),
    _meminfo("MemFree", "mem_free_bytes", "memory nobody uses"),
    Metric(
        "mem_per_cpu_free_bytes",
        "bytes",
        GAUGE,
        "/proc/zoneinfo pagesets count",
        "free memory on the kernel's per-CPU lists, which MemFree does not count; hundreds of MiB after a large free",
    ),
    _meminfo(
        "MemAvailable",
        "mem_available_bytes",
        "the kernel's estimate of what new work could have without swapping",
    ),
    _meminfo("Buffers", "mem_buffers_bytes", "buffer cache"),
    _meminfo("Cached", "mem_cached_bytes", "page cache; contains Shmem"),
    _meminfo("SReclaimable", "mem_sreclaimable_bytes", "slab the kernel can give back"),
    _meminfo("Shmem", "mem_shmem_bytes", "shared memory and tmpfs; guests on memfd are here"),
    _meminfo("AnonPages", "mem_anon_bytes", "anonymous memory; guests on private memory are here"),
    _meminfo("AnonHugePages", "mem_anon_huge_bytes", "anonymous memory in huge pages"),
    _meminfo("SwapTotal", "swap_total_bytes", "swap space"),
    _meminfo("SwapFree", "swap_free_bytes", "swap space nobody uses"),
    _gauge("hugepages_total", "pages", "/proc/meminfo HugePages_Total", "reserved huge pages"),
    _gauge("hugepages_free", "pages", "/proc/meminfo HugePages_Free", "reserved huge pages nobody uses"),
    _cpu("user", "CPU time in user space (guests included)"),
    _cpu("nice", "CPU time in niced user space"),
    _cpu("system", "CPU time in the kernel"),
    _cpu("idle", "idle CPU time"),
    _cpu("iowait", "idle CPU time while input or output was waited for"),
    _cpu("irq", "CPU time in interrupts"),
    _cpu("softirq", "CPU time in soft interrupts"),
    _cpu("steal", "CPU time taken by the node's own hypervisor"),
    _cpu("guest", "CPU time in guests under KVM (part of user)"),
    _vmstat("pgfault", "faults", "page faults"),
    _vmstat("pgmajfault", "faults", "page faults that needed input"),
    _vmstat("pswpin", "pages", "pages swapped in"),
    _vmstat("pswpout", "pages", "pages swapped out"),
    _vmstat("pgscan_direct", "pages", "pages scanned by tasks that had to reclaim themselves"),
    _total("allocstall", "stalls", "/proc/vmstat allocstall_*", "allocations that had to reclaim, all zones"),
    _vmstat("thp_fault_alloc", "pages", "huge pages given at a fault"),
    _vmstat("thp_split_page", "pages", "huge pages split"),
    _vmstat("thp_deferred_split_page", "pages", "huge pages put on the list of those to split"),
    _vmstat("oom_kill", "kills", "processes killed for want of memory"),
    *(_pressure(resource, share) for resource in ("memory", "cpu", "io") for share in ("some", "full")),
    _gauge(
        "ksm_pages_sharing", "pages", "/sys/kernel/mm/ksm/pages_sharing", "pages saved by same-page merging"
    ),
)

NODE_CGROUP_METRICS = (
    _bytes("node_cgroup_usage_bytes", "cgroup memory.current", "memory of the node, cache included"),
    _bytes("node_cgroup_anon_bytes", "cgroup memory.stat anon", "anonymous memory of the node"),
    _bytes(
        "node_cgroup_file_bytes", "cgroup memory.stat file", "page cache of the node, shared memory included"
    ),
    _bytes("node_cgroup_shmem_bytes", "cgroup memory.stat shmem", "shared memory of the node"),
    _bytes(
        "node_cgroup_slab_reclaimable_bytes",
        "cgroup memory.stat slab_reclaimable",
        "slab the kernel can give back",
    ),
    _bytes("node_cgroup_swap_bytes", "cgroup memory.swap.current", "swap of the node"),
    _bytes("node_cgroup_limit_bytes", "cgroup memory.max", "memory the node may have"),
)

INSTANCE_METRICS = (
    _bytes("rss_bytes", "/proc/PID/status VmRSS", "resident memory of the instance's processes"),
    _bytes("rss_anon_bytes", "/proc/PID/status RssAnon", "anonymous part of it"),
    _bytes("rss_file_bytes", "/proc/PID/status RssFile", "file-backed part of it, shared between instances"),
    _bytes("rss_shmem_bytes", "/proc/PID/status RssShmem", "shared-memory part of it"),
    _bytes("swap_bytes", "/proc/PID/status VmSwap", "memory of the instance in swap"),
    _bytes("cgroup_usage_bytes", "cgroup memory.current", "memory charged to the instance, cache included"),
    _bytes("cgroup_anon_bytes", "cgroup memory.stat anon", "anonymous part of it"),
    _bytes("cgroup_file_bytes", "cgroup memory.stat file", "page cache part of it, shared memory included"),
    _bytes(
        "cgroup_working_set_bytes", "cgroup usage - inactive_file", "what Kubernetes calls the working set"
    ),
    _total("cpu_vcpu_s", "s", "/proc/PID/task/*/stat", "CPU time of the threads that execute the guest"),
    _total(
        "cpu_main_loop_s",
        "s",
        "/proc/PID/task/PID/stat",
        "CPU time of QEMU's main loop, where reports are handled",
    ),
    _total("cpu_other_s", "s", "/proc/PID/task/*/stat", "CPU time of QEMU's other threads"),
    _total("cpu_total_s", "s", "/proc/PID/stat or cgroup", "CPU time of the instance"),
    _total("minor_faults", "faults", "/proc/PID/stat minflt", "page faults of QEMU without input"),
    _total("major_faults", "faults", "/proc/PID/stat majflt", "page faults of QEMU that needed input"),
)

GUEST_METRICS = (
    _bytes("guest_total_bytes", "balloon stat-total-memory", "memory the guest's kernel manages"),
    _bytes("guest_free_bytes", "balloon stat-free-memory", "memory nobody in the guest uses"),
    _bytes("guest_available_bytes", "balloon stat-available-memory", "what new work in the guest could have"),
    _bytes("guest_cached_bytes", "balloon stat-disk-caches", "the guest's page cache"),
    _total("guest_swap_in_bytes", "bytes", "balloon stat-swap-in", "memory the guest swapped in"),
    _total("guest_swap_out_bytes", "bytes", "balloon stat-swap-out", "memory the guest swapped out"),
    _total(
        "guest_major_faults",
        "faults",
        "balloon stat-major-faults",
        "page faults in the guest that needed input",
    ),
    _total(
        "guest_minor_faults", "faults", "balloon stat-minor-faults", "page faults in the guest without input"
    ),
    _total("guest_cpu_user_s", "s", "guest /proc/stat user, nice", "CPU time of the guest's programs"),
    _total(
        "guest_cpu_system_s", "s", "guest /proc/stat system, irq, softirq", "CPU time of the guest's kernel"
    ),
    _total(
        "guest_cpu_steal_s",
        "s",
        "guest /proc/stat steal",
        "time the guest wanted to run and its host did not let it",
    ),
    _gauge(
        "guest_stats_age_s",
        "s",
        "balloon last-update",
        "how old the balloon's numbers are; None before the first",
    ),
    *(
        _gauge(
            f"guest_free_order_{order}_blocks",
            "blocks",
            "guest /proc/buddyinfo",
            f"free blocks of 2^{order} pages, all zones",
        )
        for order in BUDDY_ORDERS
    ),
    _total(
        "reports_handled",
        "reports",
        "QEMU x-query-virtio-queue-status",
        "reports of free pages QEMU has handled (16 bits, unwrapped)",
    ),
)

CLUSTER_METRICS = (
    _gauge(
        "node_sample_age_s",
        "s",
        "the node's sampler pod",
        "how old the node's numbers are; those of the oldest of several nodes",
    ),
    _gauge("usage_age_s", "s", "the VM's launcher", "how old the VM's numbers are"),
)

SAMPLER_METRICS = (_gauge("late_s", "s", "sampler", "how late the tick was"),)

METRICS = {
    m.id: m
    for m in (
        *NODE_METRICS,
        *NODE_CGROUP_METRICS,
        *INSTANCE_METRICS,
        *GUEST_METRICS,
        *CLUSTER_METRICS,
        *SAMPLER_METRICS,
    )
}


def sum_known(values: Iterable[float | None]) -> float | None:
    """Return the sum of the numbers that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def in_use_bytes(values: Mapping[str, float | None]) -> float | None:
    """Return the host's memory in use: total - free - cached - buffers - reclaimable (the article's figure 7).

    Pages on per-CPU lists, where they are known, count as free: they are, though MemFree leaves them out. None when
    any part is missing. Cached contains Shmem, so guests on shared memory are not counted.
    """
    parts = [values.get(f"mem_{key}_bytes") for key in ("total", "free", "cached", "buffers", "sreclaimable")]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return known[0] - sum(known[1:]) - (values.get("mem_per_cpu_free_bytes") or 0.0)


def node_in_use_bytes(values: Mapping[str, float | None]) -> float | None:
    """Return the memory in use from one tick's node values: of the cgroup that plays the node, else of the host.

    The cgroup's is usage - page cache - reclaimable slab, with shared memory counted as in use.
    """
    if "node_cgroup_usage_bytes" not in values:
        return in_use_bytes(values)
    keys = ("node_cgroup_usage_bytes", "node_cgroup_file_bytes", "node_cgroup_slab_reclaimable_bytes")
    usage, file, slab = (values.get(key) for key in keys)
    if usage is None or file is None:
        return None
    return usage - file + (values.get("node_cgroup_shmem_bytes") or 0) - (slab or 0)


def describe_metrics() -> str:
    """Return the text of docs/metrics.md."""
    sections = [
        ("The node", "Entity `node`: the host.", NODE_METRICS),
        ("The node as a cgroup", "Entity `node`, with `--node-memory`.", NODE_CGROUP_METRICS),
        ("Instances", "Entity: the instance's name. Read on the host.", INSTANCE_METRICS),
        ("Guests", "Entity: the instance's name. Said by the guest, or by QEMU of it.", GUEST_METRICS),
        (
            "Clusters",
            (
                "Entities `node` (the sum of all measured nodes), `node/NAME` and the instance's name: numbers that came from\n"
                "elsewhere are as old as this when they are written."
            ),
            CLUSTER_METRICS,
        ),
        ("The sampler", "Entity `sampler`.", SAMPLER_METRICS),
    ]
    head = (
        "# Metrics\n\nMade from `src/freepage/metrics.py`. Raw levels (gauge) and totals (counter) are stored; rates, ratios\n"
        "and what is in use are computed later. A value the kernel lacks is null, never 0.\n"
    )
    return head + "".join(_describe_section(*section) for section in sections)


def _describe_section(title: str, words: str, metrics: tuple[Metric, ...]) -> str:
    rows = "".join(f"| `{m.id}` | {m.unit} | {m.kind} | {m.source} | {m.meaning} |\n" for m in metrics)
    return (
        f"\n## {title}\n\n{words}\n\n| id | unit | kind | source | meaning |\n|---|---|---|---|---|\n{rows}"
    )

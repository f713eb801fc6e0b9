"""Reads Free Page Reporting and memory as a guest sees them, through its worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freepage.aio import run_together
from freepage.fpr.evidence import REPORTING_BIT, parse_choice, parse_features, parse_reporting_order
from freepage.metrics import sum_known
from freepage.sampling.balloon import parse_buddyinfo
from freepage.sampling.procfs import THP, parse_guest_cpu, parse_meminfo

if TYPE_CHECKING:
    from freepage.metrics import MetricValues
    from freepage.worker.client import WorkerClient

_BALLOON_DEVICE_ID = "0x0005"
_DEVICES = 16
_ORDER = "/sys/module/page_reporting/parameters/page_reporting_order"
# The balloon's statistics of the guest, by the guest's own names.
_MEMORY = {
    "guest_total_bytes": "mem_total_bytes",
    "guest_free_bytes": "mem_free_bytes",
    "guest_available_bytes": "mem_available_bytes",
}


async def read_guest_evidence(worker: WorkerClient) -> dict[str, Any]:
    """Read the fields of Evidence that the guest itself knows."""
    features = parse_features(await _read_balloon_features(worker))
    order, kernel, thp = await run_together(
        *(worker.read_text(path) for path in (_ORDER, "/proc/sys/kernel/osrelease", THP))
    )
    return {
        "negotiated": None if features is None else REPORTING_BIT in features,
        "reporting_order": parse_reporting_order(order),
        "guest_kernel": kernel.strip() if kernel else None,
        "guest_thp": parse_choice(thp),
    }


async def read_guest_memory(worker: WorkerClient) -> MetricValues:
    """Read the guest's memory from its own /proc, by metric id, where no balloon can be asked."""
    text = await worker.read_text("/proc/meminfo")
    if text is None:
        return {}
    seen = parse_meminfo(text)
    cached = sum_known((seen["mem_cached_bytes"], seen["mem_buffers_bytes"]))
    return {guest: seen[host] for guest, host in _MEMORY.items()} | {"guest_cached_bytes": cached}


async def read_guest_counters(worker: WorkerClient) -> MetricValues:
    """Read the guest's free blocks and CPU time, by metric id."""
    buddyinfo, stat = await run_together(worker.read_text("/proc/buddyinfo"), worker.read_text("/proc/stat"))
    return parse_buddyinfo(buddyinfo or "") | parse_guest_cpu(stat or "")


async def _read_balloon_features(worker: WorkerClient) -> str | None:
    for number in range(_DEVICES):
        device = f"/sys/bus/virtio/devices/virtio{number}"
        kind = await worker.read_text(f"{device}/device")
        if kind is None:
            return None
        if kind.strip() == _BALLOON_DEVICE_ID:
            return await worker.read_text(f"{device}/features")
    return None

"""Reads Free Page Reporting and memory as a guest sees them, through its worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freepage.aio import run_together
from freepage.fpr.evidence import REPORTING_BIT, find_reporting_queue, parse_choice, parse_features
from freepage.fpr.kernels import RunningKernel, parse_reporting_delay_s, parse_reporting_order
from freepage.metrics import sum_known
from freepage.sampling.balloon import count_free_lists, parse_buddyinfo
from freepage.sampling.procfs import THP, parse_guest_cpu, parse_meminfo

if TYPE_CHECKING:
    from freepage.metrics import MetricValues
    from freepage.worker.client import WorkerClient

_BALLOON_DEVICE_ID = "0x0005"
_DEVICES = 16
_PARAMETERS = "/sys/module/page_reporting/parameters"
# What a guest tells of its kernel and of its page reporting, in the order in which read_guest_evidence takes the texts.
_EVIDENCE_FILES = (
    f"{_PARAMETERS}/page_reporting_order",
    f"{_PARAMETERS}/page_reporting_delay_ms",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/arch",
    "/proc/buddyinfo",
    THP,
)
# The balloon's statistics of the guest, by the guest's own names.
_MEMORY = {
    "guest_total_bytes": "mem_total_bytes",
    "guest_free_bytes": "mem_free_bytes",
    "guest_available_bytes": "mem_available_bytes",
}


async def read_guest_evidence(worker: WorkerClient) -> dict[str, Any]:
    """Read the fields of Evidence that the guest itself knows."""
    features = await _read_balloon_features(worker)
    texts = await run_together(*map(worker.read_text, _EVIDENCE_FILES))
    order, delay, release, architecture, buddyinfo, thp = texts
    kernel = RunningKernel(
        _word(release), _word(architecture), worker.page_bytes, count_free_lists(buddyinfo or "")
    )
    return {
        "negotiated": None if features is None else REPORTING_BIT in features,
        "reporting_order": parse_reporting_order(order, kernel),
        "reporting_delay_s": parse_reporting_delay_s(delay),
        "guest_kernel": kernel.release,
        "guest_thp": parse_choice(thp),
        "page_bytes": kernel.page_bytes,
        "free_lists": kernel.free_lists,
    }


async def read_reporting_queue(worker: WorkerClient) -> int | None:
    """Read the number of the balloon's queue for reports; None where the guest has none, or shows nothing of it."""
    return find_reporting_queue(await _read_balloon_features(worker))


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


async def _read_balloon_features(worker: WorkerClient) -> frozenset[int] | None:
    for number in range(_DEVICES):
        device = f"/sys/bus/virtio/devices/virtio{number}"
        kind = await worker.read_text(f"{device}/device")
        if kind is None:
            return None
        if kind.strip() == _BALLOON_DEVICE_ID:
            return parse_features(await worker.read_text(f"{device}/features"))
    return None


def _word(text: str | None) -> str | None:
    return (text or "").strip() or None

"""The footprint of a VM with FPR, from its guest's free blocks: what the host holds once all that can be reported has been.

resident = total - reportable + overhead, and never more than was ever touched. total is all memory the VM was given (QEMU's
-m). The guest's MemTotal is less: it leaves out what the kernel took before it counted, its image and one struct page for each
page, which is on the host as all memory in use is. Page cache is in use, never free; dropping it adds at most what it holds.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from freepage.fpr.mechanics import PAGE_BYTES, REPORT_BLOCKS
from freepage.units import GIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# What QEMU takes beside the guest's memory: at least, most likely and at most. KubeVirt reckons with 30 MiB, and with 8 MiB more
# for each virtual CPU and for the I/O thread, 166 MiB with 16 of them (QemuOverhead in its memory calculator). Published traces
# of a guest with 12 CPUs show 0.098 +- 0.005 GiB at 81 settled points (HyperAlloc, EuroSys 2025: luhsra/hyperalloc-bench), VMs that
# freepage boots itself, with one CPU under emulation, 103 to 105 MiB, those with a disk up to 113.
OVERHEAD_RANGE_BYTES = (30.0 * MIB, 104.0 * MIB, 166.0 * MIB)
# sizeof(struct page), of which the kernel keeps one for each page of its memory.
STRUCT_PAGE_BYTES = 64
# What a Linux guest keeps beside struct pages before it counts MemTotal: guests of Linux 6.1 that freepage boots, of 224 to 864 MiB,
# keep 35 to 38 MiB. Those with memory beyond 4 GiB keep 64 MiB more for devices that reach 32 bits only (swiotlb).
KERNEL_RANGE_BYTES = (20.0 * MIB, 36.0 * MIB, 100.0 * MIB)
BOUNCE_BYTES = 64.0 * MIB
WITHOUT_BOUNCE_BYTES = 3.0 * GIB
# Between two samples memory was steady where it moved by at most this much.
STEADY_BYTES = 4.0 * MIB


@dataclass(frozen=True)
class FreeList:
    """One list of free blocks, as /proc/buddyinfo counts them; where known (/proc/pagetypeinfo), of one migratetype.

    zone: "" where all zones are counted together. blocks: of 2^order pages each.
    """

    zone: str
    node: int
    order: int
    blocks: float
    migratetype: str | None = None


def find_reported_lists(
    lists: Sequence[FreeList], reporting_order: int, capacity: int = REPORT_BLOCKS
) -> list[FreeList]:
    """Return the lists that a guest reports from: those of at least its order, in zones with enough free pages.

    A zone is passed over while it has no more free than capacity blocks of the order beyond its low watermark, so that the
    16 MiB of ZONE_DMA stay (page_reporting_process_zone() in mm/page_reporting.c). The watermark, of which buddyinfo says
    nothing, is taken as 0. lists: all of each zone, smaller blocks included.
    """
    pages: dict[tuple[int, str], float] = defaultdict(float)
    for each in lists:
        pages[each.node, each.zone] += each.blocks * 2.0**each.order
    least = capacity * 2.0**reporting_order
    return [e for e in lists if e.order >= reporting_order and pages[e.node, e.zone] > least]


def add_lists(lists: Iterable[FreeList]) -> dict[int, float]:
    """Return the free blocks of each order, all lists together."""
    totals: dict[int, float] = defaultdict(float)
    for each in lists:
        totals[each.order] += each.blocks
    return dict(totals)


@overload
def reportable_bytes(
    free_blocks_by_order: Mapping[int, float], reporting_order: int, page_bytes: int = PAGE_BYTES
) -> float: ...
@overload
def reportable_bytes(
    free_blocks_by_order: Mapping[int, Array], reporting_order: int, page_bytes: int = PAGE_BYTES
) -> Array: ...
def reportable_bytes(
    free_blocks_by_order: Mapping[int, Any], reporting_order: int, page_bytes: int = PAGE_BYTES
) -> Any:
    """Return the bytes that FPR can give back: those in free blocks of at least `reporting_order`."""
    blocks = free_blocks_by_order.items()
    return sum((count * 2.0**order * page_bytes for order, count in blocks if order >= reporting_order), 0.0)


@overload
def footprint_bytes(total_bytes: float, reportable_bytes: float, overhead_bytes: float) -> float: ...
@overload
def footprint_bytes(total_bytes: float, reportable_bytes: Array, overhead_bytes: float) -> Array: ...
@overload
def footprint_bytes(total_bytes: Array, reportable_bytes: Array, overhead_bytes: float) -> Array: ...
def footprint_bytes(total_bytes: Any, reportable_bytes: Any, overhead_bytes: Any) -> Any:
    """Return the bytes on the host once FPR has settled: total - reportable + overhead.

    Source: checked against 81 settled points of published traces of a 16 GiB guest, where QEMU's resident memory was
    total - reportable plus 0.098 +- 0.005 GiB. It is what could be there; cap_footprint() leaves out what never was.
    """
    return total_bytes - reportable_bytes + overhead_bytes


def cap_footprint(footprint_bytes: Array, resident_bytes: Array) -> Array:
    """Return a footprint, at most what the VM had on the host at its highest until then: the rest was never touched.

    Both of shape (n,), in order of time; missing values of resident memory raise nothing.
    """
    import numpy as np

    return np.minimum(footprint_bytes, np.fmax.accumulate(resident_bytes))


def measure_whole_bytes(resident_bytes: Array, reportable_bytes: Array) -> float | None:
    """Return total + overhead of a VM without FPR as it shows them itself: the least of resident + reportable at steady samples.

    What is not reportable is on the host, and so is what was touched and is free again. The less there is of that, the nearer
    the sum comes to total + overhead, from above: while the guest uses all that it ever touched it is just that. Whatever
    MemTotal leaves out, and what QEMU itself takes, is in it. None without a steady sample: there the two numbers, which are
    read one after the other, are not of the same moment.
    """
    import numpy as np

    moved = np.maximum(*(np.abs(np.diff(values)) for values in (resident_bytes, reportable_bytes)))
    whole = (resident_bytes + reportable_bytes)[1:][moved <= STEADY_BYTES]
    return float(whole.min()) if len(whole) else None


def find_total_range(mem_total_bytes: float, page_bytes: int = PAGE_BYTES) -> tuple[float, float, float]:
    """Return the memory a VM was given, at least, most likely and at most, where only its guest's MemTotal is known (bytes)."""
    bounce = BOUNCE_BYTES if mem_total_bytes > WITHOUT_BOUNCE_BYTES else 0.0
    low, likely, high = (mem_total_bytes + bounce + kernel for kernel in KERNEL_RANGE_BYTES)
    share = 1 - STRUCT_PAGE_BYTES / page_bytes
    return low / share, likely / share, high / share

"""The trace of one VM from samples of it on its host; they come as values by metric id, whoever has read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.trace import VmTrace
from freepage.fpr.footprint import reportable_bytes
from freepage.fpr.kernels import RunningKernel, find_page_bytes
from freepage.metrics import BUDDY_ORDERS, sum_known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.forecast.trace import Array
    from freepage.metrics import MetricValues

    Sample = tuple[float, MetricValues]

# What every forecast from a VM on this host rests on.
ASSUMPTIONS = (
    "What the host holds for a VM is its QEMU's resident memory and what of it is in swap; memory that it shares with others counts whole.",
    "The statistics of a guest are as old as its balloon's last answer; the guest's files are read a moment after the host's numbers.",
)


@dataclass(frozen=True)
class GuestBlocks:
    """The way a guest reports: blocks of at least 2^order pages of page_bytes; None where that is not known."""

    order: int | None
    page_bytes: int | None


def build_trace(
    name: str,
    samples: Sequence[Sample],
    architecture: str | None,
    *,
    fpr_on: bool | None,
    order: int | None = None,
    notes: Sequence[str] = (),
) -> VmTrace:
    """Return the trace of a VM from (seconds, values by metric id) in order.

    architecture: of the guest. order: the smallest that is reported, as its driver or its user says; None for
    the one that its kernel takes by itself. The VM's size is `vm_memory_bytes` of the values, else the guest's MemTotal.
    """
    reporting = find_blocks(samples, architecture, order)
    size = _column(samples, "vm_memory_bytes")
    held = [sum_known([v.get("rss_bytes"), v.get("swap_bytes")]) for _, v in samples]
    return VmTrace(
        name=name,
        t_s=np.array([t_s for t_s, _ in samples]),
        resident_bytes=np.array(held, dtype=float),
        total_bytes=_column(samples, "guest_total_bytes") if np.isnan(size).all() else size,
        free_bytes=np.array([_free(values, reporting) for _, values in samples], dtype=float),
        reportable_bytes=np.array([_reportable(values, reporting) for _, values in samples], dtype=float),
        cached_bytes=_column(samples, "guest_cached_bytes"),
        fpr_on=fpr_on,
        notes=(*notes, *_describe_unknown(samples, reporting)),
    )


def _column(samples: Sequence[Sample], id_: str) -> Array:
    return np.array([values.get(id_) for _, values in samples], dtype=float)


def _blocks(values: MetricValues) -> dict[int, float]:
    """Return the free blocks of a sample by order; {} where they are not known."""
    found = {order: values.get(f"guest_free_order_{order}_blocks") for order in BUDDY_ORDERS}
    return {order: count for order, count in found.items() if count is not None}


def find_blocks(samples: Sequence[Sample], architecture: str | None, order: int | None) -> GuestBlocks:
    """Find the page size of a guest from its free blocks, which are all of its free memory, and its reporting order."""
    pages_and_bytes = (
        (sum(count * 2**o for o, count in _blocks(values).items()), values.get("guest_free_bytes"))
        for _, values in samples
    )
    sizes = (find_page_bytes(pages, free) for pages, free in pages_and_bytes if free is not None)
    page_bytes = next((size for size in sizes if size is not None), None)
    if order is None and page_bytes is not None:
        order = RunningKernel(architecture=architecture, page_bytes=page_bytes).usual_reporting_order
    return GuestBlocks(order, page_bytes)


def _free(values: MetricValues, reporting: GuestBlocks) -> float | None:
    """Return the free memory of a sample: that of its blocks, of which the reportable ones are a part, else what the guest says."""
    blocks = _blocks(values)
    if not blocks or reporting.page_bytes is None:
        return values.get("guest_free_bytes")
    return float(reportable_bytes(blocks, 0, reporting.page_bytes))


def _reportable(values: MetricValues, reporting: GuestBlocks) -> float | None:
    blocks = _blocks(values)
    if not blocks or reporting.order is None or reporting.page_bytes is None:
        return None
    return float(reportable_bytes(blocks, reporting.order, reporting.page_bytes))


def _describe_unknown(samples: Sequence[Sample], reporting: GuestBlocks) -> list[str]:
    """Return why free blocks that were seen cannot be told from those that a guest does not report."""
    if not any(_blocks(values) for _, values in samples):
        return []
    if reporting.page_bytes is None:
        return ["the size of the guest's pages does not follow from its free blocks and its free memory"]
    if reporting.order is None:
        return ["from which order on the guest's kernel reports is not known: give it with --reporting-order"]
    return []

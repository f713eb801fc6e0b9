"""Reads the balloon as QEMU knows it: the guest's statistics, and the reports it has handled; and /proc/buddyinfo."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from freepage.fpr.footprint import FreeList, add_lists
from freepage.metrics import BUDDY_ORDERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.metrics import MetricValues

# The balloon's name, which libvirt gives it too, and where QEMU has it and its virtio part among its objects.
BALLOON_ID = "balloon0"
BALLOON_PATH = f"/machine/peripheral/{BALLOON_ID}"
QUEUE_STATUS = "x-query-virtio-queue-status"
_USED_INDEX_RANGE = 2**16

_STATS = {
    "stat-total-memory": "guest_total_bytes",
    "stat-free-memory": "guest_free_bytes",
    "stat-available-memory": "guest_available_bytes",
    "stat-disk-caches": "guest_cached_bytes",
    "stat-swap-in": "guest_swap_in_bytes",
    "stat-swap-out": "guest_swap_out_bytes",
    "stat-major-faults": "guest_major_faults",
    "stat-minor-faults": "guest_minor_faults",
}
# The balloon says "not known" as all ones.
_UNKNOWN = 2**64 - 1


class ReportCounter:
    """Counts the reports QEMU has handled from the used index of the reporting queue, which has 16 bits."""

    def __init__(self) -> None:
        self._seen = 0
        self._total = 0

    def update(self, status: Mapping[str, Any] | None) -> int | None:
        """Return how many there have been, from what QUEUE_STATUS says of the queue; None where it says nothing."""
        seen = None if status is None else status.get("used-idx")
        if not isinstance(seen, int):
            return None
        self._total += (seen - self._seen) % _USED_INDEX_RANGE
        self._seen = seen
        return self._total


def name_queue(number: int) -> dict[str, Any]:
    """Return the arguments of QUEUE_STATUS for a queue of the balloon (fpr.evidence.find_reporting_queue)."""
    return {"path": f"{BALLOON_PATH}/virtio-backend", "queue": number}


def parse_guest_stats(reply: Mapping[str, Any], wall_s: float) -> MetricValues:
    """Read QEMU's guest-stats by metric id; all None before the guest's first answer. `wall_s`: seconds since 1970."""
    last_update_s = int(reply.get("last-update", 0))
    stats = reply.get("stats", {}) if last_update_s else {}
    values = {id_: _known(stats.get(name)) for name, id_ in _STATS.items()}
    return values | {"guest_stats_age_s": max(0.0, wall_s - last_update_s) if last_update_s else None}


def parse_free_lists(text: str) -> list[FreeList]:
    """Read /proc/buddyinfo: the free blocks of every node, zone and order; none where a line is torn, for its counts are wrong."""
    found = re.findall(r"^Node +([0-9]{1,9}), zone +(\w+) +([0-9][0-9 ]*)$", text, re.MULTILINE)
    zones = [(int(node), zone, [float(count) for count in counts.split()]) for node, zone, counts in found]
    if len({len(counts) for _, _, counts in zones}) != 1:
        return []
    return [
        FreeList(zone, node, order, blocks)
        for node, zone, counts in zones
        for order, blocks in enumerate(counts)
    ]


def parse_buddyinfo(text: str) -> MetricValues:
    """Read /proc/buddyinfo: free blocks of each order, all zones together, by metric id; None for orders it lacks."""
    totals = add_lists(parse_free_lists(text))
    return {f"guest_free_order_{order}_blocks": totals.get(order) for order in BUDDY_ORDERS}


def count_free_lists(text: str) -> int | None:
    """Return how many lists of free blocks a zone of /proc/buddyinfo has, one for each order; None for no such text."""
    return len(add_lists(parse_free_lists(text))) or None


def _known(value: int | None) -> float | None:
    return None if value is None or value in {_UNKNOWN, -1} else float(value)

"""The release of what a guest frees, pass for pass: how much of it is back on the host, and when.

After mm/page_reporting.c: a pass goes over the zones, in each over the orders from the reporting order on and over migratetypes,
and reports of each such list a part of it, at least a sixteenth of all free blocks of that zone and order.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.footprint import FreeList, find_reported_lists
from freepage.fpr.kernels import RunningKernel
from freepage.fpr.mechanics import (
    LARGEST_BLOCK_BYTES,
    MOST_PASSES,
    PAGE_BYTES,
    PASS_DELAY_S,
    REPORT_BLOCKS,
    USUAL_PASSES,
    Passes,
    find_passes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from freepage.records import Evidence


# Seconds since the free, and bytes reported by then (or their share), at each pass.
Staircase = list[tuple[float, float]]
# The start and the end of a time in which the guest was paused, in seconds.
Pause = tuple[float, float]


@dataclass(frozen=True)
class Reporting:
    """The terms on which a guest reports: the smallest order, the size of its pages, its passes, and the blocks of one report."""

    order: int
    page_bytes: int = PAGE_BYTES
    passes: Passes = USUAL_PASSES
    capacity: int = REPORT_BLOCKS

    def block_bytes(self, order: int) -> float:
        """Return the size of a free block of an order."""
        return self.page_bytes * 2.0**order


def find_reporting(evidence: Iterable[Evidence], architecture: str | None) -> Reporting | None:
    """Return the terms on which all guests report; None where those of one are not known, or they differ."""
    found = {_find_reporting_of(e, architecture) for e in evidence if e.is_of_vm}
    return found.pop() if len(found) == 1 else None


def _find_reporting_of(evidence: Evidence, architecture: str | None) -> Reporting | None:
    kernel = RunningKernel(evidence.guest_kernel, architecture, evidence.page_bytes, evidence.free_lists)
    order = kernel.usual_reporting_order if evidence.reporting_order is None else evidence.reporting_order
    page_bytes, passes = kernel.known_page_bytes, find_passes(evidence, architecture)
    return (
        None
        if order is None or page_bytes is None or passes is None
        else Reporting(order, page_bytes, passes)
    )


def blocks_per_pass(free_blocks: float, capacity: int = REPORT_BLOCKS) -> int:
    """Return the number of blocks of one free list that a pass reports: 32 x (ceil(free / 512) + 1).

    `free_blocks` counts the whole list, blocks already reported included; `capacity` are the blocks of one report. Source:
    page_reporting_cycle(), whose budget is DIV_ROUND_UP(nr_free, 32 * 16), and which stops once the budget is below zero.
    """
    return capacity * (math.ceil(free_blocks / (capacity * MOST_PASSES)) + 1)


def longest_release_s(delay_s: float = PASS_DELAY_S) -> float:
    """Return the seconds within which all that a guest can report is back, however much: 34 with the usual delay."""
    return delay_s * (1 + MOST_PASSES)


def passes_to_release(
    freed_bytes: int, free_bytes: int | None = None, block_bytes: int = LARGEST_BLOCK_BYTES
) -> int:
    """Return the number of passes until `freed_bytes`, all in one list of blocks of `block_bytes`, have been reported.

    `free_bytes` is what the list holds after the free (default: only what was freed, which is slowest).
    """
    freed = math.ceil(freed_bytes / block_bytes)
    listed = max(freed, math.ceil((free_bytes or 0) / block_bytes))
    return math.ceil(freed / blocks_per_pass(listed))


def release_time_bound_s(freed_bytes: int, passes: Passes = USUAL_PASSES) -> float:
    """Return the seconds an idle window must have for a freed block to come back whole: at most 34, with the usual delay.

    The wait for the first pass, then one delay for each pass, for a block that lies in lists of the largest blocks with
    nothing else in them, in the usual two zones of a guest one after the other at worst.
    """
    most = min(MOST_PASSES, passes_to_release(freed_bytes, block_bytes=passes.block_bytes))
    return passes.delay_s + passes.delay_s * most


def predicted_release(
    freed_bytes: int, free_bytes: int | None = None, passes: Passes = USUAL_PASSES
) -> Staircase:
    """Return the staircase of one release: (seconds after the free, share of the freed bytes back) at each pass."""
    freed = math.ceil(freed_bytes / passes.block_bytes)
    listed = max(freed, math.ceil((free_bytes or 0) / passes.block_bytes))
    per_pass = blocks_per_pass(listed)
    count = math.ceil(freed / per_pass)
    return [(passes.delay_s * n, min(1.0, n * per_pass / freed)) for n in range(1, count + 1)]


def predicted_span_s(
    freed_bytes: float, free_bytes: float | None, share: float, passes: Passes = USUAL_PASSES
) -> tuple[float, float]:
    """Return the earliest and the latest time (seconds after the free) at which a share of the freed bytes is back.

    Latest: all of it in one list with nothing else. Earliest: half of it in each of two zones, in lists with all that the
    guest has free (`free_bytes`); 0 where that is not known.
    """
    freed = math.ceil(freed_bytes / passes.block_bytes)
    latest = math.ceil(share * freed / blocks_per_pass(freed))
    if free_bytes is None:
        return 0.0, passes.delay_s * latest
    listed = max(freed, math.ceil(free_bytes / passes.block_bytes))
    earliest = math.ceil(share * freed / 2 / blocks_per_pass(listed))
    return passes.delay_s * earliest, passes.delay_s * latest


def predict_staircase(
    freed: Sequence[FreeList],
    reporting: Reporting,
    before: Sequence[FreeList] = (),
    pauses: Sequence[Pause] = (),
) -> Staircase:
    """Return (seconds since the free, bytes reported by then) at each pass, of blocks that are freed together.

    freed: the blocks by the lists they end in. before: what is free beside them, reported earlier; it makes budgets larger,
    which count all free blocks of a zone and order, whatever their migratetype. pauses: times, in seconds since the free, in
    which the VM was paused: it reports nothing then, and its timers stand still. Empty where nothing is reported.
    """
    listed: dict[tuple[int, str, int], float] = defaultdict(float)
    for each in (*freed, *before):
        listed[each.node, each.zone, each.order] += each.blocks
    reported = {
        (e.node, e.zone) for e in find_reported_lists((*freed, *before), reporting.order, reporting.capacity)
    }
    lists = [
        (
            e.blocks,
            blocks_per_pass(listed[e.node, e.zone, e.order], reporting.capacity),
            reporting.block_bytes(e.order),
        )
        for e in freed
        if e.order >= reporting.order and (e.node, e.zone) in reported and e.blocks > 0
    ]
    passes = max((math.ceil(blocks / per_pass) for blocks, per_pass, _ in lists), default=0)
    return [
        (
            add_running_s(0.0, n * reporting.passes.delay_s, pauses),
            sum(min(blocks, n * per_pass) * size for blocks, per_pass, size in lists),
        )
        for n in range(1, passes + 1)
    ]


def time_to_share_s(staircase: Staircase, share: float) -> float | None:
    """Return the seconds after which a share of all that a staircase reaches is back (t90: 0.9); None of an empty one."""
    return next((t_s for t_s, reached in staircase if reached >= share * staircase[-1][1]), None)


def predict_span_s(
    freed: Mapping[int, float], before: Mapping[int, float], reporting: Reporting, share: float
) -> tuple[float, float] | None:
    """Return the earliest and the latest time at which a share of blocks that are freed together is back, by their orders.

    Latest: all in one zone. Earliest: half of all in each of two. None where none of them is reported.
    """
    times = [time_to_share_s(_predict_zones(freed, before, reporting, n), share) for n in (2, 1)]
    known = [t_s for t_s in times if t_s is not None]
    return (known[0], known[-1]) if known else None


def _predict_zones(
    freed: Mapping[int, float], before: Mapping[int, float], reporting: Reporting, zones: int
) -> Staircase:
    def spread(blocks: Mapping[int, float]) -> list[FreeList]:
        return [
            FreeList(str(n), 0, order, count / zones) for n in range(zones) for order, count in blocks.items()
        ]

    return predict_staircase(spread(freed), reporting, spread(before))


def add_running_s(start_s: float, running_s: float, pauses: Sequence[Pause] = ()) -> float:
    """Return the time at which a VM has run for `running_s` seconds since `start_s`; while it is paused it does not."""
    end_s = start_s + running_s
    for paused_s, resumed_s in sorted(pauses):
        if paused_s < end_s and resumed_s > start_s:
            end_s += resumed_s - max(paused_s, start_s)
    return end_s

"""A model of free page reporting after the kernel's code (mm/page_reporting.c)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.kernels import RunningKernel
from freepage.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freepage.records import Evidence

# A pass starts this long after the first free of at least page_reporting_order, or after the last pass ended. Fixed until
# 7.2; from then on the default of the parameter page_reporting_delay_ms.
PASS_DELAY_S = 2.0
# One report carries at most this many blocks (PAGE_REPORTING_CAPACITY).
REPORT_BLOCKS = 32
# A list of free blocks is worked through in at most 16 passes, however long it is: "all pages on an idle system in
# about 30 seconds".
MOST_PASSES = 16
# Of x86-64, and of arm64 and riscv64 with pages of 4 KiB.
LARGEST_BLOCK_BYTES = 4 * MIB
PAGE_BYTES = 4 * KIB


@dataclass(frozen=True)
class Passes:
    """The passes of one guest: the wait before each, and the largest free block, in whose list a large free ends."""

    delay_s: float = PASS_DELAY_S
    block_bytes: int = LARGEST_BLOCK_BYTES


USUAL_PASSES = Passes()


def find_passes(evidence: Evidence, architecture: str | None) -> Passes | None:
    """Return the passes of a guest on a host of an architecture; None where its free blocks are not known."""
    kernel = RunningKernel(evidence.guest_kernel, architecture, evidence.page_bytes, evidence.free_lists)
    delay_s = PASS_DELAY_S if evidence.reporting_delay_s is None else evidence.reporting_delay_s
    block_bytes = kernel.largest_block_bytes
    return None if block_bytes is None else Passes(delay_s, block_bytes)


def find_common_passes(evidence: Iterable[Evidence], architecture: str | None) -> Passes | None:
    """Return the passes of all guests; None where those of one are not known, or they differ."""
    found = {find_passes(e, architecture) for e in evidence if e.is_of_vm}
    return found.pop() if len(found) == 1 else None


def slowest_delay_s(evidence: Iterable[Evidence]) -> float:
    """Return the longest wait before a pass that any guest's kernel shows; the usual one where none does."""
    return max(
        (e.reporting_delay_s for e in evidence if e.reporting_delay_s is not None), default=PASS_DELAY_S
    )


def soonest_delay_s(evidence: Iterable[Evidence]) -> float:
    """Return the shortest wait before a pass that any VM's guest shows; the usual one where its kernel shows none."""
    delays = (
        PASS_DELAY_S if e.reporting_delay_s is None else e.reporting_delay_s for e in evidence if e.is_of_vm
    )
    return min(delays, default=PASS_DELAY_S)


def stretch_of(evidence: Iterable[Evidence]) -> float:
    """Return by how much passes are slower than usual, where a guest's kernel says so; 1 at least."""
    return max(1.0, slowest_delay_s(evidence) / PASS_DELAY_S)


def longest_release_s(delay_s: float = PASS_DELAY_S) -> float:
    """Return the seconds within which all that a guest can report is back, however much: 34 with the usual delay."""
    return delay_s * (1 + MOST_PASSES)


def expect_block_bytes(architecture: str | None) -> int:
    """Return the largest free block of guests of an architecture, before one has been seen; the smallest there may be."""
    of_all = (
        RunningKernel(None, architecture, size).largest_block_bytes for size in (4 * KIB, 16 * KIB, 64 * KIB)
    )
    return min((found for found in of_all if found is not None), default=LARGEST_BLOCK_BYTES)


def blocks_per_pass(free_blocks: int) -> int:
    """Return the number of blocks of one free list that a pass reports: 32 x (ceil(free / 512) + 1).

    `free_blocks` counts the whole list, blocks already reported included. Source: page_reporting_cycle(), whose
    budget is DIV_ROUND_UP(nr_free, 32 * 16), and which stops once the budget is below zero.
    """
    return REPORT_BLOCKS * (math.ceil(free_blocks / (REPORT_BLOCKS * MOST_PASSES)) + 1)


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
) -> list[tuple[float, float]]:
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


def reportable_bytes(
    free_blocks_by_order: Mapping[int, float], reporting_order: int, page_bytes: int = PAGE_BYTES
) -> float:
    """Return the bytes that FPR can give back: those in free blocks of at least `reporting_order`."""
    blocks = ((order, count) for order, count in free_blocks_by_order.items() if order >= reporting_order)
    return sum((count * 2.0**order * page_bytes for order, count in blocks), 0.0)


def footprint_bytes(
    total_bytes: float,
    free_blocks_by_order: Mapping[int, float],
    reporting_order: int,
    page_bytes: int = PAGE_BYTES,
) -> float:
    """Return the guest memory (bytes) that stays on the host once FPR has settled: total - reportable.

    Source: checked against 81 settled points of published traces of a 16 GiB guest, where QEMU's resident memory was
    this plus 0.098 +- 0.005 GiB.
    """
    return total_bytes - reportable_bytes(free_blocks_by_order, reporting_order, page_bytes)

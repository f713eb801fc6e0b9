"""The passes in which a guest reports its free pages, after the kernel's code (mm/page_reporting.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.kernels import PAGE_SIZES, RunningKernel
from freepage.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def expect_block_bytes(architecture: str | None) -> int:
    """Return the largest free block of guests of an architecture, before one has been seen; the smallest there may be."""
    of_all = (RunningKernel(None, architecture, size).largest_block_bytes for size in PAGE_SIZES)
    return min((found for found in of_all if found is not None), default=LARGEST_BLOCK_BYTES)

"""The memory that a host holds for a VM and the guest does not use, estimated from outside and without FPR."""

from __future__ import annotations

from dataclasses import dataclass

from freepage.units import GIB

# Share of free memory that lay in blocks smaller than a guest reports (order 9), at worst, in 27 settled points of a
# 16 GiB guest that had compiled for an hour (45.9 to 56.8 %), and what QEMU needed beside the guest's memory.
WORST_UNREPORTABLE_FRACTION = 0.568
QEMU_OVERHEAD_BYTES = 0.1 * GIB


@dataclass(frozen=True)
class Stranded:
    """Bytes on the host that FPR would give back: at least and at most."""

    lower_bytes: float
    upper_bytes: float


def stranded_bytes(
    resident_bytes: float, swapped_bytes: float, total_bytes: float, unused_bytes: float
) -> Stranded:
    """Bound what FPR would give back of one VM.

    resident, swapped: of the QEMU process on the host. total, unused: the guest's MemTotal and MemFree. The upper bound
    is all that the host holds beyond what the guest uses (its page cache counts as used), as if every free page were
    reported; never more than the guest has free. The lower bound takes free memory to be as fragmented as the worst
    that was published, and leaves QEMU its overhead.
    """
    held = resident_bytes + swapped_bytes
    reportable = unused_bytes * (1 - WORST_UNREPORTABLE_FRACTION)
    upper = _between(0.0, held - (total_bytes - unused_bytes), unused_bytes)
    lower = _between(0.0, held - (total_bytes - reportable + QEMU_OVERHEAD_BYTES), upper)
    return Stranded(lower, upper)


def _between(least: float, value: float, most: float) -> float:
    return max(least, min(value, most))

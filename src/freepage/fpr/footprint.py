"""The memory that stays on the host of a guest with FPR, as a formula of its free blocks."""

from __future__ import annotations

from typing import TypeVar

from freepage.fpr.mechanics import reportable_bytes as reportable_bytes  # noqa: PLC0414 - its home is here
from freepage.units import GIB

# What QEMU needs beside the guest's memory: at least, usually, at most; 0.098 +- 0.005 GiB (0.087 to 0.115) at 81 settled
# points of published traces of a 16 GiB guest.
OVERHEAD_RANGE_BYTES = (0.087 * GIB, 0.098 * GIB, 0.115 * GIB)

_Bytes = TypeVar("_Bytes")


def footprint_bytes(total_bytes: _Bytes, reportable_bytes: _Bytes, overhead_bytes: float) -> _Bytes:
    """Return the bytes on the host once FPR has settled: total - reportable + overhead; floats or arrays."""
    return total_bytes - reportable_bytes + overhead_bytes  # type: ignore[operator, no-any-return]

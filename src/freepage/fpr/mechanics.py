"""What FPR will do, from how the kernel does it."""

from __future__ import annotations

import math

_MIB = 2**20


def release_time_bound_s(block_bytes: int) -> float:
    """Give the seconds within which a freed block is back on the host."""
    return 2.0 + 2.0 * min(16, math.ceil(block_bytes / (256 * _MIB)))

"""The sentences that forecasts rest on, as docs/forecast.md has them, and what could not be told of a VM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from freepage.fpr.footprint import OVERHEAD_RANGE_BYTES
from freepage.fpr.stranded import WORST_UNREPORTABLE_FRACTION
from freepage.units import GIB, format_bytes

if TYPE_CHECKING:
    from freepage.forecast.trace import Array, VmTrace

# Published runs of a guest that compiles for 51 minutes gave back 88 to 96 GiB x minutes with FPR; what runs without it let expect
# was 2 to 8 % off, of which two runs with it differ by as much.
MODEL_ERROR = 0.1
# With every free page reported, the same traces settled 0.39 +- 0.14 GiB above the guest's memory less what was free: pages
# on per-CPU lists, below the watermarks, and on their way.
OVERHEAD_ORDER_0_BYTES = (0.1 * GIB, 0.39 * GIB, 0.67 * GIB)

SAME_LOAD = "The VM would do the same with FPR, as fast as it did here."
TOUCHED = "The host holds no more than was resident at most since the trace, or its last gap, began: the rest was never touched."
CACHE = "Page cache is in use: FPR gives none of it back."
BLOCKS = (
    "With FPR the host holds the guest's memory less its free blocks of at least the reporting order, and the VMM's overhead; "
    "freed memory leaves by the kernel's usual passes, one every 2 s."
)
RANGE = f"Low and high allow {MODEL_ERROR:.0%} more and less to be given back than that; published runs were up to 8% off."
SUM_ONLY = (
    "Only the sum of free memory is known. At least is held as if all of it were reported; at most as if "
    f"{WORST_UNREPORTABLE_FRACTION:.1%} of it lay in blocks too small to be, the worst that was published."
)


def describe_assumptions(overhead: tuple[float, float, float], *, has_blocks: bool) -> tuple[str, ...]:
    """Return what the forecast of a VM rests on, one sentence each."""
    way = (BLOCKS, RANGE) if has_blocks else (SUM_ONLY,)
    return (*way, _describe_overhead(overhead), TOUCHED, CACHE, SAME_LOAD)


def _describe_overhead(overhead: tuple[float, float, float]) -> str:
    low, likely, high = map(format_bytes, overhead)
    if overhead == OVERHEAD_RANGE_BYTES:
        source = "as published of QEMU"
    elif overhead == OVERHEAD_ORDER_0_BYTES:
        source = (
            "as published of QEMU and a guest that reports every page, which needed 19% longer for its work"
        )
    else:
        source = "as measured in the run"
    return f"The VMM needs {likely} ({low} to {high}) beside the guest's memory, {source}."


def describe_unknown(trace: VmTrace, *, has_blocks: bool) -> tuple[str, ...]:
    """Return what could not be told of a VM and why, one sentence each."""
    return tuple(
        why
        for why, is_so in (
            (
                "What FPR would leave on the host: what it holds now was never seen.",
                _is_missing(trace.resident_bytes),
            ),
            (
                "What FPR would leave on the host: the size of the guest is not known (a column total, or --total).",
                _is_missing(trace.total_bytes),
            ),
            (
                "What FPR would leave on the host: how much of the guest is free is not known.",
                _is_missing(trace.free_bytes) and not has_blocks,
            ),
            (
                "What is likely, and what is stranded: only the sum of the guest's free memory is known, not its blocks.",
                not has_blocks and not _is_missing(trace.free_bytes),
            ),
            (
                "What is stranded: all that is free is not known, only what is reported.",
                has_blocks and _is_missing(trace.free_bytes),
            ),
            (
                "What dropping the page cache would add: how large it is is not known.",
                _is_missing(trace.cached_bytes),
            ),
        )
        if is_so
    )


def _is_missing(values: Array) -> bool:
    return bool(np.all(np.isnan(values)))

"""The forecast of one VM: what the host would hold for it with FPR, at each moment at which enough is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freepage.forecast.trace import Array, VmTrace


@dataclass(frozen=True)
class VmForecast:
    """With FPR: bytes on the host at least, most likely and at most; arrays of the trace's shape, NaN where unknown.

    likely is NaN where only a range can be told. stranded_bytes: free in the guest in blocks below the reporting order,
    which FPR leaves on the host; NaN where blocks are not known. assumptions: what this forecast rests on, one sentence
    each, as docs/method.md states them. unknown: what could not be told, and why.
    """

    trace: VmTrace
    low_bytes: Array
    likely_bytes: Array
    high_bytes: Array
    stranded_bytes: Array
    assumptions: tuple[str, ...]
    unknown: tuple[str, ...]

"""All that was seen of one VM over time, from whatever source; nothing here is forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class VmTrace:
    """One VM's memory over time: arrays of shape (n,), NaN where a value is missing.

    name: unique within a forecast; namespace and node: "" where there is none. t_s: seconds, ascending, since the same
    moment for all VMs of a forecast. resident_bytes: what the host holds for the VM, swap included. total_bytes: the
    guest's memory. free_bytes: all that is free in the guest, its page cache not counted. reportable_bytes: the part of it
    in free blocks of at least the reporting order, NaN where only the sum of free memory is known. cached_bytes: the
    guest's page cache, NaN where not known. fpr_on: whether FPR was on while this was seen; None where not known.
    gaps: indices i such that nothing is known between samples i and i + 1 (samples missing, VM restarted or migrated).
    """

    name: str
    t_s: Array
    resident_bytes: Array
    total_bytes: Array
    free_bytes: Array
    reportable_bytes: Array
    cached_bytes: Array
    namespace: str = ""
    node: str = ""
    fpr_on: bool | None = None
    gaps: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.t_s)


@dataclass(frozen=True)
class LikelyRange:
    """A forecast number: at least, most likely and at most; None where it cannot be told."""

    low: float | None
    likely: float | None
    high: float | None

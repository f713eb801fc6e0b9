"""Memory that a guest has freed and not reported yet: it waits for the kernel's next passes, and is on the host so long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from freepage.fpr.mechanics import LARGEST_BLOCK_BYTES
from freepage.fpr.release import Reporting, longest_release_s
from freepage.fpr.waiting import find_waiting_bytes

if TYPE_CHECKING:
    from freepage.forecast.trace import Array

# All that can be reported counts as one list of the largest blocks, of 2^10 pages of 4 KiB.
_ORDER = 10


def waiting_bytes(t_s: Array, reportable_bytes: Array) -> Array:
    """Return what of the reportable memory had not been reported yet at each sample, in bytes.

    Nothing where samples are further apart than all passes take, at the start, and after samples without a value.
    """
    waiting = np.zeros(len(t_s))
    if len(t_s) < 2 or np.median(np.diff(t_s)) >= longest_release_s():
        return waiting
    known = np.flatnonzero(~np.isnan(reportable_bytes))
    for part in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        blocks = {_ORDER: reportable_bytes[part] / LARGEST_BLOCK_BYTES}
        waiting[part] = find_waiting_bytes(t_s[part], blocks, Reporting(_ORDER))
    return waiting

"""Traces of VMs made by hand, with known answers."""

from __future__ import annotations

import numpy as np

from freepage.forecast.measured import Measured
from freepage.forecast.traces import build_trace
from freepage.units import GIB, MIB

# A guest of 16 GiB that has touched all of it, of which 9 GiB are free, 8 of them in blocks of 2 MiB: a sample a minute.
HEADER = "time,resident,total,free_huge,free_small,cached"
TOTAL, HUGE, SMALL, CACHED = 16 * GIB, 4096, 9 * GIB // 4096, 2 * GIB
ROWS = [f"{60 * n},{TOTAL},{TOTAL},{HUGE},{SMALL},{CACHED}" for n in range(5)]
TEXT = "\n".join([HEADER, *ROWS]) + "\n"
# With FPR: 16 GiB less 8 GiB, and 100 MiB of QEMU's own, for 4 minutes.
NOW_GIB_MIN, LIKELY_GIB_MIN = 64.0, 4 * (8 + 100 / 1024)


def make_trace(
    name="vm", t_s=(0, 60, 120), resident=4.0, total=8.0, free=5.0, reportable=4.0, cached=1.0, **words
):
    """A trace from numbers in GiB, each one for all samples or one for each."""
    t_s = np.array(t_s, dtype=float)
    sizes = (resident, total, free, reportable, cached)
    arrays = [np.broadcast_to(np.array(size, dtype=float) * GIB, t_s.shape).copy() for size in sizes]
    return build_trace(name, Measured(t_s, *arrays), **words)


def write_vm(folder, name="vm.csv", text=TEXT):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


__all__ = ["GIB", "MIB", "make_trace", "write_vm"]

"""The columns of a file as what was seen of VMs: bytes at times, and what of it can only be wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.columns import block_column
from freepage.forecast.errors import TraceError
from freepage.fpr.footprint import reportable_bytes
from freepage.fpr.kernels import RunningKernel
from freepage.metrics import BUDDY_ORDERS
from freepage.units import GIB, KIB, MIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from freepage.forecast.trace import Array
    from freepage.forecast.trace_file import TraceFile

HUGE_BYTES = 2 * MIB
# Whose guests are meant where only the size of their pages is known; and what is reported of pages of another size.
_USUAL_ARCHITECTURES = {4 * KIB: "x86_64", 16 * KIB: "aarch64", 64 * KIB: "aarch64"}
_USUAL_ORDER = 9
# Free memory is read a moment apart from the guest's whole: more than this beyond it is no such moment.
_SKEW = 1.01
# No VMM needs as much beside its guest: the guest's half again, and what emulation keeps.
_MOST_RESIDENT = 1.5
_MOST_OVERHEAD_BYTES = 2 * GIB
# A host that never holds more than this of a VM, nor this share of it, was counted in KiB or pages.
_LEAST_RESIDENT_BYTES = 64 * MIB
_LEAST_RESIDENT_SHARE = 1 / 512
# No host has as much memory.
_MOST_BYTES = 2.0**60
# In seconds this is the year 5138, in milliseconds 1973.
_LAST_TIME_S = 1e11
_UNITS_HINT = "sizes are bytes; free_N and free_huge are numbers of blocks, free_small of pages"

_TOTAL_HINT = "the guest's memory: a column in bytes, or --total 16GiB of freepage forecast, or memory in a fleet's file"


@dataclass(frozen=True)
class GuestUnits:
    """All that a trace does not tell of its guests.

    reporting_order: the smallest order that is reported; None for the usual one of such pages. total_bytes: the guest's
    memory, where no column has it, and an error beside one; usual_total_bytes: the same, and no error.
    """

    page_bytes: int = 4 * KIB
    reporting_order: int | None = None
    total_bytes: float | None = None
    usual_total_bytes: float | None = None

    @property
    def order(self) -> int:
        """The smallest order that is reported."""
        kernel = RunningKernel(None, _USUAL_ARCHITECTURES.get(self.page_bytes), self.page_bytes)
        orders = (self.reporting_order, kernel.usual_reporting_order, _USUAL_ORDER)
        return next(order for order in orders if order is not None)


@dataclass(frozen=True)
class Measured:
    """All that was seen, by row: seconds, and bytes as in VmTrace; NaN where a value is missing."""

    t_s: Array
    resident_bytes: Array
    total_bytes: Array
    free_bytes: Array
    reportable_bytes: Array
    cached_bytes: Array

    def take(self, rows: NDArray[np.intp]) -> Measured:
        """Return some of the rows, in that order."""
        return Measured(*(getattr(self, field.name)[rows] for field in fields(self)))


def read_measured(file: TraceFile, columns: Mapping[str, str], units: GuestUnits) -> Measured:
    """Return all rows of a file; `columns`: theirs by ours. TraceError for the first value that can only be wrong."""
    numbers = {
        ours: file.read_numbers(theirs)
        for ours, theirs in columns.items()
        if ours not in {"time", "vm", "namespace", "node"}
    }
    unknown = np.full(len(file), np.nan)
    free, reportable = find_free(numbers, units), find_reportable(numbers, units)
    measured = Measured(
        file.read_times(columns["time"]),
        _without_zeros(numbers["resident"]),
        _without_zeros(_find_total(file, numbers, units)),
        unknown if free is None else free,
        unknown if reportable is None else reportable,
        numbers.get("cached", unknown),
    )
    check_measured(file, columns, measured)
    return measured


def _without_zeros(values: Array) -> Array:
    """Return sizes with nothing known where they are 0: no VM was there, or nobody had told of it yet."""
    return np.where(values == 0, np.nan, values)


def _find_total(file: TraceFile, numbers: Mapping[str, Array], units: GuestUnits) -> Array:
    total = numbers.get("total")
    given = units.usual_total_bytes if units.total_bytes is None else units.total_bytes
    if total is not None and units.total_bytes is None:
        return total
    if total is not None or given is None:
        why = (
            "has a column total, and --total was given as well"
            if total is not None
            else "has no column total"
        )
        raise TraceError(f"{file.path} {why}", hint=_TOTAL_HINT)
    return np.full(len(file), float(given))


def find_free(numbers: Mapping[str, Array], units: GuestUnits) -> Array | None:
    """Return all free memory of the guest in bytes, by its own column, else by blocks of all orders; None without."""
    blocks = _find_blocks(numbers)
    if "free" in numbers:
        return numbers["free"]
    if "free_small" in numbers:
        return numbers["free_small"] * units.page_bytes
    return np.asarray(reportable_bytes(blocks, 0, units.page_bytes)) if 0 in blocks else None


def find_reportable(numbers: Mapping[str, Array], units: GuestUnits) -> Array | None:
    """Return what of it lies in blocks of at least the reporting order; None where only larger or other blocks are known."""
    blocks, order = _find_blocks(numbers), units.order
    if blocks and min(blocks) <= order:
        if max(blocks) < order:
            raise TraceError(
                f"blocks of order {order} and larger are reported, and {block_column(max(blocks))} is the largest there is",
                hint="--reporting-order says what the guest reports",
            )
        return np.asarray(reportable_bytes(blocks, order, units.page_bytes))
    if order == 0:
        return find_free(numbers, units)
    is_huge = units.page_bytes << order == HUGE_BYTES
    return numbers["free_huge"] * HUGE_BYTES if is_huge and "free_huge" in numbers else None


def _find_blocks(numbers: Mapping[str, Array]) -> dict[int, Array]:
    """Return the free blocks of each order that has a column; TraceError where one between them is missing."""
    found = {
        order: numbers[name]
        for order in BUDDY_ORDERS
        if (name := block_column(order)) in numbers and not np.all(np.isnan(numbers[name]))
    }
    missing = [order for order in range(min(found, default=0), max(found, default=0)) if order not in found]
    if found and missing:
        raise TraceError(
            f"there is no column {block_column(missing[0])}, between others", hint="--columns free_N=NAME"
        )
    return found


def check_measured(file: TraceFile, columns: Mapping[str, str], measured: Measured) -> None:
    """Raise TraceError for the first value that can only be wrong, with its row and column."""
    total, resident = measured.total_bytes, measured.resident_bytes
    free_name = next((theirs for ours, theirs in columns.items() if ours.startswith("free")), "free")

    def refuse(wrong: NDArray[np.bool_], column: str, why: str) -> None:
        for row in np.flatnonzero(wrong)[:1].tolist():
            values = {name: format_bytes(getattr(measured, f"{name}_bytes")[row]) for name in _SHOWN}
            raise file.refuse(row, column, why.format(**values), _UNITS_HINT)

    refuse(
        np.abs(measured.t_s) > _LAST_TIME_S, columns["time"], "no time in seconds is as large: milliseconds?"
    )
    for name, sizes in (("total", total), ("resident", resident)):
        refuse(sizes > _MOST_BYTES, columns.get(name, name), "no host has as much memory")
    refuse(measured.free_bytes > total * _SKEW, free_name, "{free} are free in a guest of {total}")
    refuse(
        measured.reportable_bytes > total * _SKEW,
        free_name,
        "free blocks of {reportable} in a guest of {total}",
    )
    refuse(
        resident > total * _MOST_RESIDENT + _MOST_OVERHEAD_BYTES,
        columns["resident"],
        "{resident} on the host of a guest of {total}",
    )
    least = np.minimum(_LEAST_RESIDENT_BYTES, total * _LEAST_RESIDENT_SHARE)
    if not np.any(resident >= least):
        refuse(
            resident < least,
            columns["resident"],
            "never more than {resident} on the host of a guest of {total}",
        )
    _check_small(file, columns, measured)


_SHOWN = ("total", "resident", "free", "reportable")


def _check_small(file: TraceFile, columns: Mapping[str, str], measured: Measured) -> None:
    """Raise TraceError where blocks are mostly larger than all that is free: then "free" counts only the other pages."""
    both = ~np.isnan(measured.free_bytes) & ~np.isnan(measured.reportable_bytes)
    larger = both & (measured.reportable_bytes > measured.free_bytes * _SKEW)
    if 2 * np.count_nonzero(larger) > np.count_nonzero(both):
        name = columns.get("free") or columns.get("free_small") or "free"
        raise file.refuse(
            int(np.flatnonzero(larger)[0]),
            name,
            "less is free in all than in large blocks",
            "it counts all free memory, that in large blocks included",
        )

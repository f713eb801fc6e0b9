"""Traces of VMs from files and from stored runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.columns import match_columns
from freepage.forecast.errors import TraceError
from freepage.forecast.measured import GuestUnits, Measured, read_measured
from freepage.forecast.timeline import drop_repeats, find_gaps, find_restarts, order_rows
from freepage.forecast.trace import VmTrace
from freepage.forecast.trace_file import read_trace_file
from freepage.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from freepage.forecast.trace import Array
    from freepage.forecast.trace_file import TraceFile

# Where more rows than this share repeat a time with other values, several VMs stand in one file without their names.
_MOST_REPEATED = 0.1
# Without FPR, swap and balloons what the host holds does not fall: more than this share of it is told.
_TOLD_FALL = 0.1
_NAMES = ("namespace", "vm", "node")
_Key = tuple[str, str, str]


def read_traces(path: Path, columns: Mapping[str, str], units: GuestUnits | None = None) -> list[VmTrace]:
    """Read every VM of a CSV or Parquet file; `columns`: their names by ours, where they differ (columns.py).

    TraceError names the row and column of what can only be wrong. What is merely missing is a gap.
    """
    file = read_trace_file(path)
    matched = match_columns(list(file.cells), columns, str(path))
    measured = read_measured(file, matched, units or GuestUnits())
    groups = _group_rows(file, matched)
    return [_build(file, matched, measured.take(rows), rows, key) for key, rows in groups.items()]


def _group_rows(file: TraceFile, columns: Mapping[str, str]) -> dict[_Key, NDArray[np.intp]]:
    """Return the rows of each VM; a VM that moves to another node stays one."""
    texts = [file.read_texts(columns[n]) if n in columns else [""] * len(file) for n in _NAMES]
    found: dict[tuple[str, str], list[int]] = {}
    for row, (namespace, vm, _) in enumerate(zip(*texts, strict=True)):
        found.setdefault((namespace, vm), []).append(row)
    return {(*key, texts[2][rows[-1]]): np.array(rows, dtype=np.intp) for key, rows in found.items()}


def _build(
    file: TraceFile, columns: Mapping[str, str], measured: Measured, rows: NDArray[np.intp], key: _Key
) -> VmTrace:
    numbers = [file.rows[row] for row in rows.tolist()]
    line = order_rows(measured.t_s, numbers)
    _check_repeats(file, columns, measured.take(line.rows), line.t_s, rows[line.rows])
    line = drop_repeats(line)
    if not len(line.t_s):
        raise TraceError(f"{file.path} has no row with a time", hint="--columns time=NAME")
    namespace, vm, node = key
    name = "/".join(part for part in (namespace, vm) if part) or file.path.stem
    seen = measured.take(line.rows)
    return build_trace(
        name, Measured(line.t_s, *_bytes_of(seen)), line.breaks, (*file.notes, *line.notes), namespace, node
    )


def _bytes_of(seen: Measured) -> tuple[Array, Array, Array, Array, Array]:
    return (seen.resident_bytes, seen.total_bytes, seen.free_bytes, seen.reportable_bytes, seen.cached_bytes)


def _check_repeats(
    file: TraceFile, columns: Mapping[str, str], seen: Measured, t_s: Array, rows: NDArray[np.intp]
) -> None:
    """Raise TraceError where many rows have the time of another and other values: they are of several VMs."""
    same = np.flatnonzero(np.diff(t_s) == 0)
    first, second = seen.resident_bytes[same], seen.resident_bytes[same + 1]
    differ = same[(first != second) & ~(np.isnan(first) & np.isnan(second))]
    if len(differ) > max(1, _MOST_REPEATED * len(t_s)):
        raise file.refuse(
            int(rows[differ[0] + 1]),
            columns["time"],
            "many times come twice with different values: several VMs in one file",
            "--columns vm=NAME names the column that tells them apart",
        )


def build_trace(
    name: str,
    seen: Measured,
    breaks: Sequence[int] = (),
    notes: tuple[str, ...] = (),
    namespace: str = "",
    node: str = "",
    fpr_on: bool | None = None,
) -> VmTrace:
    """Return what was seen of one VM, in order of time, with the gaps that its times and its resident memory show.

    breaks: samples after which nothing is known for other reasons. With FPR on resident memory falls without a restart.
    """
    restarts = () if fpr_on else find_restarts(seen.resident_bytes)
    return VmTrace(
        name,
        seen.t_s,
        *_bytes_of(seen),
        namespace=namespace,
        node=node,
        fpr_on=fpr_on,
        gaps=tuple(sorted({*find_gaps(seen.t_s), *restarts, *breaks})),
        notes=(*notes, *_note_changes(seen, restarts, fpr_on=fpr_on)),
    )


def _note_changes(seen: Measured, restarts: Sequence[int], *, fpr_on: bool | None) -> list[str]:
    """Return what is worth knowing of a trace: restarts, memory that was given back already, a guest that was resized."""
    notes = []
    if restarts:
        at_s = ", ".join(f"{seen.t_s[index + 1] - seen.t_s[0]:.0f} s" for index in restarts[:3])
        more = f" and {len(restarts) - 3} more times" if len(restarts) > 3 else ""
        notes.append(
            f"resident memory falls to less than half at {at_s}{more}: taken as a restart or a migration"
        )
    fallen = _find_fall(seen.resident_bytes, restarts)
    if fpr_on is None and fallen > _TOLD_FALL * float(np.nanmax(seen.resident_bytes, initial=0.0)):
        notes.append(
            f"resident memory falls by {format_bytes(fallen)} while the VM runs: if FPR is on already, the forecast is of "
            "itself; if swap or a balloon took it, the forecast may lie above what is held now"
        )
    sizes = np.unique(seen.total_bytes[~np.isnan(seen.total_bytes)])
    if len(sizes) > 1:
        notes.append(
            f"the guest's memory changes between {format_bytes(sizes[0])} and {format_bytes(sizes[-1])}"
        )
    return notes


def _find_fall(resident_bytes: Array, restarts: Sequence[int]) -> float:
    """Return the bytes by which resident memory fell from highest to lowest after it, restarts apart."""
    parts = np.split(resident_bytes, [index + 1 for index in restarts])
    return max(
        (float(np.nanmax(np.fmax.accumulate(p) - p, initial=0.0)) for p in parts if len(p)), default=0.0
    )

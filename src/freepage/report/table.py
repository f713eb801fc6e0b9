"""Tables, for people and as CSV; the parts of the report build them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.report.numbers import show_basis, show_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.analysis.estimates import ArmEstimates, Quantity
    from freepage.analysis.results import Results
    from freepage.analysis.stats import Estimate


# What stands behind an estimate's value in a file of columns.
_PARTS = ("low", "high", "unit", "n", "method")


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, its interval and what it rests on below it, whether it is a number, and the estimate behind it."""

    text: str
    interval: str = ""
    numeric: bool = False
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Table:
    """One table; `note` says what its numbers mean."""

    id: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def build_arm_table(
    results: Results,
    id_: str,
    title: str,
    note: str,
    numbers: tuple[Quantity, ...],
    wanted: Callable[[ArmEstimates], bool] = lambda _: True,
) -> Table:
    """Return a table with a row for every arm of every experiment, where its estimates are `wanted`."""
    rows = tuple(
        (Cell(name), Cell(arm), *(estimate_cell(estimates[number]) for number in numbers))
        for name, experiment in results.experiments.items()
        for arm, estimates in experiment.arms.items()
        if wanted(estimates)
    )
    return Table(id_, title, note, ("experiment", "arm", *(number.heading for number in numbers)), rows)


def estimate_cell(estimate: Estimate | None) -> Cell:
    return Cell(show_value(estimate), show_basis(estimate), numeric=True, estimate=estimate)


def table_csv(table: Table) -> str:
    """Return a table as CSV for programs: an estimate as value, low, high, unit, n and method, unrounded."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    estimated = [any(row[n].estimate for row in table.rows) for n in range(len(table.columns))]
    names = zip(table.columns, estimated, strict=True)
    writer.writerow([part for name, wide in names for part in _csv_heads(name, wide=wide)])
    for row in table.rows:
        cells = zip(row, estimated, strict=True)
        writer.writerow([part for cell, wide in cells for part in _csv_parts(cell, wide=wide)])
    return stream.getvalue()


def _csv_heads(name: str, *, wide: bool) -> list[str]:
    return [name, *(f"{name} {part}" for part in _PARTS)] if wide else [name]


def _csv_parts(cell: Cell, *, wide: bool) -> list[object]:
    if not wide:
        return [cell.text]
    found = cell.estimate
    return (
        [None] * (1 + len(_PARTS))
        if found is None
        else [found.value, *(getattr(found, part) for part in _PARTS)]
    )

"""A file with traces as a table: CSV or Parquet, each cell as it stands there, each row with its number."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from freepage.forecast.trace import Array

Cell = str | float | None
MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "-"})
_DECIMAL_COMMA = re.compile(r"\s*-?[0-9]+,[0-9]+\s*")
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class TraceFile:
    """The cells of a file by column; rows: the number of each in the file (of CSV the line, the header is in line 1)."""

    path: Path
    rows: Sequence[int]
    cells: Mapping[str, Sequence[Cell]]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def refuse(self, index: int, column: str, why: str, hint: str | None = None) -> TraceError:
        """Return the error that a cell is; index: of the row here."""
        return TraceError(f"{self.path}, row {self.rows[index]}, column {column}: {why}", hint=hint)

    def read_texts(self, column: str) -> list[str]:
        """Return a column as texts, "" where there is none."""
        return ["" if cell is None else str(cell).strip() for cell in self.cells[column]]

    def read_numbers(self, column: str) -> Array:
        """Return a column of numbers that cannot be negative, NaN where one is missing; TraceError for what is none."""
        values = np.full(len(self), np.nan)
        for index, cell in enumerate(self.cells[column]):
            try:
                values[index] = _read_number(cell)
            except ValueError as error:
                raise self.refuse(index, column, f"{cell!r} is not a number") from error
        wrong = np.flatnonzero((values < 0) | np.isinf(values))
        if len(wrong):
            raise self.refuse(
                int(wrong[0]), column, f"{self.cells[column][wrong[0]]} is negative or infinite"
            )
        return values

    def read_times(self, column: str) -> Array:
        """Return a column of times in seconds: numbers as they are, ISO 8601 since 1970; NaN where one is missing."""
        values = np.full(len(self), np.nan)
        for index, cell in enumerate(self.cells[column]):
            try:
                values[index] = _read_time(cell)
            except ValueError as error:
                raise self.refuse(
                    index, column, f"{cell!r} is not a time", "seconds, or 2026-11-28T09:30:00Z"
                ) from error
        return values


def read_trace_file(path: Path) -> TraceFile:
    """Read a file with traces, by its ending; TraceError where it is missing, empty, torn or of another format."""
    try:
        if path.suffix.lower() == ".parquet":
            found = _read_parquet(path)
        elif path.suffix.lower() in {".csv", ".tsv", ".txt"}:
            found = _read_csv(path)
        else:
            raise TraceError(f"{path} ends with neither .csv nor .parquet")
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    if not len(found):
        raise TraceError(f"{path} has no rows")
    return found


def _read_csv(path: Path) -> TraceFile:
    text = _decode(path)
    if not text.strip():
        raise TraceError(f"{path} is empty")
    separator = _find_separator(path, text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header: list[str] = []
    rows: list[int] = []
    records: list[list[str]] = []
    try:
        for record in reader:
            if not any(cell.strip() for cell in record):
                continue
            if not header:
                header = _check_header(path, record)
                continue
            rows.append(reader.line_num)
            records.append(record)
    except csv.Error as error:
        raise TraceError(f"{path}, row {reader.line_num} is not CSV: {error}") from error
    notes = _drop_torn_end(path, text, len(header), rows, records)
    _check_lengths(path, len(header), rows, records)
    columns = zip(*records, strict=True) if records else [()] * len(header)
    cells = {
        name: _read_decimals(cells, separator) for name, cells in zip(header, columns, strict=True) if name
    }
    return TraceFile(path, rows, cells, notes)


def _decode(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 where its first bytes say so."""
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise TraceError(f"{path} is not text in UTF-8: byte {error.start} cannot be read") from error


def _find_separator(path: Path, text: str) -> str:
    """Return what stands between the cells of the first line that has any."""
    first = next((line for line in text.splitlines() if line.strip(_SEPARATORS + " ")), "")
    found = max(_SEPARATORS, key=first.count)
    if found not in first:
        raise TraceError(f"{path} is not CSV: its first line has a single column, {first[:60]!r}")
    return found


def _check_header(path: Path, record: Sequence[str]) -> list[str]:
    header = [cell.strip() for cell in record]
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice:
        raise TraceError(f"{path} has two columns {twice!r}")
    if all(_is_number(name) for name in header if name):
        raise TraceError(
            f"{path} has no header: its first line is numbers", hint="put the columns' names there"
        )
    return header


def _drop_torn_end(
    path: Path, text: str, width: int, rows: list[int], records: list[list[str]]
) -> tuple[str, ...]:
    """Take away a last row that was not written whole, and return what is said of it."""
    if not records or len(records[-1]) >= width or text.endswith(("\n", "\r")):
        return ()
    records.pop()
    return (f"{path.name}, row {rows.pop()}: the last row is not whole and is left out",)


def _check_lengths(path: Path, width: int, rows: Sequence[int], records: list[list[str]]) -> None:
    """Raise TraceError for a row with fewer cells than the header, or more that are not empty, which go."""
    for row, record in zip(rows, records, strict=True):
        if len(record) < width or any(cell.strip() for cell in record[width:]):
            raise TraceError(f"{path}, row {row}: {len(record)} cells, and the header has {width}")
        del record[width:]


def _read_decimals(cells: Sequence[str], separator: str) -> Sequence[str]:
    """Return cells with points for decimal commas, which only a file that is not separated by commas can have."""
    if separator == ",":
        return cells
    return [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]


def _read_parquet(path: Path) -> TraceFile:
    import polars as pl

    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise TraceError(f"{path} is not Parquet: {error}") from error
    times = pl.selectors.datetime()
    frame = frame.with_columns(times.dt.epoch("us") / 1e6)
    plain = frame.select(pl.selectors.numeric() | pl.selectors.string() | pl.selectors.categorical())
    cells = {series.name: series.to_list() for series in plain}
    return TraceFile(path, range(1, 1 + len(frame)), cells)


def _read_number(cell: Cell) -> float:
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING):
        return math.nan
    return float(cell)


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(_read_number(text))
    except ValueError:
        return False


def _read_time(cell: Cell) -> float:
    try:
        return _read_number(cell)
    except ValueError:
        found = datetime.fromisoformat(str(cell).strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()

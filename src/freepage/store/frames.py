"""The lines of a trial, samples and events, as data frames."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from freepage.errors import RunFolderError
from freepage.records import SAMPLER, EventLine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl


def read_sample_lines(path: Path) -> pl.DataFrame:
    """Read samples.jsonl as the long frame t_s, entity, metric, value; a torn last line is left out.

    The entity "sampler" carries the sampler's own lateness as late_s.
    """
    import polars as pl

    schema = {"t_s": pl.Float64, "entity": pl.String, "metric": pl.String, "value": pl.Float64}
    columns: dict[str, list[Any]] = {name: [] for name in schema}
    for line in _read_lines(path):
        for entity, values in _list_entities(line):
            columns["t_s"] += [line["t_s"]] * len(values)
            columns["entity"] += [entity] * len(values)
            columns["metric"] += values.keys()
            columns["value"] += values.values()
    return pl.DataFrame(columns, schema=schema)


def read_event_lines(path: Path) -> pl.DataFrame:
    """Read events.jsonl with one column per field of EventLine; a torn last line is left out."""
    import polars as pl

    types = {
        "float": pl.Float64,
        "int": pl.Int64,
        "str": pl.String,
        "bool": pl.Boolean,
        "str | None": pl.String,
        "int | None": pl.Int64,
    }
    schema = {f.name: types[str(f.type)] for f in fields(EventLine)}
    return pl.DataFrame(list(_read_lines(path)), schema=schema)


def _list_entities(line: dict[str, Any]) -> Iterator[tuple[str, dict[str, float | None]]]:
    yield SAMPLER, {"late_s": line["late_s"]}
    yield from line["values"].items()


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as stream:
        for number, text in enumerate(stream, 1):
            try:
                yield json.loads(text)
            except json.JSONDecodeError as error:
                if text.endswith("\n"):
                    raise RunFolderError(f"{path}, line {number} is not JSON: {error}") from error

"""A fleet read from its file; errors name the line, what is wrong there, and what was probably meant."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from freepage.forecast.fleet import Case, Fleet, FleetError, Replay, Window
from freepage.forecast.fleets.file import MODELS, FleetFile, NodeFile, TraceVmFile, UsingVmFile
from freepage.forecast.replay import read_trace_kind
from freepage.study.lines import find_line, guess
from freepage.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from freepage.forecast.fleet import VmKind
    from freepage.forecast.fleets.file import AnyVmFile

    Location = tuple[int | str, ...]

_RANGES = ("size", "hold", "idle")
_PARTS = ("min", "max", "step")


def read_fleet(path: Path) -> Fleet:
    """Return the fleet in a file; traces are taken as seen from it. FleetError says what is wrong, and on which line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FleetError(f"cannot read {path}: {error}") from error
    file = parse_fleet(text, str(path))
    places = (f"{path}, line {find_line(text, ('vm', n))}" for n in range(len(file.vm)))
    built = [_build_kind(vm, path.parent, where) for vm, where in zip(file.vm, places, strict=True)]
    kinds, notes = tuple(kind for kind, _ in built), tuple(note for _, own in built for note in own)
    start_s = round(file.uptime)
    window = Window(start_s, start_s + max(1, round(file.hours * 3600)))
    nodes = tuple(node.build() for node in file.node)
    return Fleet(file.title or path.stem, kinds, nodes, window, file.seed, notes)


def _build_kind(vm: AnyVmFile, home: Path, where: str) -> tuple[VmKind, tuple[str, ...]]:
    if not isinstance(vm, TraceVmFile):
        return vm.build(), ()
    kind, notes = read_trace_kind(home / vm.trace, vm.columns, vm.name, vm.overhead, vm.count, vm.memory)
    used = float(np.max(kind.demand.levels.get(Case.IDEAL, 0.0))) if isinstance(kind.demand, Replay) else 0.0
    if used > vm.memory:
        needed, memory = format_bytes(used), format_bytes(vm.memory)
        raise FleetError(f"{where}: its trace uses up to {needed}; the guest has {memory}")
    return replace(kind, memory_bytes=vm.memory), notes


def parse_fleet(text: str, source: str) -> FleetFile:
    """Return what a fleet's text says; FleetError names `source` and the line."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FleetError(f"{source} is not TOML: {error}") from error
    try:
        return FleetFile.model_validate(content)
    except ValidationError as error:
        raise _explain(error.errors(), content, text, source) from error


def _explain(errors: list[ErrorDetails], content: Mapping[str, Any], text: str, source: str) -> FleetError:
    """Return the error to show: of the first table that has one, a mistyped key before a missing one."""
    error = min(errors, key=lambda e: (e["loc"][:2] != errors[0]["loc"][:2], e["type"] != "extra_forbidden"))
    location = _find_location(error["loc"])
    line = find_line(text, location)
    where = f"{source}, line {line}" if line else source
    key = location[-1] if location and isinstance(location[-1], str) else ""
    if error["type"] == "extra_forbidden":
        keys = _list_keys(location, content)
        return FleetError(f"{where}: unknown key {key!r}", hint=guess(key, keys))
    if error["type"] == "missing":
        return FleetError(f"{where}: {str(error['loc'][-1])!r} is missing")
    if error["type"].startswith("union_tag"):
        return FleetError(f"{where}: each [[vm]] needs a kind: {', '.join(map(repr, MODELS))}")
    message = error["msg"].removeprefix("Value error, ")
    shown = f" = {error['input']!r}" if isinstance(error["input"], str | int | float) else ""
    return FleetError(f"{where}: {key}{shown}: {message}" if key else f"{where}: {message}")


def _find_location(loc: Location) -> Location:
    """Return where the text has what pydantic found at `loc`: without the kind of a VM and the parts of ranges."""
    location = loc[:2] + loc[3:] if loc[:1] == ("vm",) and len(loc) > 2 else loc
    return (
        location[:-1]
        if location[-1:] and location[-1] in _PARTS and location[-2:-1] and location[-2] in _RANGES
        else location
    )


def _list_keys(location: Location, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the table that a key is in."""
    tables: dict[str, type[BaseModel]] = {"vm": UsingVmFile, "node": NodeFile}
    model = tables.get(str(location[0]), FleetFile)
    if location[0] == "vm" and len(location) > 1:
        model = MODELS[content["vm"][location[1]]["kind"]]
    return tuple(model.model_fields) if len(location) > 1 else tuple(FleetFile.model_fields)

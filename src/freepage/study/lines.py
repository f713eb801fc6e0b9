"""Errors of a study file in a person's words: the line, what is wrong there, and what was probably meant."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freepage.errors import StudyError
from freepage.kinds import KINDS
from freepage.study.file import EXPERIMENT_KEYS, ExperimentFile, FitFile, StudyFile
from freepage.study.group_file import GROUP_MODELS, CyclicGroupFile, DrawnGroupFile, find_model_name
from freepage.study.values import DurationRange, SizeRange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

# Where something stands in a study: keys of tables and indices of lists, from the top.
Location = tuple[int | str, ...]
_HEADER = re.compile(r"\s*\[+[^\[\]=,]+\]+\s*(#.*)?$")
# The keys whose values are ranges, which a person may also write as a table of min, max and step.
RANGES = frozenset(
    name
    for model in GROUP_MODELS.values()
    for name, field in model.model_fields.items()
    if field.annotation in {SizeRange, DurationRange}
)
# The key that bounds a workload of memory, by the model of its group.
_BOUNDS: dict[type[BaseModel], str] = {CyclicGroupFile: "iterations", DrawnGroupFile: "duration"}


@dataclass(frozen=True)
class _Table:
    """One table of a study file: its model, the keys it can have, and the kind it names ("" for none)."""

    model: type[BaseModel]
    keys: tuple[str, ...]
    kind: str = ""


def explain(errors: list[ErrorDetails], content: dict[str, Any], text: str, source: str) -> StudyError:
    """Return the error to show of those that pydantic found in `content`, which was read from `text`."""
    error = min((e for e in errors if not _is_consequence(e, errors)), key=_rank)
    location = _find_location(error["loc"], content)
    line = find_line(text, location)
    where = f"{source}, line {line}" if line else source
    if error["type"] == "extra_forbidden":
        return _explain_key(location, content, where)
    if error["type"] == "missing" and _is_part_of_range(error["loc"]):
        return StudyError(f"{where}: {location[-1]} as a table needs {str(error['loc'][-1])!r} too")
    if error["type"] == "missing":
        return StudyError(f"{where}: {_describe_missing(location, content)}")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "tuple_type":
        message = "write it as a list, such as ['one', 'two']"
    if not location or not isinstance(location[-1], str):
        return StudyError(f"{where}: {message}")
    shown = f" = {error['input']!r}" if isinstance(error["input"], str | int | float) else ""
    return StudyError(f"{where}: {location[-1]}{shown}: {message}")


def _is_consequence(error: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """Return whether it is of a whole that has errors within: a list counts only what is right in it."""
    loc = error["loc"]
    return any(len(e["loc"]) > len(loc) and e["loc"][: len(loc)] == loc for e in errors)


def _rank(error: ErrorDetails) -> tuple[Location, bool, bool]:
    """Return the order of errors: table by table; in each a wrong kind makes others, and a mistyped key a missing one."""
    loc = error["loc"]
    table = loc[1:2] if loc[:1] == ("experiment",) else ()
    table += loc[3:4] if table and loc[2:3] == ("group",) else ()
    return table, loc[-1:] != ("kind",), error["type"] != "extra_forbidden"


def _is_part_of_range(loc: Location) -> bool:
    return len(loc) > 1 and loc[-1] in SizeRange.model_fields and loc[-2] in RANGES


def _find_location(loc: Location, content: dict[str, Any]) -> Location:
    """Return where the text has what pydantic found at `loc`: without the names of models and the parts of ranges."""
    location = loc[:-1] if _is_part_of_range(loc) else loc
    if location[:1] != ("experiment",) or location[2:3] != ("group",) or len(location) < 5:
        return location
    written = "group" in content["experiment"][location[1]]
    return location[:2] + (location[2:4] if written else ()) + location[5:]


def _find_table(location: Location, content: dict[str, Any]) -> _Table:
    """Return the table that `location` is a key of."""
    if location[0] != "experiment" or len(location) < 3:
        model: type[BaseModel] = FitFile if location[0] == "fit" and len(location) > 1 else StudyFile
        return _Table(model, _keys_of(model))
    experiment = content["experiment"][location[1]]
    name, own = experiment.get("kind"), (*EXPERIMENT_KEYS, "group")
    if location[2] == "group" and len(location) > 4:
        group = experiment["group"][location[3]]
        model = GROUP_MODELS[find_model_name(group)]
        return _Table(model, _keys_of(model), str(group.get("kind")))
    kind = KINDS.get(name) if isinstance(name, str) else None
    if "group" in experiment or kind is None or kind.workload is None:
        return _Table(ExperimentFile, own, str(name))
    model = GROUP_MODELS[find_model_name({"kind": kind.workload.name})]
    return _Table(model, tuple(dict.fromkeys((*_keys_of(model), *own))), kind.name)


def _keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _explain_key(location: Location, content: dict[str, Any], where: str) -> StudyError:
    """Return the error of a key that its table cannot have: another kind has it, or nobody."""
    table, key = _find_table(location, content), str(location[-1])
    if len(location) > 1 and location[-2] in RANGES:
        return StudyError(f"{where}: unknown key {key!r}", hint=guess(key, _keys_of(SizeRange)))
    if not table.kind or not any(key in _keys_of(model) for model in GROUP_MODELS.values()):
        return StudyError(f"{where}: unknown key {key!r}", hint=guess(key, table.keys))
    if table.model is ExperimentFile:
        why = " beside groups; an [[experiment.group]] may have it"
    else:
        bound = _BOUNDS.get(table.model)
        why = f"; it is bounded by '{bound}'" if bound and key in _BOUNDS.values() else ""
    return StudyError(f"{where}: kind '{table.kind}' has no '{key}'{why}")


def guess(key: str, known: Iterable[str]) -> str:
    """Return what was probably meant by a key, else all that there are."""
    close = difflib.get_close_matches(key, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"


def _describe_missing(location: Location, content: dict[str, Any]) -> str:
    key = str(location[-1])
    if location[0] != "experiment" or len(location) < 3:
        return f"{key!r} is missing"
    if key == "kind":
        return f"{key!r} is missing in experiment {int(location[1]) + 1}"
    return f"kind '{_find_table(location, content).kind}' needs '{key}'"


def find_line(text: str, location: Location) -> int | None:
    """Return the line (from 1) that a location in a TOML text points at; None if it stands nowhere.

    For a key that its table does not have it is the table's first line.
    """
    lines = text.splitlines()
    header, rest = _find_header(lines, location)
    first = 0 if header is None else header + 1
    fallback = None if header is None else header + 1
    if not rest:
        return fallback
    end = next((n for n in range(first, len(lines)) if _HEADER.match(lines[n])), len(lines))
    key = re.compile(rf"\s*[\"']?{re.escape(str(rest[0]))}[\"']?\s*=")
    return next((n + 1 for n in range(first, end) if key.match(lines[n])), fallback)


def _find_header(lines: list[str], location: Location) -> tuple[int | None, Location]:
    """Return the index of the line that begins the innermost table of a location, and the location within it."""
    header, path, rest = None, "", location
    while rest:
        path = rf"{path}\s*\.\s*{re.escape(str(rest[0]))}" if path else re.escape(str(rest[0]))
        number = rest[1] if len(rest) > 1 and isinstance(rest[1], int) else None
        brackets = (r"\[\[", r"\]\]") if number is not None else (r"\[", r"\]")
        pattern = re.compile(rf"\s*{brackets[0]}\s*{path}\s*{brackets[1]}")
        found = _find_nth(lines, pattern, number or 0, header or 0)
        if found is None:
            return header, rest
        header, rest = found, rest[1 if number is None else 2 :]
    return header, rest


def _find_nth(lines: list[str], pattern: re.Pattern[str], count: int, start: int) -> int | None:
    found = [n for n in range(start, len(lines)) if pattern.match(lines[n])]
    return found[count] if count < len(found) else None

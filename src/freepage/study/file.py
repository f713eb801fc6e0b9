"""What a study file may say, and errors that name the line and what was meant."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from freepage.errors import StudyError
from freepage.records import CARRIERS, Arm, VerdictRule
from freepage.units import parse_duration, parse_size

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Operation = Literal["read", "randread", "write", "randwrite"]

# Kinds whose processes all do the same at the same times, a number of times; the others draw, for a duration.
CYCLIC = ("cycle", "burst")
MEMORY = (*CYCLIC, "random", "churn")
OPERATIONS: tuple[Operation, ...] = ("read", "randread", "write", "randwrite")
_COMMON = {"kind", "name", "carrier", "instances", "cpus", "vm_memory", "after"}
_MEMORY_KEYS = {"processes", "size", "hold", "idle", "scan", "stride", "barriers"}
_KEYS = {
    "cycle": _MEMORY_KEYS | {"slot", "iterations"},
    "burst": _MEMORY_KEYS | {"slot", "iterations"},
    "random": _MEMORY_KEYS | {"duration", "start"},
    "churn": _MEMORY_KEYS | {"duration", "start"},
    "fio": {"file", "streams", "operations", "runtime", "filesystem"},
    "command": {"command", "folder", "programs", "data", "filesystem", "timeout", "period", "iterations"},
}
_NEEDED = {
    "cycle": ("size", "hold", "idle", "iterations"),
    "burst": ("size", "hold", "idle", "iterations"),
    "random": ("size", "hold", "idle", "duration"),
    "churn": ("size", "hold", "idle", "duration"),
    "fio": ("file", "runtime"),
    "command": ("command",),
}
THRESHOLDS = tuple(field.name for field in fields(VerdictRule))
_EXPERIMENT_KEYS = {"kind", "name", "title", "repeats", "arms"}


class Share(float):
    """A size given as a share of the node's memory: 0.25 for "25%"."""

    __slots__ = ()


def _read_size(value: object) -> object:
    if isinstance(value, str) and value.strip().endswith("%"):
        share = float(value.strip()[:-1]) / 100
        if not 0 < share <= 1:
            raise ValueError(f"{value!r} is no share of the node between 0% and 100%")
        return Share(share)
    if isinstance(value, str):
        return parse_size(value)
    raise ValueError(f"{value!r} is not a size: write it as text with its unit, such as '512MiB' or '25%'")


def _read_duration(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{value!r} is not a duration: write it as text with its unit, such as '90s'")


def _split_range(value: object) -> object:
    """Take 'min,max,step', a table with those keys, or one value for all three."""
    if isinstance(value, dict):
        return value
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
    if len(parts) not in {1, 3}:
        raise ValueError(f"{value!r} is neither one value nor 'min,max,step'")
    return dict(zip(("min", "max", "step"), parts * (3 // len(parts)), strict=True))


def _read_file_size(value: object) -> object:
    return value if value == "auto" else _read_size(value)


def _check_arm(value: Arm) -> Arm:
    if value not in CARRIERS:
        raise ValueError(f"{str(value)!r} is no arm of a study: {', '.join(CARRIERS)}")
    return value


Size = Annotated[int | Share, BeforeValidator(_read_size)]
SizeOrAuto = Annotated[int | Share | Literal["auto"], BeforeValidator(_read_file_size)]
StudyArm = Annotated[Arm, AfterValidator(_check_arm)]
Duration = Annotated[float, BeforeValidator(_read_duration), Field(ge=0)]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)


class SizeRange(BaseModel):
    model_config = _STRICT
    min: Size
    max: Size
    step: Size

    @model_validator(mode="after")
    def _check_order(self) -> SizeRange:
        if isinstance(self.min, Share) == isinstance(self.max, Share) and self.min > self.max:
            raise ValueError("the range's min is greater than its max")
        if not min(self.min, self.max, self.step) > 0:
            raise ValueError("a size must be greater than 0")
        return self


class DurationRange(BaseModel):
    model_config = _STRICT
    min: Duration
    max: Duration
    step: Duration

    @model_validator(mode="after")
    def _check_order(self) -> DurationRange:
        if self.min > self.max:
            raise ValueError("the range's min is greater than its max")
        return self


SizeRangeText = Annotated[SizeRange, BeforeValidator(_split_range)]
DurationRangeText = Annotated[DurationRange, BeforeValidator(_split_range)]


class GroupFile(BaseModel):
    """Instances of one kind, as a person writes them, at the size of the original."""

    model_config = _STRICT
    kind: Literal["cycle", "burst", "random", "churn", "fio", "command"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = ""
    carrier: Literal["arm", "pod", "vm", "vm-fpr"] = "arm"
    instances: Annotated[int, Field(ge=1, le=1000)] = 1
    processes: Annotated[int, Field(ge=1, le=256)] = 1
    cpus: Annotated[int, Field(ge=1, le=512)] = 1
    vm_memory: Size | None = None
    after: Duration = 0.0
    # memory
    size: SizeRangeText | None = None
    hold: DurationRangeText | None = None
    idle: DurationRangeText | None = None
    slot: Duration | None = None
    iterations: Annotated[int, Field(ge=1, le=10_000)] | None = None
    duration: Duration | None = None
    start: Literal["duty-cycle", "held", "idle"] | Annotated[float, Field(ge=0, le=1)] = "duty-cycle"
    scan: Literal["once", "sequential", "random"] = "once"
    stride: Size = 4096
    barriers: bool = False
    # fio
    file: SizeOrAuto | None = None
    streams: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)] = (1,)
    operations: Annotated[tuple[Operation, ...], Field(min_length=1)] = OPERATIONS
    runtime: Duration | None = None
    # programs
    filesystem: Literal["ext4", "xfs"] | None = None
    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    folder: str | None = None
    programs: tuple[str, ...] = ()
    data: Size | None = None
    timeout: Duration = 60.0
    period: Duration | None = None

    @property
    def workload(self) -> str:
        """The registry's name of what the instances do."""
        return {"guest-io": "fio"}.get(self.kind, self.kind)

    @model_validator(mode="after")
    def _check(self) -> GroupFile:
        _check_group(self)
        return self


class ExperimentFile(GroupFile):
    """One [[experiment]]: either one group of instances, whose keys stand here, or several [[experiment.group]]."""

    kind: Literal["cycle", "burst", "random", "churn", "guest-io", "host-io", "command"]  # type: ignore[assignment]
    title: str = ""
    repeats: Annotated[int, Field(ge=1, le=1000)] | None = None
    arms: Annotated[tuple[StudyArm, ...], Field(min_length=1)] | None = None
    node_memory: Size | None = None
    group: tuple[GroupFile, ...] = ()

    @property
    def groups(self) -> tuple[GroupFile, ...]:
        return self.group or (self,)

    @model_validator(mode="after")
    def _check(self) -> ExperimentFile:
        if self.group:
            _check_groups(self)
        elif self.kind != "host-io":
            _check_group(self)
        if self.kind == "host-io":
            _check_host_io(self)
        elif any(g.file == "auto" for g in self.groups):
            raise ValueError("file = \"auto\" needs kind 'host-io', which knows what VMs leave of the node")
        if all(g.carrier != "arm" for g in self.groups):
            raise ValueError("no instance follows the arm, so all arms would be alike; leave out the carrier")
        return self


def _check_group(file: GroupFile) -> None:
    """Raise ValueError when a key is missing, or is one that only other kinds have."""
    known = _COMMON | _KEYS[file.workload] | _EXPERIMENT_KEYS
    stray = sorted(file.model_fields_set - known)
    if stray:
        raise ValueError(f"kind '{file.kind}' has no '{stray[0]}'{_instead(file.kind, stray[0])}")
    for key in _NEEDED[file.workload]:
        if getattr(file, key) is None:
            raise ValueError(f"kind '{file.kind}' needs '{key}'")
    if file.size is not None and file.hold is not None and file.idle is not None:
        _check_memory(file.kind, file.size, file.hold, file.idle)


def _check_memory(kind: str, size: SizeRange, hold: DurationRange, idle: DurationRange) -> None:
    if hold.min + idle.min <= 0:
        raise ValueError("hold and idle cannot both be 0")
    if kind in CYCLIC and (size.min, hold.min, idle.min) != (size.max, hold.max, idle.max):
        raise ValueError(f"kind '{kind}' repeats one size, hold and idle; for ranges use kind 'random'")


def _check_groups(file: ExperimentFile) -> None:
    """Raise ValueError when groups cannot be told apart, or do not fit the experiment's kind."""
    known = _EXPERIMENT_KEYS | {"group"} | ({"node_memory"} if file.kind == "host-io" else set())
    stray = sorted(file.model_fields_set - known)
    if stray:
        raise ValueError(
            f"kind '{file.kind}' has no '{stray[0]}' beside groups; an [[experiment.group]] may have it"
        )
    names = [name_of(g) for g in file.group]
    if len(set(names)) < len(names):
        raise ValueError("two groups have the same name; give one of them another name")
    if file.kind != "host-io" and file.workload not in {g.kind for g in file.group}:
        raise ValueError(f"kind '{file.kind}' needs an [[experiment.group]] of kind '{file.workload}'")


def _check_host_io(file: ExperimentFile) -> None:
    if not any(g.kind in MEMORY and g.carrier == "arm" for g in file.group):
        raise ValueError(
            "kind 'host-io' needs an [[experiment.group]] that uses memory on the arm (kind 'random')"
        )
    if [g.carrier for g in file.group if g.kind == "fio"] != ["pod"]:
        raise ValueError("kind 'host-io' needs one [[experiment.group]] of kind 'fio', with carrier = 'pod'")


def _check_thresholds(value: dict[str, float]) -> dict[str, float]:
    """Raise ValueError for a threshold that the rule has not: mistyped, it would silently leave the default in force."""
    stray = next((key for key in value if key not in THRESHOLDS), None)
    if stray is not None:
        close = difflib.get_close_matches(stray, THRESHOLDS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(THRESHOLDS)}"
        raise ValueError(f"there is no threshold {stray!r}; {hint}")
    return value


class FitFile(BaseModel):
    """What the default scale has to fit into: a share of the available memory, and a duration (under KVM another)."""

    model_config = _STRICT
    memory: Size = Share(0.6)
    duration: Duration = 900.0
    duration_kvm: Duration | None = None


class StudyFile(BaseModel):
    """A whole study file."""

    model_config = _STRICT
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
    title: str = ""
    seed: int = 1
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    arms: Annotated[tuple[StudyArm, ...], Field(min_length=1)] = CARRIERS
    interval: Annotated[float, BeforeValidator(_read_duration), Field(ge=0.1, le=60)] = 1.0
    scale: Annotated[float, Field(gt=0, le=100)] | None = None
    fit: FitFile = FitFile()
    verdict: Annotated[dict[str, Threshold], AfterValidator(_check_thresholds)] = {}
    experiment: Annotated[tuple[ExperimentFile, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_names(self) -> StudyFile:
        names = [name_of(e) for e in self.experiment]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice:
            raise ValueError(f"two experiments are called {twice!r}; give one of them another name")
        if len(set(self.arms)) != len(self.arms):
            raise ValueError("an arm is named twice")
        return self


def name_of(experiment: GroupFile) -> str:
    return experiment.name or experiment.kind


def _instead(kind: str, key: str) -> str:
    """Say what bounds a kind that has not the key it was given."""
    if key not in {"iterations", "duration"} or kind not in MEMORY:
        return ""
    return f"; it is bounded by '{'iterations' if kind in CYCLIC else 'duration'}'"


def parse_study(text: str, source: str, overrides: tuple[str, ...] = ()) -> StudyFile:
    """Read a study from TOML text; `overrides` are "key=value" or "experiment.key=value".

    Raises StudyError that names `source`, the line, what is wrong and what was meant.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{source} is not TOML: {error}") from error
    for override in overrides:
        _apply_override(content, override)
    try:
        return StudyFile.model_validate(content)
    except ValidationError as error:
        raise _explain(error.errors()[0], text, source) from error


def _apply_override(content: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals:
        raise StudyError(
            f"--set {override} has no '='", hint="write --set key=value, such as --set cycle.hold=30s"
        )
    table: dict[str, Any] = content
    *parents, key = path.strip().split(".")
    for name in parents:
        table = _find_table(table, name, override)
    table[key] = _read_value(value.strip())


def _find_table(content: dict[str, Any], name: str, override: str) -> dict[str, Any]:
    inner = content.get("experiment") or content.get("group") or []
    experiments = {e.get("name") or e.get("kind", ""): e for e in inner}
    if name in experiments:
        return dict_of(experiments[name])
    if name in {"fit", "verdict"}:
        return dict_of(content.setdefault(name, {}))
    known = [*experiments, "fit", "verdict"]
    raise StudyError(f"--set {override}: there is no {name!r}", hint=f"there are: {', '.join(known)}")


def dict_of(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StudyError(f"{value!r} is not a table")
    return value


def _read_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ErrorDetails, text: str, source: str) -> StudyError:
    location = [part for part in error["loc"] if part not in {"min", "max", "step"}]
    where = find_line(text, location)
    place = f"{source}, line {where}" if where else source
    key = str(location[-1]) if location else "the study"
    if error["type"] == "extra_forbidden":
        return StudyError(f"{place}: unknown key {key!r}", hint=_guess(key, location))
    if error["type"] == "missing":
        return StudyError(f"{place}: {key!r} is missing{_table_of(location)}")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "tuple_type":
        message = "write it as a list, such as ['one', 'two']"
    shown = f" = {error['input']!r}" if isinstance(error["input"], str | int | float) else ""
    named = location and isinstance(location[-1], str)
    return StudyError(f"{place}: {key}{shown}: {message}" if named else f"{place}: {message}")


def _table_of(location: list[int | str]) -> str:
    return (
        f" in experiment {int(location[1]) + 1}" if location[0] == "experiment" and len(location) > 1 else ""
    )


def _guess(key: str, location: list[int | str]) -> str:
    model: type[BaseModel] = ExperimentFile if location[0] == "experiment" else StudyFile
    if "group" in location[:-1]:
        model = GroupFile
    if location[0] == "fit":
        model = FitFile
    known = list(model.model_fields)
    close = difflib.get_close_matches(key, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"


def find_line(text: str, location: list[int | str]) -> int | None:
    """Find the line (from 1) that an error's location in a TOML text points at; None if it stands nowhere."""
    lines = text.splitlines()
    start = 0
    rest = location
    if len(location) >= 2 and location[0] == "experiment" and isinstance(location[1], int):
        tables = [n for n, line in enumerate(lines) if re.match(r"\s*\[\[\s*experiment\s*\]\]", line)]
        start = tables[location[1]] if location[1] < len(tables) else 0
        rest = location[2:]
        if len(rest) >= 2 and rest[0] == "group" and isinstance(rest[1], int):
            inner = re.compile(r"\s*\[\[\s*experiment\s*\.\s*group\s*\]\]")
            groups = [n for n in range(start, len(lines)) if inner.match(lines[n])]
            start = groups[rest[1]] if rest[1] < len(groups) else start
            rest = rest[2:]
    elif location and location[0] in {"fit", "verdict"}:
        start = next((n for n, line in enumerate(lines) if re.match(rf"\s*\[{location[0]}\]", line)), 0)
        rest = location[1:]
    if not rest:
        return start + 1 if start else None
    pattern = re.compile(rf"\s*[\"']?{re.escape(str(rest[0]))}[\"']?\s*=")
    return next(
        (n + 1 for n in range(start, len(lines)) if pattern.match(lines[n])), start + 1 if start else None
    )

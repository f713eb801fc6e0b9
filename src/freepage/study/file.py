"""The study file: its experiments, each made of groups (study/group_file.py), and the budget it has to fit into."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from freepage.kinds import KINDS, WORKLOADS, Activity, Kind
from freepage.records import CARRIERS, Arm, VerdictRule
from freepage.study.group_file import AnyGroupFile, FioGroupFile, MemoryGroupFile
from freepage.study.repeats import ENOUGH_REPEATS
from freepage.study.values import STRICT, Duration, Share, Size, read_duration

THRESHOLDS = tuple(field.name for field in fields(VerdictRule) if field.name != "headline")
EXPERIMENT_KEYS = ("kind", "name", "title", "repeats", "arms", "node_memory")
# Points are called by it and their place, and so are their instances.
LONGEST_NAME_OF_MAP = 12


def _find_kind(value: object) -> object:
    if isinstance(value, str) and value in KINDS:
        return KINDS[value]
    raise ValueError(f"it must be one of {', '.join(map(repr, KINDS))}")


def _check_arm(value: Arm) -> Arm:
    if value not in CARRIERS:
        raise ValueError(f"{str(value)!r} is no arm of a study: {', '.join(CARRIERS)}")
    return value


def _check_thresholds(value: dict[str, float]) -> dict[str, float]:
    """Raise ValueError for a threshold that the rule has not: mistyped, it would silently leave the default in force."""
    stray = next((key for key in value if key not in THRESHOLDS), None)
    if stray is not None:
        close = difflib.get_close_matches(stray, THRESHOLDS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(THRESHOLDS)}"
        raise ValueError(f"there is no threshold {stray!r}; {hint}")
    return value


StudyArm = Annotated[Arm, AfterValidator(_check_arm)]
StudyArms = Annotated[tuple[StudyArm, ...], Field(min_length=1)]
Repeats = Annotated[int, Field(ge=1, le=1000)]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ExperimentFile(BaseModel):
    """One [[experiment]] and its groups: several [[experiment.group]], or one without a name whose keys stand in it."""

    model_config = STRICT
    kind: Annotated[Kind, BeforeValidator(_find_kind)]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    title: str = ""
    repeats: Repeats | None = None
    arms: StudyArms | None = None
    node_memory: Size | None = None
    groups: tuple[AnyGroupFile, ...] = Field(alias="group", default=())

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, content: Any) -> Any:
        return complete_experiment(content) if isinstance(content, dict) else content

    @model_validator(mode="after")
    def _check(self) -> ExperimentFile:
        _check_groups(self)
        if all(not g.follows_arm for g in self.groups):
            raise ValueError("no instance follows the arm, so all arms would be alike; leave out the carrier")
        return self


def complete_experiment(content: dict[str, Any]) -> dict[str, Any]:
    """Return an experiment's content with all its groups in `group`, its own keys for one among them, and every name."""
    named = {"name": content.get("kind")} | content
    if "group" in content:
        return named | {"group": _name_groups(content["group"])}
    name = content.get("kind")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None or kind.workload is None:
        return named
    own = {key: value for key, value in content.items() if key not in EXPERIMENT_KEYS}
    kept = {key: value for key, value in named.items() if key in EXPERIMENT_KEYS}
    return kept | {"group": [own | {"kind": kind.workload.name}]}


def _name_groups(groups: Any) -> Any:
    if not isinstance(groups, list):
        return groups
    return [{"name": g.get("kind")} | g if isinstance(g, dict) else g for g in groups]


def _check_groups(file: ExperimentFile) -> None:
    """Raise ValueError when groups cannot be told apart, or do not fit the experiment's kind."""
    kind, names = file.kind, [g.name for g in file.groups]
    if len(set(names)) < len(names):
        raise ValueError("two groups have the same name; give one of them another name")
    if any(g.workload.grid for g in file.groups):
        _check_map(file)
    if kind.shares_node:
        return _check_shared_node(kind, file.groups)
    if kind.workload is not None and kind.workload not in {g.workload for g in file.groups}:
        raise ValueError(f"kind '{kind.name}' needs an [[experiment.group]] of kind '{kind.workload.name}'")
    if file.node_memory is not None:
        raise ValueError(f"kind '{kind.name}' has no 'node_memory'")
    if any(isinstance(g, FioGroupFile) and g.file == "auto" for g in file.groups):
        sharing = [k.name for k in KINDS.values() if k.shares_node]
        raise ValueError(f'file = "auto" needs kind {_join(sharing)}, which knows what VMs leave of the node')
    return None


def _check_map(file: ExperimentFile) -> None:
    """Raise ValueError for a map beside other groups, and for one whose points would have names that are too long."""
    if len(file.groups) > 1:
        raise ValueError("a map is an experiment of its own; put other groups into another [[experiment]]")
    if len(file.name) > LONGEST_NAME_OF_MAP:
        raise ValueError(
            f"the name {file.name!r} is too long for a map, whose points are called by it: at most {LONGEST_NAME_OF_MAP} letters"
        )


def _check_shared_node(kind: Kind, groups: tuple[AnyGroupFile, ...]) -> None:
    """Raise ValueError unless there is memory used on the arm, and one fio in a pod."""
    if not any(isinstance(g, MemoryGroupFile) and g.follows_arm for g in groups):
        memory = [w.name for w in WORKLOADS.values() if w.uses_memory]
        raise ValueError(
            f"kind '{kind.name}' needs an [[experiment.group]] that uses memory on the arm (kind {_join(memory)})"
        )
    if [g.carrier for g in groups if isinstance(g, FioGroupFile)] != ["pod"]:
        fio = [w.name for w in WORKLOADS.values() if w.activity is Activity.FIO]
        raise ValueError(
            f"kind '{kind.name}' needs one [[experiment.group]] of kind {_join(fio)}, with carrier = 'pod'"
        )


def _join(names: list[str]) -> str:
    return " or ".join(map(repr, names))


class FitFile(BaseModel):
    """The memory and time that a run may take where nothing else is said: a share of the available memory, and time.

    time_kvm: the time under KVM. time_at_scale: that of a run whose scale is given, into which its repeats are fitted (None: all).
    """

    model_config = STRICT
    memory: Size = Share(0.75)
    time: Duration = 900.0
    time_kvm: Duration | None = None
    time_at_scale: Duration | None = None


class StudyFile(BaseModel):
    """A whole study file."""

    model_config = STRICT
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
    title: str = ""
    seed: int = 1
    repeats: Repeats = ENOUGH_REPEATS
    arms: StudyArms = CARRIERS
    interval: Annotated[float, BeforeValidator(read_duration), Field(ge=0.1, le=60)] = 1.0
    scale: Annotated[float, Field(gt=0, le=100)] | None = None
    fit: FitFile = FitFile()
    verdict: Annotated[dict[str, Threshold], AfterValidator(_check_thresholds)] = {}
    verdict_headline: str = ""
    experiment: Annotated[tuple[ExperimentFile, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _part_headline(cls, content: Any) -> Any:
        """Part the name of the headline from the thresholds it stands among."""
        if isinstance(content, dict) and "verdict_headline" in content:
            raise ValueError("unknown key 'verdict_headline'; the headline's name is `headline` in [verdict]")
        verdict = content.get("verdict") if isinstance(content, dict) else None
        if not isinstance(verdict, dict) or "headline" not in verdict:
            return content
        if not isinstance(verdict["headline"], str):
            raise ValueError(f"headline = {verdict['headline']!r} in [verdict] is no experiment's name")  # noqa: TRY004 - of pydantic's own
        thresholds = {key: value for key, value in verdict.items() if key != "headline"}
        return content | {"verdict": thresholds, "verdict_headline": verdict["headline"]}

    @model_validator(mode="after")
    def _check_headline(self) -> StudyFile:
        names = [e.name for e in self.experiment]
        if self.verdict_headline and self.verdict_headline not in names:
            raise ValueError(
                f"the verdict's headline is {self.verdict_headline!r}, which is no experiment: {', '.join(names)}"
            )
        return self

    @model_validator(mode="after")
    def _check_names(self) -> StudyFile:
        names = [e.name for e in self.experiment]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice:
            raise ValueError(f"two experiments are called {twice!r}; give one of them another name")
        if len(set(self.arms)) != len(self.arms):
            raise ValueError("an arm is named twice")
        return self

"""What a person asks for: a study of one or more experiments, at the scale it will run at."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.errors import StudyError
from freepage.study.file import StudyFile, name_of, parse_study

if TYPE_CHECKING:
    from freepage.records import Arm, VerdictRule
    from freepage.study.fio import IoJob


@dataclass(frozen=True)
class Range:
    """Values minimum, minimum + step, ... up to maximum; a single value when all are equal."""

    minimum: float
    maximum: float
    step: float

    @property
    def mean(self) -> float:
        return (self.minimum + self.maximum) / 2


@dataclass(frozen=True)
class CommandJob:
    """A program of the user's: run `count` times, `period_s` apart, for `timeout_s` at most.

    programs: host programs it needs beside it. folder: what stands at /tools/opt. data_bytes: the size of a file
    system at /data (0: none).
    """

    argv: tuple[str, ...]
    count: int
    period_s: float
    timeout_s: float
    programs: tuple[str, ...]
    folder: str | None
    data_bytes: int
    filesystem: str | None


@dataclass(frozen=True)
class Group:
    """Instances of one kind within an experiment, sizes in bytes and times in seconds, at the scale they run at.

    name: "" where the experiment has only this group. kind: the registry's name of the schedule ("cycle", "burst",
    "random", "churn", "fio", "command"). carrier: what the instances are; None is the trial's arm. size: bytes of one
    allocation; hold, idle: seconds allocated and free; slot_s: seconds kept for touching it. start: "duty-cycle",
    "held", "idle", or the probability of starting held. after_s: when its schedules begin. tail_s: seconds at the end
    in which nothing is held. last_idle_s: what a cycle's last idle lasts.
    """

    name: str
    kind: str
    carrier: Arm | None
    instances: int
    processes: int
    cpus: int
    vm_memory_bytes: int
    size: Range = Range(0, 0, 0)
    hold: Range = Range(0, 0, 0)
    idle: Range = Range(0, 0, 0)
    slot_s: float = 0.0
    iterations: int = 0
    duration_s: float = 0.0
    start: str | float = "duty-cycle"
    scan: str = "once"
    stride_bytes: int = 4096
    barriers: bool = False
    after_s: float = 0.0
    tail_s: float = 0.0
    last_idle_s: float = 0.0
    io: IoJob | None = None
    command: CommandJob | None = None

    @property
    def peak_demand_bytes(self) -> int:
        """What one instance can hold at most."""
        return self.processes * round(self.size.maximum)


@dataclass(frozen=True)
class Experiment:
    """One workload: groups of instances that run side by side.

    arms: those it runs on, Arm.BASELINE among them where the groups that do not follow the arm also run alone.
    node_memory_bytes: the memory of a node of its own (a cgroup), None to take the run's.
    """

    name: str
    kind: str
    title: str
    repeats: int
    arms: tuple[Arm, ...]
    duration_s: float
    groups: tuple[Group, ...]
    node_memory_bytes: int | None = None


@dataclass(frozen=True)
class Study:
    """A study ready to be planned: its experiments at one scale on one node."""

    name: str
    title: str
    seed: int
    arms: tuple[Arm, ...]
    interval_s: float
    scale: float
    experiments: tuple[Experiment, ...]
    verdict_rule: VerdictRule


@dataclass(frozen=True)
class Conditions:
    """What scaling needs to know of the place: the node's memory, its cores, and how guests are executed.

    node_is_given: experiments get no node of their own (--node-memory was given, or the nodes are a cluster's).
    """

    node_memory_bytes: int
    cores: int
    accelerator: str
    node_is_given: bool = False


def builtin_studies() -> dict[str, str]:
    """Give the text of every built-in study by name."""
    folder = resources.files("freepage.study") / "builtin"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {f.name.removesuffix(".toml"): f.read_text(encoding="utf-8") for f in files}


def read_study(name_or_path: str, overrides: tuple[str, ...] = ()) -> tuple[StudyFile, str]:
    """Read a built-in study by name or a TOML file by path, and give its text too.

    Raises StudyError when there is neither, or when the study is wrong.
    """
    builtin = builtin_studies()
    path = Path(name_or_path)
    if name_or_path in builtin:
        return parse_study(builtin[name_or_path], f"{name_or_path}.toml", overrides), builtin[name_or_path]
    if not path.is_file():
        raise StudyError(
            f"there is no study {name_or_path!r}",
            hint=f"built in are {', '.join(builtin)}; anything else must be the path of a TOML file",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"cannot read {path}: {error}") from error
    return _resolve_folders(parse_study(text, str(path), overrides), path.parent), text


def _resolve_folders(file: StudyFile, home: Path) -> StudyFile:
    """Take the folders a study names as seen from the study's own; StudyError names one that is not there."""
    experiments = []
    for experiment in file.experiment:
        folder = None if experiment.folder is None else (home / experiment.folder).resolve()
        if folder is not None and not folder.is_dir():
            raise StudyError(
                f"experiment {name_of(experiment)}: the folder {folder} is not there",
                hint="folder = is taken as seen from the study's file",
            )
        named = experiment if folder is None else experiment.model_copy(update={"folder": str(folder)})
        experiments.append(named)
    return file.model_copy(update={"experiment": tuple(experiments)})

"""What a person asks for: a study of one or more experiments, at the scale it will run at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.errors import StudyError
from freepage.fpr.mechanics import release_time_bound_s
from freepage.study_file import CYCLIC, ExperimentFile, Share, StudyFile, name_of, parse_study
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.records import Arm

# What a schedule keeps free for touching memory, in bytes per second and core: a plan, never a result. Lateness
# against it is recorded.
PLANNED_TOUCH_RATE = {"kvm": 1024 * MIB, "tcg": 150 * MIB}
SMALLEST_BLOCK_BYTES = 4 * MIB
GUEST_RESERVE_BYTES = 320 * MIB


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
class Experiment:
    """One workload with every size in bytes and every time in seconds, at the scale it will run at.

    kind: the registry's name of the schedule ("cycle", "burst", "random", "churn").
    size: bytes of one allocation; hold, idle: seconds allocated and free, slot_s: seconds kept for touching it.
    """

    name: str
    kind: str
    title: str
    repeats: int
    instances: int
    processes: int
    cpus: int
    vm_memory_bytes: int
    size: Range
    hold: Range
    idle: Range
    slot_s: float
    iterations: int
    duration_s: float
    start: str
    scan: str
    stride_bytes: int

    @property
    def peak_demand_bytes(self) -> int:
        """What one instance can hold at most."""
        return self.processes * round(self.size.maximum)


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
    verdict_rule: dict[str, float]


@dataclass(frozen=True)
class Conditions:
    """What scaling needs to know of the place: the node's memory, its cores, and how guests are executed."""

    node_memory_bytes: int
    cores: int
    accelerator: str


def builtin_studies() -> dict[str, str]:
    """Give the text of every built-in study by name."""
    folder = resources.files("freepage") / "studies"
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
    return parse_study(text, str(path), overrides), text


def scale_study(study: StudyFile, scale: float, conditions: Conditions) -> Study:
    """Give the study at `scale`: sizes times scale, counts times its square root, times as scale_time() says."""
    return Study(
        name=study.name,
        title=study.title or study.name,
        seed=study.seed,
        arms=study.arms,
        interval_s=study.interval,
        scale=scale,
        experiments=tuple(scale_experiment(e, scale, conditions, study.repeats) for e in study.experiment),
        verdict_rule=study.verdict,
    )


def scale_experiment(
    file: ExperimentFile, scale: float, conditions: Conditions, repeats: int = 1
) -> Experiment:
    """Give one experiment at `scale` on a node of these conditions."""
    size = _scale_sizes(file, scale, conditions.node_memory_bytes)
    factor = scale_time(scale, size.maximum, (file.idle.min + file.idle.max) / 2)
    processes = _scale_count(file.processes, scale)
    instances = _scale_count(file.instances, scale)
    hold = Range(file.hold.min * factor, file.hold.max * factor, file.hold.step * factor)
    idle = Range(file.idle.min * factor, file.idle.max * factor, file.idle.step * factor)
    slot_s = _slot_s(file, size, instances * processes, conditions)
    iterations = _scale_count(file.iterations or 0, scale)
    period_s = slot_s + hold.maximum + idle.maximum
    duration_s = (
        iterations * period_s if file.kind in CYCLIC else _scale_duration(file, scale, factor, period_s)
    )
    return Experiment(
        name=name_of(file),
        kind=file.kind,
        title=file.title or name_of(file),
        repeats=file.repeats or repeats,
        instances=instances,
        processes=processes,
        cpus=file.cpus,
        vm_memory_bytes=_vm_memory_bytes(file, scale, processes * size.maximum, conditions),
        size=size,
        hold=hold,
        idle=idle,
        slot_s=slot_s,
        iterations=iterations,
        duration_s=duration_s,
        start=file.start,
        scan=file.scan,
        stride_bytes=_in_bytes(file.stride, 1.0, conditions.node_memory_bytes),
    )


def scale_time(scale: float, block_bytes: float, idle_s: float) -> float:
    """Give the factor for hold and idle: the scale, but never so small that a block cannot come back while idle.

    The bound is the kernel's own pace (mechanics.release_time_bound_s); hold shrinks by the same factor, so that
    the duty cycle stays what it was. Times never grow.
    """
    least = release_time_bound_s(round(block_bytes)) / idle_s if idle_s > 0 else 1.0
    return min(1.0, max(scale, least))


def _scale_sizes(file: ExperimentFile, scale: float, node_memory_bytes: int) -> Range:
    values = [_in_bytes(v, scale, node_memory_bytes) for v in (file.size.min, file.size.max, file.size.step)]
    smallest, largest, step = (max(SMALLEST_BLOCK_BYTES, math.ceil(v / MIB) * MIB) for v in values)
    return Range(
        smallest, max(smallest, largest), max(MIB, math.ceil(values[2] / MIB) * MIB) if step else MIB
    )


def _in_bytes(size: int | Share, scale: float, node_memory_bytes: int) -> int:
    return round(size * node_memory_bytes) if isinstance(size, Share) else round(size * scale)


def _scale_count(count: int, scale: float) -> int:
    return max(min(count, 2), round(count * math.sqrt(scale))) if scale < 1 else count


def _slot_s(file: ExperimentFile, size: Range, touching: int, conditions: Conditions) -> float:
    if file.kind not in CYCLIC:
        return 0.0
    if file.slot is not None:
        return file.slot
    rate = PLANNED_TOUCH_RATE[conditions.accelerator] * min(touching, conditions.cores)
    return max(1.0, math.ceil(size.maximum * touching / rate))


def _scale_duration(file: ExperimentFile, scale: float, factor: float, period_s: float) -> float:
    """Scale a random experiment's duration: at least one whole period, so that every process frees once."""
    periods = math.sqrt(scale) if scale < 1 else 1.0
    return max((file.duration or 0) * factor * periods, period_s)


def _vm_memory_bytes(file: ExperimentFile, scale: float, peak_bytes: float, conditions: Conditions) -> int:
    """Give a VM its peak demand, 6 % for page tables and page structures, and what an idle guest needs."""
    least = math.ceil((peak_bytes * 1.06 + GUEST_RESERVE_BYTES) / (128 * MIB)) * 128 * MIB
    if file.vm_memory is None:
        return least
    wanted = _in_bytes(file.vm_memory, scale, conditions.node_memory_bytes)
    if scale >= 1 and wanted < peak_bytes + GUEST_RESERVE_BYTES:
        raise StudyError(
            f"experiment {name_of(file)}: vm_memory is smaller than the {round(peak_bytes / MIB)} MiB its processes "
            "allocate at their peak, and what the guest itself needs",
            hint="raise vm_memory, leave it out, or shrink size or processes",
        )
    return max(wanted, least)

"""A stored run read back, from its sealed Parquet or from the JSONL of a run that was cut short."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from freepage.errors import RunFolderError
from freepage.records import (
    RUN_SCHEMA,
    Action,
    Arm,
    ClockOffset,
    Evidence,
    Manifest,
    ProcessSchedule,
    Step,
    TrialRecord,
    TrialStatus,
    VerdictRule,
)
from freepage.store.folder import MANIFEST, PLAN, PROMETHEUS, PROMETHEUS_SAMPLES, read_json
from freepage.store.frames import read_event_lines, read_sample_lines
from freepage.store.schemas import upgrade_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TrialData:
    """One stored trial; two are equal where they are the same one.

    samples: columns t_s, entity, metric, value; null is missing. events: one column per field of EventLine.
    schedules: by instance name. Frames are empty, with their columns, when nothing was measured.
    """

    record: TrialRecord
    schedules: dict[str, list[ProcessSchedule]]
    samples: pl.DataFrame
    events: pl.DataFrame
    folder: Path | None = None

    @cached_property
    def samples_by_metric(self) -> dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return times (s) and values (NaN: missing) of each entity and metric, in order of time."""
        known = self.samples.with_columns(pl.col("t_s", "value").cast(pl.Float64).fill_null(float("nan")))
        ordered = known.sort("entity", "metric", "t_s", maintain_order=True)
        times, values = ordered["t_s"].to_numpy(), ordered["value"].to_numpy()
        found: dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        start = 0
        counts = ordered.group_by("entity", "metric", maintain_order=True).len()
        for entity, metric, count in counts.iter_rows():
            found[entity, metric] = (times[start : start + count], values[start : start + count])
            start += count
        return found

    def read_output(self, instance: str, process: int, index: int, ending: str = "out") -> str | None:
        """Read what the program of one step wrote ("err": its errors); None when it wrote nothing."""
        if self.folder is None:
            return None
        path = self.folder / "output" / f"{instance}-{process}-{index}.{ending}"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


@dataclass(frozen=True)
class PrometheusSamples:
    """The samples that a Prometheus had of a run.

    info: the content of prometheus.json. samples: columns wall_s (Prometheus' clock, since 1970), metric, entity, value.
    """

    info: dict[str, Any]
    samples: pl.DataFrame


@dataclass(frozen=True)
class Run:
    """A stored run; trials that count, in the order they were run. planned_arms: by experiment, from plan.json.

    prometheus: what was collected from one, None where nothing was. warmups: trials that were run first and do not count.
    """

    folder: Path
    manifest: Manifest
    trials: list[TrialData]
    planned_arms: dict[str, tuple[Arm, ...]] = field(default_factory=dict)
    prometheus: PrometheusSamples | None = None
    warmups: list[TrialData] = field(default_factory=list)

    def arms_of(self, experiment: str) -> tuple[Arm, ...]:
        """Return the arms an experiment was planned on; those of the study where no plan is known."""
        return self.planned_arms.get(experiment, self.manifest.arms)

    def ok_trials(self, experiment: str | None = None, arm: Arm | None = None) -> list[TrialData]:
        """Return the trials that ended well, in the order they were run; of one experiment or arm, if given."""
        return [
            t
            for t in self.trials
            if t.record.status is TrialStatus.OK
            and experiment in {None, t.record.experiment}
            and arm in {None, t.record.arm}
        ]


def load_run(folder: Path) -> Run:
    """Load a stored run, sealed or cut short; RunFolderError says what is wrong with it."""
    manifest = _load_manifest(folder)
    trials = [load_trial(path.parent) for path in sorted((folder / "trials").glob("*/trial.json"))]
    trials.sort(key=lambda t: t.record.order)
    counted = [t for t in trials if not t.record.warmup]
    warmups = [t for t in trials if t.record.warmup]
    return Run(folder, manifest, counted, _planned_arms(folder), _load_prometheus(folder), warmups)


def _load_prometheus(folder: Path) -> PrometheusSamples | None:
    import polars as pl

    if not (folder / PROMETHEUS).exists():
        return None
    return PrometheusSamples(read_json(folder / PROMETHEUS), pl.read_parquet(folder / PROMETHEUS_SAMPLES))


def _planned_arms(folder: Path) -> dict[str, tuple[Arm, ...]]:
    """Read which arms each experiment was planned on, in the order of Arm."""
    path = folder / PLAN
    planned: dict[str, set[str]] = {}
    with _explaining(path):
        for trial in read_json(path) if path.exists() else ():
            planned.setdefault(trial["experiment"], set()).add(trial["arm"])
    return {name: tuple(a for a in Arm if a in arms) for name, arms in planned.items()}


def load_trial(folder: Path) -> TrialData:
    """Load one trial's record, schedules, samples and events."""
    with _explaining(folder / "trial.json") as path:
        record = _record_from(read_json(path))
    with _explaining(folder / "schedule.json") as path:
        schedules = _load_schedules(path)
    return TrialData(
        record=record,
        schedules=schedules,
        samples=_load_frame(folder, "samples"),
        events=_load_frame(folder, "events"),
        folder=folder,
    )


@contextmanager
def _explaining(path: Path) -> Iterator[Path]:
    """Raise RunFolderError for what is JSON and no record of this version, such as one with fields of a later version."""
    try:
        yield path
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{path} is not as this version of freepage writes it: {error}",
            hint="use the version of freepage that manifest.json names",
        ) from error


def _load_manifest(folder: Path) -> Manifest:
    with _explaining(folder / MANIFEST) as path:
        return _manifest_from(upgrade_manifest(read_json(path)), folder)


def _manifest_from(content: dict[str, Any], folder: Path) -> Manifest:
    if content.get("schema") != RUN_SCHEMA:
        raise RunFolderError(
            f"{folder} has run schema {content.get('schema')!r}; this freepage reads 1 to {RUN_SCHEMA}",
            hint="use the version of freepage that its manifest.json names",
        )
    content |= {"arms": tuple(Arm(a) for a in content["arms"]), "command": tuple(content["command"])}
    content["verdict_rule"] = VerdictRule(**content["verdict_rule"])
    return Manifest(**content)


def _load_schedules(path: Path) -> dict[str, list[ProcessSchedule]]:
    content = read_json(path) if path.exists() else {}
    return {name: [_schedule_from(p) for p in processes] for name, processes in content.items()}


def _schedule_from(content: dict[str, Any]) -> ProcessSchedule:
    words = ({"action": Action(s["action"]), "argv": tuple(s.get("argv", ()))} for s in content["steps"])
    steps = tuple(Step(**(s | w)) for s, w in zip(content["steps"], words, strict=True))
    return ProcessSchedule(content["process"], steps)


def _record_from(content: dict[str, Any]) -> TrialRecord:
    clocks = {
        key: {n: ClockOffset(**c) for n, c in content[key].items()} for key in ("clock_start", "clock_end")
    }
    words = {"arm": Arm(content["arm"]), "status": TrialStatus(content["status"])}
    lists = {
        "evidence": tuple(Evidence(**e) for e in content["evidence"]),
    }
    return TrialRecord(**(content | clocks | words | lists))


def _load_frame(folder: Path, name: str) -> pl.DataFrame:
    import polars as pl

    sealed = folder / f"{name}.parquet"
    if sealed.exists():
        return pl.read_parquet(sealed)
    read = read_sample_lines if name == "samples" else read_event_lines
    return read(folder / f"{name}.jsonl")

"""The run folder: append-only JSONL while a trial runs, Parquet once it is sealed, and everything back from either."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field, fields
from typing import IO, TYPE_CHECKING, Any

from freepage.errors import RunFolderError
from freepage.records import (
    RUN_SCHEMA,
    SAMPLER,
    Action,
    Arm,
    ClockOffset,
    EventLine,
    Evidence,
    Manifest,
    ProcessSchedule,
    SampleLine,
    Step,
    TrialRecord,
    TrialStatus,
    VerdictRule,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl


MANIFEST = "manifest.json"
RESULTS = "results.json"
REPORT = "report.html"
PROMETHEUS = "prometheus.json"
PROMETHEUS_SAMPLES = "prometheus.parquet"
# What a run of schema 1 was judged by where its study did not say otherwise, and the scale below which it decided nothing.
SCHEMA_1_RULE = {
    "min_given_back_fraction": 0.5,
    "max_given_back_fraction_without": 0.1,
    "max_reallocation_penalty": 2.0,
    "max_extra_cpu_s_per_gib": 1.0,
    "max_extra_cpu_cores_per_vm": 0.2,
    "min_io_ratio": 0.9,
}
SCHEMA_1_SMOKE_SCALE = 0.015
_OURS = (
    "manifest.json",
    "plan.json",
    "study.toml",
    "results.json",
    "report.html",
    PROMETHEUS,
    PROMETHEUS_SAMPLES,
    "trials",
    "figures",
    "tables",
)


@dataclass(frozen=True)
class TrialData:
    """One stored trial.

    samples: columns t_s, entity, metric, value; null is missing. events: one column per field of EventLine.
    schedules: by instance name. Frames are empty, with their columns, when nothing was measured.
    """

    record: TrialRecord
    schedules: dict[str, list[ProcessSchedule]]
    samples: pl.DataFrame
    events: pl.DataFrame
    folder: Path | None = None

    def read_output(self, instance: str, process: int, index: int, ending: str = "out") -> str | None:
        """Read what the program of one step wrote ("err": its errors); None when it wrote nothing."""
        if self.folder is None:
            return None
        path = self.folder / "output" / f"{instance}-{process}-{index}.{ending}"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


@dataclass(frozen=True)
class PrometheusSamples:
    """What a Prometheus had for a run.

    info: the content of prometheus.json. samples: columns wall_s (Prometheus' clock, since 1970), metric, entity, value.
    """

    info: dict[str, Any]
    samples: pl.DataFrame


@dataclass(frozen=True)
class Run:
    """A stored run; trials in the order they were run. planned_arms: by experiment, from plan.json.

    prometheus: what was collected from one, None where nothing was.
    """

    folder: Path
    manifest: Manifest
    trials: list[TrialData]
    planned_arms: dict[str, tuple[Arm, ...]] = field(default_factory=dict)
    prometheus: PrometheusSamples | None = None

    def arms_of(self, experiment: str) -> tuple[Arm, ...]:
        """Give the arms an experiment was planned on; those of the study where no plan is known."""
        return self.planned_arms.get(experiment, self.manifest.arms)

    def ok_trials(self, experiment: str | None = None, arm: Arm | None = None) -> list[TrialData]:
        """Return the trials that ended well, in the order they were run; of one experiment, of one arm, if given."""
        return [
            t
            for t in self.trials
            if t.record.status is TrialStatus.OK
            and experiment in {None, t.record.experiment}
            and arm in {None, t.record.arm}
        ]


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise RunFolderError when `folder` holds anything; with `force`, when it holds what is no part of a run."""
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is not a folder", hint="choose another --out")
    entries = sorted(folder.iterdir()) if folder.exists() else []
    if entries and not force:
        raise RunFolderError(
            f"the output folder {folder} is not empty ({entries[0].name} is in it)",
            hint="choose another --out, or --force to replace an earlier run",
        )
    foreign = [e.name for e in entries if e.name not in _OURS]
    if foreign:
        raise RunFolderError(
            f"{folder} holds {foreign[0]}, which is no part of a run",
            hint="--force replaces nothing but a run; choose another --out",
        )


def prepare_folder(folder: Path, *, force: bool) -> None:
    """Make `folder` an empty place for a run; an earlier run in it is removed. Raises what check_folder raises."""
    check_folder(folder, force=force)
    for entry in folder.iterdir() if folder.exists() else ():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (folder / "trials").mkdir(parents=True, exist_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write `content` as JSON in one step: readers see the old file or the new one."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_json(folder / MANIFEST, asdict(manifest))


class TrialWriter:
    """Writes one trial's lines as they come; a line that was written survives whatever happens next."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._samples = (folder / "samples.jsonl").open("a", encoding="utf-8", buffering=1)
        self._events = (folder / "events.jsonl").open("a", encoding="utf-8", buffering=1)

    def write_schedules(self, schedules: Mapping[str, Sequence[ProcessSchedule]]) -> None:
        write_json(
            self.folder / "schedule.json", {name: [asdict(p) for p in ps] for name, ps in schedules.items()}
        )

    def write_sample(self, line: SampleLine) -> None:
        _write_line(self._samples, asdict(line))

    def write_event(self, line: EventLine) -> None:
        _write_line(self._events, asdict(line))

    def write_output(self, instance: str, process: int, index: int, ending: str, text: bytes) -> None:
        """Keep what a program wrote: "out" or "err" of one step of one process."""
        folder = self.folder / "output"
        folder.mkdir(exist_ok=True)
        (folder / f"{instance}-{process}-{index}.{ending}").write_bytes(text)

    def write_record(self, record: TrialRecord) -> None:
        write_json(self.folder / "trial.json", asdict(record))

    def close(self) -> None:
        self._samples.close()
        self._events.close()

    def seal(self) -> None:
        """Turn the JSONL into Parquet, and remove it only once that is written."""
        self.close()
        for name, read in (("samples", read_sample_lines), ("events", read_event_lines)):
            source = self.folder / f"{name}.jsonl"
            sealed = self.folder / f"{name}.parquet"
            temporary = sealed.with_suffix(".new")
            read(source).write_parquet(temporary)
            temporary.replace(sealed)
            source.unlink()


def load_run(folder: Path) -> Run:
    """Load a stored run, sealed or cut short; RunFolderError says what is wrong with it."""
    manifest = _load_manifest(folder)
    trials = [load_trial(path.parent) for path in sorted((folder / "trials").glob("*/trial.json"))]
    trials.sort(key=lambda t: t.record.order)
    return Run(folder, manifest, trials, _planned_arms(folder), _load_prometheus(folder))


def write_prometheus(folder: Path, collected: PrometheusSamples) -> None:
    """Keep what a Prometheus had for a run; what an earlier call kept is replaced."""
    temporary = folder / f"{PROMETHEUS_SAMPLES}.new"
    collected.samples.write_parquet(temporary)
    temporary.replace(folder / PROMETHEUS_SAMPLES)
    write_json(folder / PROMETHEUS, collected.info)


def _load_prometheus(folder: Path) -> PrometheusSamples | None:
    import polars as pl

    if not (folder / PROMETHEUS).exists():
        return None
    return PrometheusSamples(_read_json(folder / PROMETHEUS), pl.read_parquet(folder / PROMETHEUS_SAMPLES))


def _planned_arms(folder: Path) -> dict[str, tuple[Arm, ...]]:
    """Read which arms each experiment was planned on, in the order of Arm."""
    path = folder / "plan.json"
    planned: dict[str, set[str]] = {}
    for trial in _read_json(path) if path.exists() else ():
        planned.setdefault(trial["experiment"], set()).add(trial["arm"])
    return {name: tuple(a for a in Arm if a in arms) for name, arms in planned.items()}


def load_trial(folder: Path) -> TrialData:
    """Load one trial's record, schedules, samples and events."""
    return TrialData(
        record=_record_from(_read_json(folder / "trial.json")),
        schedules=_load_schedules(folder / "schedule.json"),
        samples=_load_frame(folder, "samples"),
        events=_load_frame(folder, "events"),
        folder=folder,
    )


def read_sample_lines(path: Path) -> pl.DataFrame:
    """Read samples.jsonl as the long frame t_s, entity, metric, value; a torn last line is left out.

    The entity "sampler" carries the sampler's own lateness as late_s.
    """
    import polars as pl

    rows = [row for line in _read_lines(path) for row in _sample_rows(line)]
    schema = {"t_s": pl.Float64, "entity": pl.String, "metric": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


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


def _sample_rows(line: dict[str, Any]) -> Iterator[tuple[float, str, str, float | None]]:
    yield line["t_s"], SAMPLER, "late_s", line["late_s"]
    for entity, values in line["values"].items():
        for metric, value in values.items():
            yield line["t_s"], entity, metric, value


def _write_line(stream: IO[str], content: object) -> None:
    stream.write(json.dumps(content, allow_nan=False) + "\n")


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


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{path} is missing", hint="give the folder that `freepage run --out` wrote"
        ) from error
    except json.JSONDecodeError as error:
        raise RunFolderError(f"{path} is not JSON: {error}") from error


def _load_manifest(folder: Path) -> Manifest:
    content = _read_json(folder / MANIFEST)
    if content.get("schema") == 1:
        content = _from_schema_1(content)
    if content.get("schema") != RUN_SCHEMA:
        raise RunFolderError(
            f"{folder} has run schema {content.get('schema')!r}; this freepage reads 1 to {RUN_SCHEMA}",
            hint="use the version of freepage that its manifest.json names",
        )
    content |= {"arms": tuple(Arm(a) for a in content["arms"]), "command": tuple(content["command"])}
    content["verdict_rule"] = VerdictRule(**content["verdict_rule"])
    return Manifest(**content)


def _from_schema_1(content: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest that did not yet say how it is judged, with what judged it then."""
    rule = SCHEMA_1_RULE | content["verdict_rule"]
    return content | {
        "schema": RUN_SCHEMA,
        "smoke": content["scale"] < SCHEMA_1_SMOKE_SCALE,
        "verdict_rule": rule,
    }


def _load_schedules(path: Path) -> dict[str, list[ProcessSchedule]]:
    content = _read_json(path) if path.exists() else {}
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

"""The files a run writes: its manifest, and each trial as it goes: append-only JSONL, sealed to Parquet at its end."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import IO, TYPE_CHECKING

from freepage.store.folder import MANIFEST, PROMETHEUS, PROMETHEUS_SAMPLES, write_json
from freepage.store.frames import read_event_lines, read_sample_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from freepage.records import EventLine, Manifest, ProcessSchedule, SampleLine, TrialRecord
    from freepage.store.run import PrometheusSamples


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_json(folder / MANIFEST, asdict(manifest))


def write_prometheus(folder: Path, collected: PrometheusSamples) -> None:
    """Keep what a Prometheus had for a run; what an earlier call kept is replaced."""
    temporary = folder / f"{PROMETHEUS_SAMPLES}.new"
    collected.samples.write_parquet(temporary)
    temporary.replace(folder / PROMETHEUS_SAMPLES)
    write_json(folder / PROMETHEUS, collected.info)


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
        _write_line(self._samples, vars(line))

    def write_event(self, line: EventLine) -> None:
        _write_line(self._events, vars(line))

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


def _write_line(stream: IO[str], content: object) -> None:
    stream.write(json.dumps(content, allow_nan=False) + "\n")

"""Sentences on what limits a comparison of two sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.records import TrialStatus
from freepage.store.folder import MANIFEST, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.compare.change import Side
    from freepage.analysis.compare.measured import MeasuredRun

BETWEEN_RUNS = (
    "Between-run variation is not known: with one run a side, what differs from one run to the next whatever is compared (boots, "
    "the host's state, its other work) counts as a change. Two runs or more a side measure it (--base, --new)."
)


def find_notes(base: Side, new: Side) -> Iterator[str]:
    """Yield one sentence for each thing that limits what the comparison says."""
    runs = (*base.runs, *new.runs)
    if min(len(base.runs), len(new.runs)) < 2:
        yield BETWEEN_RUNS
    if any(r.run.manifest.accelerator == "tcg" for r in runs):
        yield "Guests were emulated: times and CPU compare emulators, memory compares as on hardware."
    if base.smoke or new.smoke:
        yield "A smoke run is among them, and decides nothing."
    yield from _note_versions(runs)
    for side in (base, new):
        yield from (note for run in side.runs for note in _note_run(side, run))
    yield from _note_experiments(base, new)


def _note_versions(runs: tuple[MeasuredRun, ...]) -> Iterator[str]:
    schemas = {str(read_json(r.run.folder / MANIFEST).get("schema")): r.run.folder.name for r in runs}
    if len(schemas) > 1:
        words = ", ".join(f"schema {schema} ({name})" for schema, name in sorted(schemas.items()))
        yield f"The runs were stored by different versions: {words}. All numbers are computed anew from their samples, by one version."


def _note_run(side: Side, run: MeasuredRun) -> Iterator[str]:
    name, trials = run.run.folder.name, run.run.trials
    if not any(t.record.status is TrialStatus.OK for t in trials):
        yield f"No trial of {name} ({side.name}) ended well, so it has no numbers."
    elif run.failed:
        yield f"{run.failed} of {len(trials)} trials of {name} ({side.name}) did not end well and are left out."
    if run.doubts:
        ids = ", ".join(dict.fromkeys(doubt.id for doubt in run.doubts))
        yield f"Doubts about {name} ({side.name}): {ids} (freepage show says why)."
    if run.run.manifest.finished_at is None:
        yield f"{name} ({side.name}) was cut short."


def _note_experiments(base: Side, new: Side) -> Iterator[str]:
    for side, other in ((base, new), (new, base)):
        have = {name: None for run in side.runs for name in run.experiments}
        alone = [name for name in have if not all(name in run.experiments for run in other.runs)]
        if alone:
            yield f"Only {side.name} has {', '.join(alone)}."

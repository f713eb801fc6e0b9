"""Runs compared: BASE with NEW, number by number, joined by experiment and arm."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from freepage.analysis.compare.change import Change, Outcome, Side, decide, measure_change
from freepage.analysis.compare.conditions import (
    Unlike,
    UnlikeRunsError,
    check_alike,
    find_shared_experiments,
    find_unlike,
)
from freepage.analysis.compare.margins import LEFT_OUT, margin_of
from freepage.analysis.compare.measured import MeasuredRun
from freepage.analysis.compare.notes import find_notes
from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity
from freepage.analysis.paths import EstimatePath
from freepage.analysis.significance import correct_by_holm
from freepage.analysis.stats import CONFIDENCE
from freepage.records import Arm

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from freepage.store import Run

COMPARISON_SCHEMA = 1


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs that were compared: its folder, study, place and time, and how its trials ended."""

    side: str
    folder: str
    study: str
    location: str
    started_at: str
    freepage_version: str
    trials: int
    failed: int


@dataclass(frozen=True)
class RunComparison:
    """Everything that BASE and NEW have in common, compared.

    unlike: the conditions in which they differ, which were allowed. notes: what to keep in mind. margin: relative, and of
    shares; None: each number's own. changes: by experiment; those that changed most first.
    """

    runs: tuple[ComparedRun, ...]
    unlike: tuple[Unlike, ...]
    notes: tuple[str, ...]
    margin: float | None
    changes: dict[str, tuple[Change, ...]]

    @property
    def all_changes(self) -> tuple[Change, ...]:
        return tuple(change for changes in self.changes.values() for change in changes)

    def count(self, outcome: Outcome) -> int:
        return sum(change.outcome is outcome for change in self.all_changes)

    def as_json(self) -> dict[str, object]:
        """Return the content of its JSON: no NaN, null where nothing is known."""
        return {
            "schema": COMPARISON_SCHEMA,
            "runs": [asdict(run) for run in self.runs],
            "unlike": [asdict(each) for each in self.unlike],
            "notes": list(self.notes),
            "margin": self.margin,
            "changes": [_change_as_json(change) for change in self.all_changes],
        }


def compare_runs(
    base: Sequence[Run],
    new: Sequence[Run],
    *,
    across: Collection[str] = (),
    margin: float | None = None,
    every_number: bool = False,
) -> RunComparison:
    """Compare the runs of two sides; UnlikeRunsError where conditions differ that are not named in `across`.

    margin: the change from which on any number matters; by default each number's own.
    """
    sides = build_sides(base, new)
    unlike = find_unlike(base, new)
    check_alike(unlike, across)
    changes = [
        measure_change(*sides, experiment, path, margin_of(path) if margin is None else margin)
        for experiment in find_shared_experiments([*base, *new])
        for path in list_paths(sides, experiment, every_number=every_number)
    ]
    decided = decide_all([c for c in changes if c.base is not None or c.new is not None])
    experiments = dict.fromkeys(change.experiment for change in changes)
    return RunComparison(
        tuple(_describe_run(side, run) for side in sides for run in side.runs),
        unlike,
        tuple(find_notes(*sides)),
        margin,
        {name: _sort(c for c in decided if c.experiment == name) for name in experiments},
    )


def build_sides(base: Sequence[Run], new: Sequence[Run]) -> tuple[Side, Side]:
    """Return both sides; UnlikeRunsError where one run is on both, or twice on one."""
    folders = [run.folder.resolve() for run in (*base, *new)]
    for n, folder in enumerate(folders):
        if folder in folders[:n]:
            raise UnlikeRunsError(
                f"{(*base, *new)[n].folder} is named twice, and a run says nothing about itself",
                hint="name different runs",
            )
    return Side("BASE", tuple(map(MeasuredRun, base))), Side("NEW", tuple(map(MeasuredRun, new)))


def list_paths(sides: Sequence[Side], experiment: str, *, every_number: bool) -> Iterator[EstimatePath]:
    """Yield the numbers to compare: those that the experiment's kind and the report show first, or every one."""
    first = sides[0].runs[0]
    columns = [Quantity.with_id(id_) for id_ in first.kind_of(experiment).columns]
    comparisons = [c for c in Comparison if every_number or c.definition.headline[0]]
    yield from (EstimatePath(comparison) for comparison in comparisons)
    arms = {arm for side in sides for run in side.runs for arm in run.run.arms_of(experiment)}
    numbers = [n for n in Quantity if n not in LEFT_OUT] if every_number else columns
    yield from (EstimatePath(number, arm) for arm in Arm if arm in arms for number in numbers)


def decide_all(changes: Sequence[Change]) -> list[Change]:
    """Return changes with their outcomes: Holm's procedure keeps one false alarm among all of them at 5 %."""
    p_values = [None if c.reason or c.effect is None else c.effect.p for c in changes]
    stands = correct_by_holm(p_values, [1 - CONFIDENCE] * len(p_values))
    return [decide(c, rejects=s and p is not None) for c, p, s in zip(changes, p_values, stands, strict=True)]


def _sort(changes: Iterator[Change]) -> tuple[Change, ...]:
    """Return what changed first, then what cannot be told, then what is the same; each by its size."""
    ranks = {Outcome.SAME: 2, Outcome.CANNOT_TELL: 1}
    return tuple(sorted(changes, key=lambda c: (ranks.get(c.outcome, 0), -c.size)))


def _describe_run(side: Side, run: MeasuredRun) -> ComparedRun:
    manifest = run.run.manifest
    return ComparedRun(
        side.name,
        str(run.run.folder),
        manifest.study,
        manifest.location,
        manifest.started_at,
        manifest.freepage_version,
        len(run.run.trials),
        run.failed,
    )


def _change_as_json(change: Change) -> dict[str, object]:
    return {
        "experiment": change.experiment,
        "number": str(change.path),
        "nature": change.nature,
        "outcome": change.outcome,
        "reason": change.reason or None,
        "base": None if change.base is None else asdict(change.base),
        "new": None if change.new is None else asdict(change.new),
        "change": None if change.change is None else asdict(change.change),
        "margin": change.margin,
        "could_see": change.could_see,
        "needed": change.needed,
        "units": "runs" if change.runs_are_units else "blocks",
        "p": None if change.effect is None else change.effect.p,
    }

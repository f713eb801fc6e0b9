"""The steps that the processes of a trial took, as their events tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from freepage.analysis.once import once_per_trial

if TYPE_CHECKING:
    from freepage.store import TrialData


class TakenStep(NamedTuple):
    """One step of one process: seconds since the trial's zero, bytes."""

    action: str
    t_s: float
    end_s: float
    bytes: int
    iteration: int
    ok: bool


def steps_of(trial: TrialData, instance: str) -> list[TakenStep]:
    """Return what an instance's processes did, in the order of the events."""
    return _steps_by_instance(trial).get(instance, [])


@once_per_trial
def _steps_by_instance(trial: TrialData) -> dict[str, list[TakenStep]]:
    found: dict[str, list[TakenStep]] = {}
    for instance, *step in trial.events.select("instance", *TakenStep._fields).iter_rows():
        found.setdefault(instance, []).append(TakenStep(*step))
    return found

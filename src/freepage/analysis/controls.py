"""The controls of a measurement: a pod gives back all it frees, and numbers do not move with the order of trials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.series import demand_steps
from freepage.records import CARRIERS, Arm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from freepage.analysis.estimates import TrialValues
    from freepage.store import Run, TrialData

# A pod's memory is back as soon as it is freed. Where less is seen, samples are too far apart to see what is there.
LEAST_POD_SHARE = 0.98
# All that follows from what was seen between a free and the next allocation.
_OF_RELEASES = (
    Quantity.GIVEN_BACK,
    Quantity.RELEASE_T50,
    Quantity.RELEASE_T90,
    Quantity.RELEASE_T99,
    Quantity.RELEASE_FALL,
    Quantity.RELEASE_RATE,
    Quantity.RELEASE_RESOLUTION,
    TrialOnly.RELEASES,
    TrialOnly.RELEASE_T50_COUNT,
    TrialOnly.RELEASE_T90_COUNT,
    TrialOnly.RELEASE_T99_COUNT,
    TrialOnly.RELEASE_WINDOW,
)
LEAST_TRIALS_FOR_DRIFT = 6
# A drift is named where chance alone would make one in so few runs, over all numbers that are looked at together.
CHANCE = 0.05
# ... and where it moved a number by at least this share from the first trial to the last.
LEAST_DRIFT = 0.05
DRIFTING = (Quantity.NODE_MEAN, Quantity.ALLOC_PER_GIB, Quantity.INSTANCE_CPU, Quantity.NODE_CPU)


@dataclass(frozen=True)
class Drift:
    """A number that moved with the order of trials: by which factor from the first to the last, and how likely by chance."""

    number: Quantity
    factor: float
    chance: float


def median_share(run: Run, values: Mapping[str, TrialValues], experiment: str, arm: Arm) -> float | None:
    """Return the share an arm gave back, median over its trials; None where none could tell."""
    shares = [values[t.record.id].get(Quantity.GIVEN_BACK) for t in run.ok_trials(experiment, arm)]
    known = [share for share in shares if share is not None]
    return median(known) if known else None


def void_shares(run: Run, values: Mapping[str, TrialValues]) -> dict[str, TrialValues]:
    """Return the trials' numbers by id, without those of releases of VMs where the pods of their experiment show them to be wrong."""
    void = {
        experiment
        for experiment in {t.record.experiment for t in run.ok_trials()}
        if (share := median_share(run, values, experiment, Arm.POD)) is not None and share < LEAST_POD_SHARE
    }
    vms = {
        t.record.id for t in run.ok_trials() if t.record.experiment in void and t.record.arm is not Arm.POD
    }
    return {i: v | dict.fromkeys(_OF_RELEASES) if i in vms else v for i, v in values.items()}


def find_drift(trials: Sequence[TrialData], values: Mapping[str, TrialValues]) -> list[Drift]:
    """Return the numbers of an experiment that moved with the order of its trials, most certain first.

    The logarithm of each number is explained by its arm and the trial's place in the run, and by its block where blocks
    draw schedules of their own; the slope is tested by Student's t, Holm's correction made for all numbers.
    """
    mine = [t for t in trials if t.record.arm in CARRIERS]
    fits = [fit for number in DRIFTING if (fit := _fit_drift(mine, values, number)) is not None]
    found = []
    for rank, drift in enumerate(sorted(fits, key=lambda fit: fit.chance)):
        if drift.chance * (len(fits) - rank) > CHANCE:
            break
        found.append(drift)
    return [d for d in found if abs(math.log(d.factor)) >= math.log1p(LEAST_DRIFT)]


def _fit_drift(
    trials: Sequence[TrialData], values: Mapping[str, TrialValues], number: Quantity
) -> Drift | None:
    known = [(t, v) for t in trials if (v := values[t.record.id].get(number)) is not None and v > 0]
    if len(known) < LEAST_TRIALS_FOR_DRIFT:
        return None
    chosen = [t for t, _ in known]
    groups: list[list[object]] = [[t.record.arm for t in chosen]]
    if _draws_schedules(chosen):
        groups.append([t.record.repeat for t in chosen])
    order = np.array([float(t.record.order) for t in chosen])
    logs = np.log([v for _, v in known])
    slope, chance = _test_slope(logs, order, _dummies(groups))
    return None if chance is None else Drift(number, math.exp(slope * float(np.ptp(order))), chance)


def _draws_schedules(trials: Sequence[TrialData]) -> bool:
    """Return whether repeats of one arm followed schedules that differ; in which order pages are touched is no difference."""
    first: dict[Arm, object] = {}
    return any(first.setdefault(t.record.arm, held) != held for t in trials for held in [_find_held(t)])


def _find_held(trial: TrialData) -> dict[str, list[tuple[float, float]]]:
    """Return what each instance is to hold, and from when on."""
    return {name: demand_steps(processes) for name, processes in trial.schedules.items()}


def _dummies(groups: Sequence[Sequence[object]]) -> NDArray[np.float64]:
    """Return a column for every level of the first grouping, and for every level but one of the others."""
    columns = [
        [float(value == level) for value in group]
        for n, group in enumerate(groups)
        for level in list(dict.fromkeys(group))[min(n, 1) :]
    ]
    return np.array(columns).T


def _test_slope(
    values: NDArray[np.float64], order: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[float, float | None]:
    """Return the slope over the order beside other columns, and the chance of one as steep; None where nothing can tell."""
    from scipy.special import stdtr

    clean, along = (y - others @ np.linalg.lstsq(others, y, rcond=None)[0] for y in (values, order))
    spread = float(along @ along)
    freedom = len(values) - int(np.linalg.matrix_rank(others)) - 1
    if freedom < 1 or spread < 1e-9:
        return 0.0, None
    slope = float(along @ clean) / spread
    error = math.sqrt(max(float(np.sum((clean - slope * along) ** 2)), 1e-18) / freedom / spread)
    return slope, 2 * float(stdtr(freedom, -abs(slope) / error))

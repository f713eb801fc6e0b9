"""Doubts from the controls in every run: pods, VMs without FPR, the books of memory and CPU, and the order of trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.closure import cpu_closure, cpu_limit, find_excursions, memory_closure, memory_limit
from freepage.analysis.compared import Comparison
from freepage.analysis.controls import LEAST_POD_SHARE, find_drift, median_share
from freepage.analysis.definition import Area
from freepage.analysis.doubts.base import Doubt
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.kinds import Subject
from freepage.records import Arm
from freepage.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.analysis.closure import Excursion
    from freepage.analysis.doubts.base import DoubtInput
    from freepage.store import TrialData

# VMs without FPR keep what they have: their share is 0, give or take this much.
MOST_VM_SHARE = 0.02
SHOWN_TRIALS = 4


def find_wrong_pods(found: DoubtInput, experiment: str) -> Doubt | None:
    share = median_share(found.run, found.values, experiment, Arm.POD)
    if share is None or share >= LEAST_POD_SHARE:
        return None
    return Doubt(
        "control-pod",
        f"In {experiment} pods seem to have given back {share:.0%} of what they freed. They always give back all of it, so "
        "what VMs gave back there cannot be told either, and is left out.",
        f"Give the study a shorter interval, or hold longer: --set {experiment}.hold=10s.",
        Area.MEMORY,
        experiment,
    )


def find_wrong_vms(found: DoubtInput, experiment: str) -> Doubt | None:
    share = median_share(found.run, found.values, experiment, Arm.VM)
    if share is None or abs(share) <= MOST_VM_SHARE:
        return None
    return Doubt(
        "control-vm",
        f"In {experiment} VMs without FPR seem to have given back {share:.0%} of what they freed, which they cannot: something other than "
        "FPR moves their memory, also that of VMs with FPR.",
        "Likely causes: swap, memory limits of a cgroup, same-page merging, a balloon that is inflated.",
        Area.MEMORY,
        experiment,
    )


def find_unseen_releases(found: DoubtInput, experiment: str) -> Doubt | None:
    if Subject.RELEASES not in found.experiments[experiment].traits.measures:
        return None
    mine = [found.values[t.record.id] for t in found.run.ok_trials(experiment)]
    unseen, seen = (
        sum(values.get(number) or 0.0 for values in mine)
        for number in (TrialOnly.RELEASES_UNSEEN, TrialOnly.RELEASES)
    )
    if not unseen:
        return None
    return Doubt(
        "releases-unseen",
        f"In {experiment} {unseen:.0f} of {unseen + seen:.0f} releases could not be measured: no sample lies between the "
        "end of the last allocation and the free, or the block took pages that were resident before.",
        f"Hold longer, or use a larger --scale: --set {experiment}.hold=10s.",
        Area.MEMORY,
        experiment,
    )


def find_other_work(found: DoubtInput, experiment: str) -> Doubt | None:
    seen = find_memory_excursions(found, experiment)
    if not seen:
        return None
    return Doubt(
        "other-work",
        f"While {experiment} ran, memory of {found.host} moved that was not the instances': "
        f"{_list_excursions(seen, format_bytes)}. The node's memory there is not theirs alone.",
        f"{found.alone}.",
        Area.NODE,
        experiment,
    )


def find_other_cpu(found: DoubtInput, experiment: str) -> Doubt | None:

    def excursions(trial: TrialData) -> list[Excursion]:
        closure = cpu_closure(trial)
        used_cores = found.values[trial.record.id].get(Quantity.INSTANCE_CPU) or 0.0
        return [] if closure is None else find_excursions(closure, cpu_limit(used_cores))

    seen = _find_worst(found, experiment, excursions)
    if not seen:
        return None
    return Doubt(
        "other-cpu",
        f"While {experiment} ran, {found.host} was busy with what was neither instances nor sampler: "
        f"{_list_excursions(seen, lambda cores: f'{cores:.1f} cores')}. That slows down what is measured.",
        "Stop other work on the host.",
        Area.TIME,
        experiment,
    )


def find_drifting_memory(found: DoubtInput, experiment: str) -> Doubt | None:
    return _find_drift_of(found, experiment, Area.NODE)


def find_drifting_times(found: DoubtInput, experiment: str) -> Doubt | None:
    return _find_drift_of(found, experiment, Area.TIME)


def _find_drift_of(found: DoubtInput, experiment: str, area: Area) -> Doubt | None:
    every = find_drift(found.run.ok_trials(experiment), found.values)
    drifts = [drift for drift in every if drift.number.area is area]
    if not drifts:
        return None
    words = "; ".join(f"{d.number} by {d.factor - 1:+.0%} (chance {d.chance:.2g})" for d in drifts)
    return Doubt(
        "drift",
        f"In {experiment} numbers moved with the order of trials, from the first to the last: {words}. Arms are "
        "compared by blocks, in which each has its turn at every place, but not all of it cancels.",
        "Let the host settle (temperature, other work), and run again with more --repeats.",
        area,
        experiment,
    )


def find_memory_excursions(found: DoubtInput, experiment: str) -> dict[str, Excursion]:
    """Return the worst stretch of each trial in which the node's memory was not that of the instances, by trial id."""
    saved = found.experiments[experiment].compared(Comparison.SAVED_MEAN)
    effect = 0.0 if saved is None else saved.value

    def excursions(trial: TrialData) -> list[Excursion]:
        closure = memory_closure(trial)
        return [] if closure is None else find_excursions(closure, memory_limit(trial, effect))

    return _find_worst(found, experiment, excursions)


def _find_worst(
    found: DoubtInput, experiment: str, excursions: Callable[[TrialData], list[Excursion]]
) -> dict[str, Excursion]:
    by_trial = {t.record.id: excursions(t) for t in found.run.ok_trials(experiment)}
    return {name: max(seen, key=lambda e: abs(e.worst)) for name, seen in by_trial.items() if seen}


def _list_excursions(seen: dict[str, Excursion], show: Callable[[float], str]) -> str:
    """Return the worst trials in words, with the seconds of their worst stretch."""
    worst = sorted(seen.items(), key=lambda item: -abs(item[1].worst))
    words = [
        f"{show(e.worst)} in {name} from {e.start_s:.1f} to {e.end_s:.1f} s"
        for name, e in worst[:SHOWN_TRIALS]
    ]
    return "; ".join([*words, *(["..."] if len(worst) > SHOWN_TRIALS else [])])

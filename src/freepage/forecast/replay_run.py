"""A run as kinds of a fleet: its stored schedules, on what its VMs with FPR took before these started, and gave back after."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.estimates import Quantity
from freepage.analysis.releases import measure_releases
from freepage.analysis.series import demand_steps, resident_series, runs_programs, vms_of
from freepage.forecast.fleet import Case, FleetError, VmKind
from freepage.forecast.replay import Stretch, build_replay
from freepage.forecast.run_traces import read_sizes
from freepage.fpr.mechanics import USUAL_PASSES, find_common_passes
from freepage.records import Arm

if TYPE_CHECKING:
    from freepage.store import Run, TrialData

NO_GIVEN_BACK = "{}: what its VMs give back was not measured; all that they free is taken to come back."
SCALED = "Sizes and times are those of the run, {:.2g} of its study's own."


def kinds_of_run(run: Run, overhead_bytes: float) -> tuple[tuple[VmKind, ...], tuple[str, ...]]:
    """Return a kind of VMs for each experiment that only uses memory, and notes; FleetError where there is none.

    overhead_bytes: what of a VM's idle footprint is its VMM's; the idle footprint itself is measured.
    """
    every = {t.record.experiment: run.ok_trials(t.record.experiment, Arm.VM_FPR) for t in run.trials}
    found = [_find_kind(run, name, trials, overhead_bytes) for name, trials in every.items()]
    kinds = [kind for kind, _ in filter(None, found)]
    if not kinds:
        raise FleetError(
            f"{run.folder} has no trial of VMs with FPR that only use memory",
            hint="a run of `freepage run random` or `cycle` has them",
        )
    scaled = [SCALED.format(run.manifest.scale)] if run.manifest.scale != 1 else []
    return tuple(kinds), (*scaled, *(note for _, notes in filter(None, found) for note in notes))


def _find_kind(
    run: Run, name: str, trials: list[TrialData], overhead_bytes: float
) -> tuple[VmKind, tuple[str, ...]] | None:
    """Return the VMs of one experiment; None where it has none, or what their programs use is not known."""
    vms = [(t, vm) for t in trials for vm in vms_of(t) if not runs_programs(t, vm)]
    idle = [size for t, vm in vms if (size := resident_series(t, vm).last_before(0)) is not None]
    pieces = [piece for t, vm in vms if (piece := _replay(t, vm)) is not None]
    sizes = read_sizes(run)
    memory = [sizes[t.record.id, vm] for t, vm in vms if (t.record.id, vm) in sizes]
    if not idle or not pieces or not memory:
        return None
    shares = [measure_releases(t).get(Quantity.GIVEN_BACK) for t in trials]
    given_back = [share for share in shares if share is not None]
    evidence = (e for t in trials for e in t.record.evidence)
    kind = VmKind(
        name,
        max(memory),
        build_replay([_add_idle(pieces, max(0.0, median(idle) - overhead_bytes))]),
        overhead_bytes,
        stranded_fraction=1 - min(1.0, max(0.0, median(given_back))) if given_back else 0.0,
        passes=find_common_passes(evidence, str(run.manifest.host.get("architecture"))) or USUAL_PASSES,
    )
    return kind, () if given_back else (NO_GIVEN_BACK.format(name),)


def _replay(trial: TrialData, vm: str) -> Stretch | None:
    """Return a trial of one VM as its schedules have it; None where it holds nothing in it."""
    steps = demand_steps(trial.schedules[vm])
    length_s = round(trial.record.planned_duration_s)
    if not steps or length_s < 1:
        return None
    at_s = np.array([0, *(min(round(at_s), length_s) for at_s, _ in steps)])
    held = np.array([0.0, *(held for _, held in steps)])
    return Stretch(at_s, dict.fromkeys(Case, held), length_s)


def _add_idle(pieces: list[Stretch], idle_bytes: float) -> list[Stretch]:
    return [
        Stretch(p.at_s, {c: np.rint(b + idle_bytes) for c, b in p.levels.items()}, p.length_s) for p in pieces
    ]

"""The results of one experiment: estimates of every arm, its arms compared, and fio's cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from freepage.analysis.comparisons import compare_arms
from freepage.analysis.definition import Better, Nature
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.io import estimate_cells
from freepage.analysis.passes import find_experiment_reporting
from freepage.analysis.stats import estimate_censored, estimate_count, estimate_trials
from freepage.kinds import Subject, find_kind
from freepage.records import Action, Arm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.analysis.compared import Comparison, Comparisons
    from freepage.analysis.estimates import ArmEstimates, TrialValues
    from freepage.analysis.io import CellResult
    from freepage.analysis.stats import Estimate
    from freepage.kinds import Kind
    from freepage.store import Run, TrialData


@dataclass(frozen=True)
class ExperimentResults:
    """The results of one experiment, over its trials that ended well.

    kind: as its trials name it. arms: those it was planned on. cells: only where fio ran.
    """

    kind: str
    arms: dict[Arm, ArmEstimates]
    comparisons: Comparisons
    cells: tuple[CellResult, ...]

    @property
    def traits(self) -> Kind:
        return find_kind(self.kind)

    @property
    def without(self) -> ArmEstimates:
        """The numbers of what FPR is compared with: VMs without it, in an A/A test the arm that the control repeats."""
        if Arm.CONTROL not in self.arms:
            return self.arms.get(Arm.VM, {})
        return next((found for arm, found in self.arms.items() if arm is not Arm.CONTROL), {})

    def estimate(self, arm: Arm, number: Quantity) -> Estimate | None:
        """Return a number of an arm; None where it was not measured, or the arm is not there."""
        return self.arms.get(arm, {}).get(number)

    def compared(self, comparison: Comparison) -> Estimate | None:
        """Return a comparison of its arms; None where it was not measured."""
        return self.comparisons[comparison]


# Known to a span between two samples.
RELEASE_TIMES = (Quantity.RELEASE_T50, Quantity.RELEASE_T90, Quantity.RELEASE_T99)
Experiments = dict[str, ExperimentResults]


def build_experiments(run: Run, values: Mapping[str, TrialValues]) -> Experiments:
    """Return the results of every experiment by name, in the order they ran; `values`: trials' numbers by their id."""
    names = dict.fromkeys(t.record.experiment for t in run.trials)
    return {name: _build_experiment(run, name, values) for name in names}


def _build_experiment(run: Run, name: str, values: Mapping[str, TrialValues]) -> ExperimentResults:
    mine = [t for t in run.trials if t.record.experiment == name]
    kind, arms = mine[0].record.kind, run.arms_of(name)
    return ExperimentResults(
        kind,
        {arm: _estimate_arm(run.ok_trials(name, arm), values) for arm in arms},
        compare_arms(run.ok_trials(name), values, find_experiment_reporting(run, name)),
        estimate_cells(mine, arms) if find_kind(kind).measures_io else (),
    )


def _estimate_arm(trials: Sequence[TrialData], values: Mapping[str, TrialValues]) -> ArmEstimates:
    mine = [values[t.record.id] for t in trials]
    found = {n: estimate_trials(n.nature, [_find_value(v, n) for v in mine], n.unit) for n in Quantity}
    widths = [v.get(Quantity.RELEASE_RESOLUTION) for v in mine]
    found |= {n: estimate_censored([_find_value(v, n) for v in mine], n.unit, widths) for n in RELEASE_TIMES}
    failures = [v.get(Quantity.COMMAND_FAILURES) for v in mine]
    runs = [float(len(t.events.filter(pl.col("action") == Action.RUN))) for t in trials]
    unit = Quantity.COMMAND_FAILURES.unit
    return found | {Quantity.COMMAND_FAILURES: estimate_count(failures, runs, unit)}


def _find_value(values: TrialValues, number: Quantity) -> float | None:
    """Return a trial's number; a time that its releases did not reach is infinite.

    The pace of such releases is 0, and that of releases that were back before a pace could be seen is infinite.
    """
    value = values.get(number)
    if value is not None or number.nature is not Nature.CENSORED or not values.get(TrialOnly.RELEASES):
        return value
    is_slow = values.get(Quantity.RELEASE_T90) is None
    return 0.0 if is_slow and number.definition.better is Better.HIGHER else math.inf


def find_headline(experiments: Mapping[str, ExperimentResults], named: str = "") -> str | None:
    """Return the experiment whose numbers stand first: the one the study names, else its first about releases.

    Never by what was measured: a trial that failed must not put another experiment's answer there. None where the one that
    the study names did not come to run.
    """
    if named:
        return named if named in experiments else None
    about = [name for name, e in experiments.items() if is_about_releases(e.traits)]
    return next(iter(about or experiments), None)


def is_about_releases(kind: Kind) -> bool:
    """Return whether instances of a kind are meant to give back whole blocks, by what the worker allocates itself."""
    works = kind.workload is None or kind.workload.uses_memory
    return works and Subject.RELEASES in kind.measures

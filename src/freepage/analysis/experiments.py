"""The results of one experiment: estimates of every arm, its arms compared, and fio's cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.comparisons import compare_arms
from freepage.analysis.estimates import Quantity
from freepage.analysis.io import estimate_cells
from freepage.analysis.stats import estimate_mean
from freepage.kinds import find_kind
from freepage.records import Arm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.analysis.estimates import ArmEstimates, Comparison, Comparisons, TrialValues
    from freepage.analysis.io import CellResult
    from freepage.analysis.stats import Estimate
    from freepage.kinds import Kind
    from freepage.store import Run


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

    def estimate(self, arm: Arm, number: Quantity) -> Estimate | None:
        """Return a number of an arm; None where it was not measured, or the arm is not there."""
        return self.arms.get(arm, {}).get(number)

    def compared(self, comparison: Comparison) -> Estimate | None:
        """Return a comparison of its arms; None where it was not measured."""
        return self.comparisons[comparison]


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
        {arm: _estimate_arm([values[t.record.id] for t in run.ok_trials(name, arm)]) for arm in arms},
        compare_arms(run.ok_trials(name), values),
        estimate_cells(mine, arms) if find_kind(kind).measures_io else (),
    )


def _estimate_arm(values: list[TrialValues]) -> ArmEstimates:
    return {number: estimate_mean([v.get(number) for v in values], number.unit) for number in Quantity}


def find_headline(experiments: Mapping[str, ExperimentResults]) -> str | None:
    """Return the experiment whose numbers stand first: most trials that measured what FPR gave back."""

    def count(name: str) -> int:
        given = experiments[name].estimate(Arm.VM_FPR, Quantity.GIVEN_BACK)
        return 0 if given is None else given.n

    return max(experiments, key=count, default=None)

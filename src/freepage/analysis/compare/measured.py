"""A stored run with the numbers of its trials, and the values of one number by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from freepage.analysis.compared import Comparison
from freepage.analysis.comparisons import compare_arms
from freepage.analysis.controls import void_shares
from freepage.analysis.doubts.base import DoubtInput
from freepage.analysis.doubts.find import find_doubts
from freepage.analysis.experiments import build_experiments
from freepage.analysis.passes import find_experiment_reporting
from freepage.analysis.trial_values import measure_trial
from freepage.kinds import find_kind
from freepage.records import TrialStatus

if TYPE_CHECKING:
    from freepage.analysis.compared import Comparisons
    from freepage.analysis.doubts.base import Doubt
    from freepage.analysis.estimates import Quantity, TrialOnly, TrialValues
    from freepage.analysis.experiments import Experiments
    from freepage.analysis.paths import EstimatePath
    from freepage.kinds import Kind
    from freepage.records import Arm
    from freepage.store import Run


@dataclass(frozen=True)
class BlockValues:
    """The values of one number of a run, one for each block that has it; missing: blocks that should have had one."""

    values: tuple[float, ...] = ()
    missing: int = 0


class MeasuredRun:
    """A stored run with the numbers of its trials; each is measured once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._compared: dict[str, dict[int, Comparisons]] = {}

    @cached_property
    def values(self) -> dict[str, TrialValues]:
        """The numbers of the trials that ended well, by the trials' ids; shares that the run's own pods show to be wrong are void."""
        return void_shares(self.run, {t.record.id: measure_trial(t) for t in self.run.ok_trials()})

    @cached_property
    def results(self) -> Experiments:
        """The results of the experiments by name."""
        return build_experiments(self.run, self.values)

    @cached_property
    def doubts(self) -> list[Doubt]:
        """The reasons not to trust parts of the run."""
        return list(find_doubts(DoubtInput(self.run, self.values, self.results)))

    @property
    def experiments(self) -> tuple[str, ...]:
        """The names of the experiments, in the order they ran."""
        return tuple(dict.fromkeys(t.record.experiment for t in self.run.trials))

    @property
    def failed(self) -> int:
        """The number of trials that were begun and did not end well."""
        fine = {TrialStatus.OK, TrialStatus.SKIPPED}
        return sum(t.record.status not in fine for t in self.run.trials)

    def kind_of(self, experiment: str) -> Kind:
        return find_kind(next(t.record.kind for t in self.run.trials if t.record.experiment == experiment))

    def find(self, experiment: str, path: EstimatePath) -> BlockValues:
        """Return a number by block: of the arm's trials, or of the block's arms compared with each other.

        A block in which a trial failed has no value; one whose trials all ended well, and that has none, counts as
        missing, since the others would be a choice of those that went well; so does a time that was not reached.
        """
        number = path.number
        if isinstance(number, Comparison):
            found = [block[number] for block in self._compare_blocks(experiment).values()]
            values = [None if estimate is None else estimate.value for estimate in found]
        else:
            values = self._list(experiment, path.arm, number)
        known = tuple(v for v in values if v is not None and math.isfinite(v))
        return BlockValues(known, len(values) - len(known) if known else 0)

    def values_of(self, experiment: str, arm: Arm, number: Quantity | TrialOnly) -> list[float]:
        """Return what is known of a number of an arm's trials."""
        return [value for value in self._list(experiment, arm, number) if value is not None]

    def _list(self, experiment: str, arm: Arm | None, number: Quantity | TrialOnly) -> list[float | None]:
        return [self.values[t.record.id].get(number) for t in self.run.ok_trials(experiment, arm)]

    def _compare_blocks(self, experiment: str) -> dict[int, Comparisons]:
        """Return the arms of each complete block compared, by the block's number."""
        if experiment not in self._compared:
            trials = self.run.ok_trials(experiment)
            arms = len(self.run.arms_of(experiment))
            blocks = {
                t.record.repeat: [x for x in trials if x.record.repeat == t.record.repeat] for t in trials
            }
            reporting = find_experiment_reporting(self.run, experiment)
            self._compared[experiment] = {
                number: compare_arms(block, self.values, reporting)
                for number, block in sorted(blocks.items())
                if len({t.record.arm for t in block}) == arms
            }
        return self._compared[experiment]

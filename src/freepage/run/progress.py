"""The seam between a run and its display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.records import SampleLine, TrialRecord
    from freepage.study.plan import Trial


class Progress(Protocol):
    """A display of a run's progress."""

    def run_started(self, trials: Sequence[Trial], total_s: float) -> None:
        """All trials in order, and the seconds they are expected to take."""
        ...

    def trial_started(self, trial: Trial) -> None: ...

    def sampled(self, trial: Trial, line: SampleLine) -> None:
        """One sample with its time since the trial's zero."""
        ...

    def trial_ended(self, trial: Trial, record: TrialRecord) -> None: ...

    def run_ended(self) -> None: ...

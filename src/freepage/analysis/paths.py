"""Paths of estimates below one experiment of results.json: "arms.vm-fpr.release_t90_s", "comparisons.io_ratio"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity
from freepage.records import Arm

if TYPE_CHECKING:
    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.stats import Estimate


@dataclass(frozen=True)
class EstimatePath:
    """One number of an arm, or a comparison of arms; as text it is what results.json's readers follow."""

    number: Quantity | Comparison
    arm: Arm | None = None

    def __str__(self) -> str:
        return f"comparisons.{self.number}" if self.arm is None else f"arms.{self.arm}.{self.number}"

    def find(self, experiment: ExperimentResults) -> Estimate | None:
        """Return the estimate; None where it was not measured."""
        if isinstance(self.number, Comparison):
            return experiment.compared(self.number)
        return None if self.arm is None else experiment.estimate(self.arm, self.number)


def parse_path(text: str) -> EstimatePath:
    """Read a path; ValueError where it names no arm or no number."""
    section, *names = text.split(".")
    if section == "comparisons" and len(names) == 1:
        return EstimatePath(Comparison.with_id(names[0]))
    if section == "arms" and len(names) == 2:
        return EstimatePath(Quantity.with_id(names[1]), Arm(names[0]))
    raise ValueError(
        f"{text!r} is no path of an estimate, such as arms.vm-fpr.release_t90_s or comparisons.io_ratio"
    )

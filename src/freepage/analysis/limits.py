"""The costs of FPR in each experiment, against the limits of the verdict's rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.estimates import Comparison, Quantity
from freepage.analysis.stats import Estimate
from freepage.kinds import Subject
from freepage.records import Arm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.analysis.experiments import ExperimentResults
    from freepage.records import VerdictRule


class Cost(StrEnum):
    """One kind of cost that FPR can have."""

    ALLOCATION = "allocation"
    CPU = "cpu"
    IO = "io"


@dataclass(frozen=True)
class ExperimentOutcome:
    """The numbers of one experiment that the verdict rests on; None is not measured there.

    vms: how its VMs are called ("churn-*"). reallocation: later allocations, with FPR against without; allocation: all
    of them, per GiB. cpu_cores_per_vm: mean over the experiment. guest_io, host_io: throughput with FPR against without.
    """

    experiment: str = ""
    vms: str = ""
    given_back: Estimate | None = None
    given_back_without: Estimate | None = None
    release_t90: Estimate | None = None
    reallocation: Estimate | None = None
    allocation: Estimate | None = None
    cpu_s_per_gib: Estimate | None = None
    cpu_cores_per_vm: Estimate | None = None
    guest_io: Estimate | None = None
    host_io: Estimate | None = None


@dataclass(frozen=True)
class LimitCheck:
    """A cost in words, with its interval ("" for a single trial), and where it lies against the rule's limit.

    n: its trials. beyond: what is said of it beyond the limit.
    """

    cost: Cost
    position: IntervalPosition
    text: str
    interval: str
    n: int
    beyond: str = "more than the rule allows"

    @property
    def words(self) -> str:
        """The cost and how it stands to its limit."""
        if self.position is IntervalPosition.STRADDLING:
            return f"{self.text}; the interval, {self.interval}, lies on both sides of the limit"
        return f"{self.text}, {self.beyond}" if self.position is IntervalPosition.BEYOND else self.text


@dataclass(frozen=True)
class CostReport:
    """All costs of one experiment that were measured."""

    outcome: ExperimentOutcome
    checks: tuple[LimitCheck, ...]

    @property
    def position(self) -> IntervalPosition | None:
        """The position of its worst cost; None where none was measured."""
        order = (IntervalPosition.BEYOND, IntervalPosition.STRADDLING, IntervalPosition.WITHIN)
        return next((position for position in order if self.at(position)), None)

    def at(self, position: IntervalPosition) -> list[LimitCheck]:
        return [check for check in self.checks if check.position is position]

    @property
    def too_high(self) -> str:
        """The costs beyond their limits, in words."""
        return " and ".join(check.text for check in self.at(IntervalPosition.BEYOND))


def build_outcome(name: str, experiment: ExperimentResults, instances: Iterable[str]) -> ExperimentOutcome:
    """Return what the verdict needs of an experiment; `instances` are the names its VMs had."""
    names, measures = list(instances), experiment.traits.measures

    def compared(comparison: Comparison, *, about: Subject) -> Estimate | None:
        return experiment.compared(comparison) if about in measures else None

    # Where instances run programs, their CPU is not spent on memory alone: only what is about allocation counts.
    memory = Subject.ALLOCATION
    return ExperimentOutcome(
        experiment=name,
        vms=", ".join(dict.fromkeys(re.sub(r"-\d+$", "-*", n) for n in names)),
        given_back=experiment.estimate(Arm.VM_FPR, Quantity.GIVEN_BACK),
        given_back_without=experiment.estimate(Arm.VM, Quantity.GIVEN_BACK),
        release_t90=experiment.estimate(Arm.VM_FPR, Quantity.RELEASE_T90),
        reallocation=compared(Comparison.REALLOCATION, about=memory),
        allocation=compared(Comparison.ALLOCATION, about=memory),
        cpu_s_per_gib=compared(Comparison.EXTRA_CPU_PER_GIB, about=memory),
        cpu_cores_per_vm=_divide(compared(Comparison.EXTRA_CPU, about=memory), len(names)),
        guest_io=compared(Comparison.IO_RATIO, about=Subject.GUEST_IO),
        host_io=compared(Comparison.IO_RATIO, about=Subject.HOST_IO),
    )


def check_limits(outcome: ExperimentOutcome, rule: VerdictRule) -> CostReport:
    """Check every cost that an experiment measured against the rule's limits."""
    found = (_check_allocation(outcome, rule), _check_cpu(outcome, rule), _check_io(outcome, rule))
    return CostReport(outcome, tuple(check for check in found if check is not None))


def _check_allocation(outcome: ExperimentOutcome, rule: VerdictRule) -> LimitCheck | None:
    again = outcome.reallocation or outcome.allocation
    if again is None:
        return None
    what = "allocating again" if outcome.reallocation else "allocating"
    position = Bounds(at_most=rule.max_reallocation_penalty).locate(again)
    text = f"{what} took {again.value:.2g} times as long as without FPR"
    return LimitCheck(Cost.ALLOCATION, position, text, _interval(again), again.n)


def _check_cpu(outcome: ExperimentOutcome, rule: VerdictRule) -> LimitCheck | None:
    """Check CPU: it is too much when it is out of proportion to what came back and also more than a VM may cost."""
    per_gib, per_vm = outcome.cpu_s_per_gib, outcome.cpu_cores_per_vm
    if per_gib is None or per_vm is None:
        return None
    positions = {
        Bounds(at_most=rule.max_extra_cpu_s_per_gib).locate(per_gib),
        Bounds(at_most=rule.max_extra_cpu_cores_per_vm).locate(per_vm),
    }
    order = (IntervalPosition.WITHIN, IntervalPosition.STRADDLING, IntervalPosition.BEYOND)
    position = next(p for p in order if p in positions)
    text = f"FPR added {per_gib.value:.2g} s of CPU per GiB given back, {per_vm.value:.2g} core per VM"
    return LimitCheck(Cost.CPU, position, text, _interval(per_gib), per_gib.n)


def _check_io(outcome: ExperimentOutcome, rule: VerdictRule) -> LimitCheck | None:
    ratio = outcome.guest_io
    if ratio is None:
        return None
    text = f"I/O in the guests ran {ratio.value:.2g} times as fast as without FPR"
    position = Bounds(at_least=rule.min_io_ratio).locate(ratio)
    return LimitCheck(Cost.IO, position, text, _interval(ratio), ratio.n, "less than the rule asks for")


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.2g} to {estimate.high:.2g}"


def _divide(estimate: Estimate | None, count: int) -> Estimate | None:
    if estimate is None or not count:
        return None
    low, high = (None if b is None else b / count for b in (estimate.low, estimate.high))
    return Estimate(estimate.value / count, low, high, estimate.unit, estimate.n)

"""The costs of FPR in each experiment, against the limits of the verdict's rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity
from freepage.analysis.experiments import is_about_releases
from freepage.analysis.significance import ONE_SIDED, correct_by_holm
from freepage.analysis.undecided import explain_undecided, lower_first
from freepage.kinds import Subject
from freepage.records import Arm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.stats import Estimate
    from freepage.records import VerdictRule


class Cost(StrEnum):
    """One kind of cost that FPR can have."""

    ALLOCATION = "allocation"
    CPU = "cpu"
    IO = "io"


@dataclass(frozen=True)
class ExperimentOutcome:
    """The numbers of one experiment that the verdict rests on; None is not measured there.

    vms: how its VMs are called ("churn-*"). saved_mean, saved_max: of what VMs without FPR take of the node; saved_of_possible,
    saved_max_of_possible: of what a pod shows to be possible; has_pods: whether pods were planned to. saved_in_time: the share of
    what idle memory takes, in GiB x s, that the kernel's own passes leave to save (fpr/pace.py); None
    where they are not known. reallocation: later allocations, with FPR against without; allocation: all of them, per GiB.
    cpu_cores_per_vm: mean over the experiment. guest_io, host_io:
    throughput with FPR against without. about_releases: whether its VMs were meant to give memory back, and ran. obstacle: why
    its shares do not count.
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
    saved_mean: Estimate | None = None
    saved_max: Estimate | None = None
    saved_of_possible: Estimate | None = None
    saved_max_of_possible: Estimate | None = None
    has_pods: bool = False
    saved_in_time: float | None = 1.0
    about_releases: bool = False
    obstacle: str = ""
    node_obstacle: str = ""


@dataclass(frozen=True)
class LimitCheck:
    """A cost in words, and where it lies against the rule's limit.

    undecided: why it does not decide, where it does not. error: the probability of such a cost, were the truth at the limit;
    None where the method has none. beyond: what is said of it beyond the limit.
    """

    cost: Cost
    position: IntervalPosition
    text: str
    undecided: str
    error: float | None = None
    beyond: str = "more than the rule allows"

    @property
    def words(self) -> str:
        """The cost and how it stands to its limit."""
        if self.position is IntervalPosition.STRADDLING:
            return f"{self.text}, which is open: {lower_first(self.undecided).removesuffix('.')}"
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


def build_outcome(
    name: str, experiment: ExperimentResults, instances: Iterable[str], *, ran: bool = True
) -> ExperimentOutcome:
    """Return what the verdict needs of an experiment; `instances` are the names its VMs had, `ran`: whether any was started."""
    names, measures = list(instances), experiment.traits.measures

    def saved(comparison: Comparison) -> Estimate | None:
        # Where an arm is compared with itself, a difference says nothing of FPR.
        return None if experiment.traits.repeats_arm else experiment.compared(comparison)

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
        saved_mean=saved(Comparison.SAVED_MEAN_SHARE),
        saved_max=saved(Comparison.SAVED_MAX_SHARE),
        saved_of_possible=saved(Comparison.SAVED_OF_POSSIBLE),
        saved_max_of_possible=saved(Comparison.SAVED_MAX_OF_POSSIBLE),
        has_pods=Arm.POD in experiment.arms,
        about_releases=ran and is_about_releases(experiment.traits),
    )


def check_limits(outcomes: Iterable[ExperimentOutcome], rule: VerdictRule) -> tuple[CostReport, ...]:
    """Check every cost that experiments measured against the rule's limits.

    One of many costs lies beyond its limit by chance before long, so those that do are corrected together.
    """
    found = [
        CostReport(
            o, tuple(filter(None, (_check_allocation(o, rule), _check_cpu(o, rule), _check_io(o, rule))))
        )
        for o in outcomes
    ]
    checks = [check for report in found for check in report.checks]
    stands = correct_by_holm([check.error for check in checks], [ONE_SIDED] * len(checks))
    corrected = iter(
        [check if stand else _leave_open(check) for check, stand in zip(checks, stands, strict=True)]
    )
    return tuple(replace(report, checks=tuple(next(corrected) for _ in report.checks)) for report in found)


def _leave_open(check: LimitCheck) -> LimitCheck:
    """Return a check that does not stand among so many; one that is not beyond its limit excepts nobody and stays."""
    if check.position is not IntervalPosition.BEYOND:
        return check
    undecided = "Among so many costs one would seem as high by chance; more repeats would tell."
    return replace(check, position=IntervalPosition.STRADDLING, undecided=undecided)


def _check_allocation(outcome: ExperimentOutcome, rule: VerdictRule) -> LimitCheck | None:
    again = outcome.reallocation or outcome.allocation
    if again is None:
        return None
    what = "allocating again" if outcome.reallocation else "allocating"
    bounds = Bounds(at_most=rule.max_reallocation_penalty)
    text = f"{what} took {again.value:.2g} times as long as without FPR"
    return _check(Cost.ALLOCATION, again, bounds, text)


def _check_cpu(outcome: ExperimentOutcome, rule: VerdictRule) -> LimitCheck | None:
    """Check CPU: it is too much when it is out of proportion to what came back and also more than a VM may cost.

    Where only the latter is known it may still show that FPR costs little; that it costs too much stays open.
    """
    per_gib, per_vm = outcome.cpu_s_per_gib, outcome.cpu_cores_per_vm
    if per_vm is None:
        return None
    at_most = Bounds(at_most=rule.max_extra_cpu_cores_per_vm)
    if per_gib is None:
        alone = _check(Cost.CPU, per_vm, at_most, f"FPR added {per_vm.value:.2g} core of CPU per VM")
        unknown = "How much came back for it is not known."
        beyond = alone.position is IntervalPosition.BEYOND
        return replace(alone, position=IntervalPosition.STRADDLING, undecided=unknown) if beyond else alone
    text = f"FPR added {per_gib.value:.2g} s of CPU per GiB given back, {per_vm.value:.2g} core per VM"
    both = (
        _check(Cost.CPU, per_gib, Bounds(at_most=rule.max_extra_cpu_s_per_gib), text),
        _check(Cost.CPU, per_vm, at_most, text),
    )
    order = (IntervalPosition.WITHIN, IntervalPosition.STRADDLING, IntervalPosition.BEYOND)
    check = min(both, key=lambda c: order.index(c.position))
    errors = [c.error for c in both if c.error is not None]
    return replace(check, error=max(errors, default=None))


def _check_io(outcome: ExperimentOutcome, rule: VerdictRule) -> LimitCheck | None:
    ratio = outcome.guest_io
    if ratio is None:
        return None
    text = f"I/O in the guests ran {ratio.value:.2g} times as fast as without FPR"
    check = _check(Cost.IO, ratio, Bounds(at_least=rule.min_io_ratio), text)
    return replace(check, beyond="less than the rule asks for")


def _check(cost: Cost, estimate: Estimate, bounds: Bounds, text: str) -> LimitCheck:
    position = bounds.locate(estimate)
    return LimitCheck(cost, position, text, explain_undecided(estimate, bounds), bounds.find_error(estimate))


def _divide(estimate: Estimate | None, count: int) -> Estimate | None:
    if estimate is None or not count:
        return None
    low, high = (None if b is None else b / count for b in (estimate.low, estimate.high))
    return replace(estimate, value=estimate.value / count, low=low, high=high)

"""What FPR costs in each experiment, against the limits of the rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, Side
from freepage.analysis.stats import Estimate
from freepage.kinds import Subject, find_kind
from freepage.records import Arm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freepage.records import VerdictRule


@dataclass(frozen=True)
class ExperimentOutcome:
    """What one experiment says of FPR; None is not measured there.

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
    """A price in words, with its interval ("" for a single trial), and on which side of the rule's limit it lies.

    beyond: what is said of it beyond the limit.
    """

    side: Side
    text: str
    interval: str
    n: int
    beyond: str = "more than the rule allows"

    @property
    def words(self) -> str:
        """The price and how it stands to its limit."""
        if self.side is Side.BOTH:
            return f"{self.text}; the interval, {self.interval}, lies on both sides of the limit"
        return f"{self.text}, {self.beyond}" if self.side is Side.BEYOND else self.text


@dataclass(frozen=True)
class CostReport:
    """All prices of one experiment that were measured."""

    weighed: ExperimentOutcome
    prices: tuple[LimitCheck, ...]

    @property
    def side(self) -> Side | None:
        """The worst side any price lies on; None where none was measured."""
        sides = {price.side for price in self.prices}
        return next((s for s in (Side.BEYOND, Side.BOTH, Side.WITHIN) if s in sides), None)

    def on(self, side: Side) -> list[LimitCheck]:
        return [price for price in self.prices if price.side is side]

    @property
    def too_high(self) -> str:
        """The prices beyond their limits, in words."""
        return " and ".join(price.text for price in self.on(Side.BEYOND))


def weigh_experiment(
    name: str,
    kind: str,
    instances: Iterable[str],
    arms: Mapping[str, Mapping[str, Estimate | None]],
    comparisons: Mapping[str, Estimate | None],
) -> ExperimentOutcome:
    """Pick what the verdict weighs from an experiment's estimates; `instances` are the names its VMs had."""
    names = list(instances)
    fpr, measures = arms.get(Arm.VM_FPR, {}), find_kind(kind).measures
    # Where instances run programs, their CPU is not spent on memory alone.
    memory = Subject.ALLOCATION in measures
    return ExperimentOutcome(
        experiment=name,
        vms=", ".join(dict.fromkeys(re.sub(r"-\d+$", "-*", n) for n in names)),
        given_back=fpr.get("given_back_fraction"),
        given_back_without=arms.get(Arm.VM, {}).get("given_back_fraction"),
        release_t90=fpr.get("release_t90_s"),
        reallocation=comparisons.get("reallocation_penalty") if memory else None,
        allocation=comparisons.get("allocation_penalty") if memory else None,
        cpu_s_per_gib=comparisons.get("extra_cpu_s_per_gib") if memory else None,
        cpu_cores_per_vm=_divide(comparisons.get("extra_cpu_cores"), len(names)) if memory else None,
        guest_io=comparisons.get("io_ratio") if Subject.GUEST_IO in measures else None,
        host_io=comparisons.get("io_ratio") if Subject.HOST_IO in measures else None,
    )


def judge_prices(weighed: ExperimentOutcome, rule: VerdictRule) -> CostReport:
    """Judge every price that an experiment measured by the rule's limits."""
    found = (_allocation_price(weighed, rule), _cpu_price(weighed, rule), _io_price(weighed, rule))
    return CostReport(weighed, tuple(price for price in found if price is not None))


def _allocation_price(weighed: ExperimentOutcome, rule: VerdictRule) -> LimitCheck | None:
    again = weighed.reallocation or weighed.allocation
    if again is None:
        return None
    what = "allocating again" if weighed.reallocation else "allocating"
    side = Bounds(at_most=rule.max_reallocation_penalty).judge(again)
    return LimitCheck(
        side, f"{what} took {again.value:.2g} times as long as without FPR", _interval(again), again.n
    )


def _cpu_price(weighed: ExperimentOutcome, rule: VerdictRule) -> LimitCheck | None:
    """CPU is too much when it is out of proportion to what came back and also more than a VM may cost."""
    per_gib, per_vm = weighed.cpu_s_per_gib, weighed.cpu_cores_per_vm
    if per_gib is None or per_vm is None:
        return None
    sides = {
        Bounds(at_most=rule.max_extra_cpu_s_per_gib).judge(per_gib),
        Bounds(at_most=rule.max_extra_cpu_cores_per_vm).judge(per_vm),
    }
    side = next(s for s in (Side.WITHIN, Side.BOTH, Side.BEYOND) if s in sides)
    text = f"FPR added {per_gib.value:.2g} s of CPU per GiB given back, {per_vm.value:.2g} core per VM"
    return LimitCheck(side, text, _interval(per_gib), per_gib.n)


def _io_price(weighed: ExperimentOutcome, rule: VerdictRule) -> LimitCheck | None:
    ratio = weighed.guest_io
    if ratio is None:
        return None
    text = f"I/O in the guests ran {ratio.value:.2g} times as fast as without FPR"
    side = Bounds(at_least=rule.min_io_ratio).judge(ratio)
    return LimitCheck(side, text, _interval(ratio), ratio.n, "less than the rule asks for")


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.2g} to {estimate.high:.2g}"


def _divide(estimate: Estimate | None, count: int) -> Estimate | None:
    if estimate is None or not count:
        return None
    low, high = (None if b is None else b / count for b in (estimate.low, estimate.high))
    return Estimate(estimate.value / count, low, high, estimate.unit, estimate.n)

"""The arms of one experiment compared, paired by block: ratios, differences, and shares of what could be saved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from freepage.analysis.arithmetic import divide, subtract
from freepage.analysis.compared import Comparison
from freepage.analysis.cpu import LEAST_GIVEN_BACK_GIB
from freepage.analysis.definition import Nature
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.footprints import compare_footprints
from freepage.analysis.io import compare_io
from freepage.analysis.stats import estimate_difference, estimate_mean, estimate_ratio
from freepage.kinds import find_kind
from freepage.records import Arm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.analysis.compared import Comparisons
    from freepage.analysis.estimates import ArmEstimates, TrialValues
    from freepage.analysis.stats import Estimate
    from freepage.fpr.release import Reporting
    from freepage.store import TrialData

# Each number of the first arm / that of the second.
RATIOS = {
    Comparison.REALLOCATION: (Quantity.ALLOC_REST, Arm.VM_FPR, Arm.VM),
    Comparison.NODE_MEAN_RATIO: (Quantity.NODE_MEAN, Arm.VM_FPR, Arm.VM),
    Comparison.NODE_MAX_RATIO: (Quantity.NODE_MAX, Arm.VM_FPR, Arm.VM),
    Comparison.WORKING_SET_MEAN_RATIO: (Quantity.WORKING_SET_MEAN, Arm.VM_FPR, Arm.VM),
    Comparison.WORKING_SET_MAX_RATIO: (Quantity.WORKING_SET_MAX, Arm.VM_FPR, Arm.VM),
    Comparison.COMMAND_RATIO: (Quantity.COMMAND_TIME, Arm.VM_FPR, Arm.VM),
    Comparison.FIRST_ALLOCATION: (Quantity.ALLOC_FIRST, Arm.VM_FPR, Arm.VM),
    Comparison.ALLOCATION: (Quantity.ALLOC_PER_GIB, Arm.VM_FPR, Arm.VM),
    Comparison.ALLOCATION_AGAINST_POD: (Quantity.ALLOC_PER_GIB, Arm.VM_FPR, Arm.POD),
}
# Each number of the first arm - that of the second.
DIFFERENCES: dict[Comparison, tuple[Quantity | TrialOnly, Arm, Arm]] = {
    Comparison.EXTRA_CPU: (Quantity.INSTANCE_CPU, Arm.VM_FPR, Arm.VM),
    Comparison.EXTRA_RELEASE_PEAK: (Quantity.CPU_RELEASE_PEAK, Arm.VM_FPR, Arm.VM),
    Comparison.SAVED_MEAN: (Quantity.NODE_MEAN, Arm.VM, Arm.VM_FPR),
    Comparison.SAVED_MAX: (Quantity.NODE_MAX, Arm.VM, Arm.VM_FPR),
    Comparison.ABOVE_POD: (Quantity.NODE_MEAN, Arm.VM_FPR, Arm.POD),
    Comparison.OVERHEAD_PER_VM: (TrialOnly.NODE_MEAN_PER_INSTANCE, Arm.VM_FPR, Arm.POD),
    Comparison.OVERHEAD_PER_VM_WITHOUT: (TrialOnly.NODE_MEAN_PER_INSTANCE, Arm.VM, Arm.POD),
}
# How much less each number is of vm-fpr than of vm, of the number of vm less that of the arm, or of nothing.
SAVED_SHARES: dict[Comparison, tuple[Quantity, Arm | None]] = {
    Comparison.SAVED_MEAN_SHARE: (Quantity.NODE_MEAN, None),
    Comparison.SAVED_MAX_SHARE: (Quantity.NODE_MAX, None),
    Comparison.SAVED_OF_POSSIBLE: (Quantity.HELD_NEEDLESSLY, Arm.POD),
    Comparison.SAVED_MAX_OF_POSSIBLE: (Quantity.NODE_MAX, Arm.POD),
}
# Where a pod takes nearly what a VM takes there is nothing to save, and no share of it.
LEAST_POSSIBLE = 0.05


def find_margin(comparison: Comparison, without: ArmEstimates) -> float | None:
    """Return the difference that matters: of a ratio or a share its margin, of a difference the margin's part of the vm arm's number.

    without: the numbers of the vm arm. None where there is no such number, and for what is counted.
    """
    margin = comparison.margin
    if comparison.nature is Nature.COUNT or margin is None:
        return None
    if comparison.unit in {"ratio", "fraction"}:
        return margin
    number = DIFFERENCES[comparison][0] if comparison in DIFFERENCES else None
    whole = without.get(number) if isinstance(number, Quantity) else None
    return None if whole is None else margin * abs(whole.value)


@dataclass(frozen=True)
class _Pairs:
    """The numbers of an experiment's trials, to be paired by block."""

    trials: Sequence[TrialData]
    values: Mapping[str, TrialValues]

    @cached_property
    def roles(self) -> dict[Arm, Arm]:
        """Return which arms stand for others: in an A/A test the control for FPR on, the same arm for FPR off."""
        arms = {t.record.arm for t in self.trials}
        if Arm.CONTROL not in arms:
            return {}
        return {Arm.VM_FPR: Arm.CONTROL, Arm.VM: next(iter(arms - {Arm.CONTROL}), Arm.VM)}

    def by_repeat(self, arm: Arm, number: Quantity | TrialOnly) -> dict[int, float | None]:
        played = self.roles.get(arm, arm)
        mine = (t.record for t in self.trials if t.record.arm is played)
        return {r.repeat: self.values[r.id].get(number) for r in mine}


def compare_arms(
    trials: Sequence[TrialData], values: Mapping[str, TrialValues], reporting: Reporting | None = None
) -> Comparisons:
    """Return every comparison of an experiment; `trials` are those that ended well, `values` their numbers by id.

    reporting: the terms on which its guests report; without them nothing is forecast.
    """
    pairs = _Pairs(trials, values)
    found: Comparisons = compare_io([t for t in trials if find_kind(t.record.kind).measures_io])
    found |= compare_footprints(trials, reporting)
    for comparison, (number, above, below) in RATIOS.items():
        found[comparison] = estimate_ratio(pairs.by_repeat(above, number), pairs.by_repeat(below, number))
    for comparison, (what, first, second) in DIFFERENCES.items():
        one, other = pairs.by_repeat(first, what), pairs.by_repeat(second, what)
        found[comparison] = estimate_difference(one, other, comparison.unit)
    for comparison, (number, best) in SAVED_SHARES.items():
        found[comparison] = _estimate_saved_share(pairs, number, best, comparison.unit)
    found[Comparison.REALLOCATION_AGAINST_FIRST] = estimate_ratio(
        pairs.by_repeat(Arm.VM_FPR, Quantity.ALLOC_REST), pairs.by_repeat(Arm.VM_FPR, Quantity.ALLOC_FIRST)
    )
    found[Comparison.EXTRA_CPU_PER_GIB] = _extra_cpu_per_gib(pairs)
    return {comparison: found[comparison] for comparison in Comparison}


def _estimate_saved_share(pairs: _Pairs, number: Quantity, best: Arm | None, unit: str) -> Estimate | None:
    """Return (vm - vm-fpr) / (vm - best), by block; None where a block leaves nothing to save."""
    without, with_fpr = pairs.by_repeat(Arm.VM, number), pairs.by_repeat(Arm.VM_FPR, number)
    least = dict.fromkeys(without, 0.0) if best is None else pairs.by_repeat(best, number)
    shares: list[float | None] = []
    for block, most in without.items():
        possible, saved = subtract(most, least.get(block)), subtract(most, with_fpr.get(block))
        if most is None or possible is None or saved is None:
            continue
        if possible <= LEAST_POSSIBLE * most or most <= 0:
            return None
        shares.append(divide(saved, possible))
    return estimate_mean(shares, unit)


def _extra_cpu_per_gib(pairs: _Pairs) -> Estimate | None:
    """Return the CPU seconds that instances with FPR used more than those without, for each GiB that came back.

    None where in a block next to nothing did: what the others cost alone would flatter.
    """
    back = pairs.by_repeat(Arm.VM_FPR, TrialOnly.GIVEN_BACK_GIB)
    with_fpr = pairs.by_repeat(Arm.VM_FPR, TrialOnly.INSTANCE_CPU_TIME)
    without = pairs.by_repeat(Arm.VM, TrialOnly.INSTANCE_CPU_TIME)
    if any(gib is not None and gib <= LEAST_GIVEN_BACK_GIB for gib in back.values()):
        return None
    values = [
        divide(subtract(with_fpr.get(repeat), without.get(repeat)), gib) for repeat, gib in back.items()
    ]
    return estimate_mean(values, Comparison.EXTRA_CPU_PER_GIB.unit)

"""Arms compared by block."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from freepage.analysis.compared import Comparison
from freepage.analysis.comparisons import compare_arms, find_margin
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.records import Arm


def extra_cpu_per_gib(*back_gib):
    """Return what FPR costs for each GiB where it adds 2 s in every block, and this much came back in each."""
    trials, values = [], {}
    for repeat, gib in enumerate(back_gib):
        for arm, cpu_s in ((Arm.VM, 10.0), (Arm.VM_FPR, 12.0)):
            name = f"{arm}-{repeat}"
            trials.append(
                SimpleNamespace(record=SimpleNamespace(id=name, arm=arm, repeat=repeat, kind="churn"))
            )
            values[name] = {TrialOnly.INSTANCE_CPU_TIME: cpu_s, TrialOnly.GIVEN_BACK_GIB: gib}
    return compare_arms(trials, values)[Comparison.EXTRA_CPU_PER_GIB]


def test_extra_cpu_is_for_each_gib_that_came_back():
    found = extra_cpu_per_gib(2.0, 4.0, 2.0)
    assert (found.value, found.n) == (pytest.approx(2.5 / 3), 3)


def test_a_block_in_which_nothing_came_back_leaves_no_price_for_each_gib():
    """Left out it once made FPR look cheap: the price of nothing has no bounds."""
    assert extra_cpu_per_gib(2.0, 2.0, 0.0) is None


def test_a_block_that_does_not_know_what_came_back_has_no_price():
    assert extra_cpu_per_gib(2.0, 2.0, 2.0, None).n == 3


@pytest.mark.parametrize(
    ("number", "margin"),
    [
        (Comparison.REALLOCATION, 0.05),
        (Comparison.SAVED_MEAN_SHARE, 0.05),
        (Comparison.SAVED_MEAN, 0.05 * 600),
        (Comparison.ABOVE_POD, 0.05 * 200),
        (Comparison.OVERHEAD_PER_VM, None),
        (Comparison.EXTRA_CPU_PER_GIB, None),
        (Comparison.CACHED_LOST, None),
        (Quantity.ALLOC_FIRST, 0.05),
        (Quantity.GIVEN_BACK, 0.05),
        (Quantity.COMMAND_FAILURES, None),
    ],
)
def test_a_margin_is_a_share_of_what_is_compared_or_of_what_a_difference_is_taken_from(number, margin):
    sizes = {(Arm.VM, Quantity.NODE_MEAN): 600.0, (Arm.POD, Quantity.NODE_MEAN): -200.0}
    found = find_margin(number, 0.05, lambda arm, of: sizes.get((arm, of)))
    assert found == (None if margin is None else pytest.approx(margin))
    assert find_margin(number, None, lambda arm, of: 1.0) is None

"""Estimates by the nature of the number, and what they must never do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.compared import Comparison
from freepage.analysis.definition import Nature
from freepage.analysis.estimates import Quantity
from freepage.analysis.stats import (
    Estimate,
    estimate_censored,
    estimate_count,
    estimate_difference,
    estimate_mean,
    estimate_positive,
    estimate_ratio,
    estimate_share,
    estimate_trials,
)

values = st.lists(st.floats(0.1, 1e6), min_size=3, max_size=8)


def test_a_ratio_is_paired_by_block_so_that_a_slow_hour_cancels():
    slow_hour = estimate_ratio({0: 2.0, 1: 20.0, 2: 4.0}, {0: 1.0, 1: 10.0, 2: 2.0})
    assert slow_hour.value == pytest.approx(2.0)
    assert slow_hour.high == pytest.approx(slow_hour.low)


def test_a_ratio_of_nothing_is_not_known():
    assert estimate_ratio({0: None}, {0: 1.0}) is None
    assert estimate_ratio({0: 1.0}, {1: 1.0}) is None


def test_a_ratio_with_a_pair_that_has_none_is_not_that_of_the_others():
    assert estimate_ratio({0: 1.0, 1: 2.0, 2: 2.0, 3: 2.0}, {0: 0.0, 1: 1.0, 2: 1.0, 3: 1.0}) is None
    assert estimate_ratio({0: -1.0, 1: 2.0}, {0: 1.0, 1: 1.0}) is None


@given(values, st.floats(0.5, 20))
def test_a_ratio_of_arms_that_differ_by_a_factor_is_that_factor(numbers, factor):
    below = dict(enumerate(numbers))
    estimate = estimate_ratio({r: v * factor for r, v in below.items()}, below)
    assert estimate.value == pytest.approx(factor)
    assert estimate.low > 0


@given(values)
def test_turning_a_ratio_around_turns_its_interval_around(numbers):
    first = dict(enumerate(numbers))
    second = dict(enumerate(reversed(numbers)))
    there, back = estimate_ratio(first, second), estimate_ratio(second, first)
    assert there.value * back.value == pytest.approx(1)
    if back.high < 1e100:
        assert there.low * back.high == pytest.approx(1)


def test_fewer_than_three_trials_have_a_value_and_no_interval():
    for n in (1, 2):
        for nature in Nature:
            found = estimate_trials(nature, [0.5] * n, "s")
            assert (found.value, found.low, found.high, found.n) == (pytest.approx(0.5), None, None, n), (
                nature
            )
    assert estimate_mean([None, None], "s") is None
    three = estimate_mean([1.0, 2.0, 3.0, None], "s")
    assert (three.value, three.n, three.method) == (2.0, 3, "student")
    assert three.high - three.value == pytest.approx(4.302653 / 3**0.5, rel=1e-5)


def test_ratios_and_differences_use_only_pairs_of_the_same_block():
    ratio = estimate_ratio({0: 2.0, 1: 4.0, 2: 8.0}, {0: 1.0, 1: 2.0, 3: 1.0})
    assert (ratio.value, ratio.n) == (pytest.approx(2.0), 2)
    assert estimate_difference({0: 3.0, 1: None}, {0: 1.0, 1: 1.0}, "s").value == 2.0


def test_what_cannot_be_negative_has_no_bound_below_zero():
    """Allocations of pods once took 0.17, 0.74 and 0.63 s: 0.51 [-0.24, 1.27] by Student's interval."""
    found = estimate_positive([0.17, 0.74, 0.63], "s")
    assert estimate_mean([0.17, 0.74, 0.63], "s").low < 0 < found.low
    assert (found.method, found.value) == ("student-log", pytest.approx((0.17 * 0.74 * 0.63) ** (1 / 3)))
    idle = estimate_positive([0.0, 0.01, 0.03], "cores")
    assert (idle.low, idle.method) == (0.0, "student")
    moved = estimate_positive([-5.0, 1.0, 2.0], "bytes")
    assert moved.low < 0, "memory below its baseline shows that other work ended"


def test_a_share_is_the_median_with_the_range_of_all_trials():
    found = estimate_share([0.95, 0.30, 0.96, 0.94, 0.95], "fraction")
    assert found == Estimate(0.95, 0.30, 0.96, "fraction", 5, "range")
    assert Bounds(at_least=0.8).locate(found) is IntervalPosition.STRADDLING


def test_a_time_that_some_releases_did_not_reach_is_censored_and_not_left_out():
    """Of three trials one reached 90 % after 3.9 s: that is no 3.9 s."""
    assert estimate_censored([3.9, math.inf, math.inf], "s") is None
    found = estimate_censored([3.9, 4.1, math.inf, 4.0, 3.8], "s")
    assert found == Estimate(4.0, 3.8, None, "s", 5, "censored")


def test_the_range_of_release_times_is_that_of_the_spans_between_samples_they_lie_in():
    """A pod's release over in 0.04 s once read 0.06 to 0.24 s: the middles of spans that all began with the free."""
    middles, widths = [0.06, 0.15, 0.24, 0.1, 0.2], [0.12, 0.3, 0.48, 0.2, 0.4]
    found = estimate_censored(middles, "s", widths)
    assert (found.value, found.low, found.high) == (0.15, 0.0, pytest.approx(0.48))
    open_above = estimate_censored([3.9, 4.1, math.inf, None, 4.0], "s", [0.5, 0.5, None, None, 0.5])
    assert (open_above.low, open_above.high, open_above.n) == (pytest.approx(3.65), None, 4)
    assert estimate_censored([0.1, 0.2], "s", [0.2, 0.2]) == Estimate(
        pytest.approx(0.15), None, None, "s", 2, "censored"
    )


def test_a_pace_that_most_releases_were_too_fast_or_too_slow_to_show_is_not_told():
    assert estimate_censored([math.inf, math.inf, 0.4], "GiB/s") is None
    assert estimate_censored([0.0, 0.0, 0.4], "GiB/s") is None
    assert estimate_censored([0.0, 0.4], "GiB/s") is None
    found = estimate_censored([0.0, 0.4, 0.5, 0.6, math.inf], "GiB/s")
    assert found == Estimate(0.5, 0.0, None, "GiB/s", 5, "censored")


def test_none_of_n_is_not_never():
    """Rule of three: 0 of 40 leaves up to 8.8 %, and 0 of 3 up to 71 %."""
    none = estimate_count([0.0] * 5, [8.0] * 5, "fraction")
    assert (none.value, none.low, none.high) == (0.0, 0.0, pytest.approx(0.0881, abs=1e-4))
    assert none.method == "clopper-pearson"
    few = estimate_count([0.0] * 3, [1.0] * 3, "fraction")
    assert few.high == pytest.approx(0.7076, abs=1e-4)
    cells = estimate_count([1.0, 0.0, 0.0, 0.0], [8.0] * 4, "cells")
    assert (cells.value, cells.low, cells.high) == (
        0.25,
        pytest.approx(8 * 0.00079, abs=1e-3),
        pytest.approx(8 * 0.1622, abs=1e-2),
    )
    assert estimate_count([0.0], [0.0], "fraction") is None


def test_every_number_has_a_nature_that_fits_its_unit():
    for number in (*Quantity, *Comparison):
        if number.unit == "ratio":
            assert number.nature is Nature.POSITIVE, number
        if number.unit in {"cells", "runs"}:
            assert number.nature is Nature.COUNT, number
        assert (number.nature is Nature.SIGNED) == (
            any(word in number for word in ("saved", "extra", "above", "overhead_per_vm", "passes_off"))
        ), number
    assert Quantity.GIVEN_BACK.nature is Nature.SHARE
    assert Comparison.SAVED_MEAN.margin == 0.05


@given(st.lists(st.floats(0.1, 1e6), min_size=3, max_size=8), st.sampled_from(list(Nature)))
def test_an_interval_holds_its_own_value(numbers, nature):
    estimate = estimate_trials(nature, numbers, "s")
    if estimate.low is not None:
        assert estimate.low <= estimate.value * (1 + 1e-12)
        assert estimate.value <= estimate.high * (1 + 1e-12)


def positions(nature, numbers, bounds):
    found = estimate_trials(nature, numbers, "s")
    return bounds.locate(found)


ANY_NATURE = st.sampled_from([Nature.POSITIVE, Nature.SIGNED, Nature.SHARE, Nature.CENSORED])
DECIDED = {IntervalPosition.WITHIN, IntervalPosition.BEYOND}


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=9), ANY_NATURE, st.floats(0.01, 100), st.data())
def test_dropping_a_trial_never_turns_a_decision_round(numbers, nature, bound, data):
    bounds = Bounds(at_most=bound)
    dropped = data.draw(st.integers(0, len(numbers) - 1))
    before = positions(nature, numbers, bounds)
    after = positions(nature, numbers[:dropped] + numbers[dropped + 1 :], bounds)
    assert {before, after} != DECIDED


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), ANY_NATURE, st.floats(0.01, 100))
def test_the_same_trials_twice_never_turn_a_decision_round(numbers, nature, bound):
    bounds = Bounds(at_most=bound)
    assert {positions(nature, numbers, bounds), positions(nature, numbers * 2, bounds)} != DECIDED

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.analysis.stats import Estimate, estimate_difference, estimate_mean, estimate_ratio

values = st.lists(st.floats(0.1, 1e6), min_size=2, max_size=8)


def test_a_ratio_is_paired_by_repeat_so_that_a_slow_hour_cancels():
    slow_hour = estimate_ratio({0: 2.0, 1: 20.0}, {0: 1.0, 1: 10.0})
    assert slow_hour.value == pytest.approx(2.0)
    assert slow_hour.high == pytest.approx(slow_hour.low)


def test_a_ratio_of_nothing_is_not_known():
    assert estimate_ratio({0: 1.0}, {0: 0.0}) is None
    assert estimate_ratio({0: None}, {0: 1.0}) is None


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


def test_one_trial_has_no_interval_and_several_have_students():
    assert estimate_mean([2.0], "s") == Estimate(2.0, None, None, "s", 1)
    assert estimate_mean([None, None], "s") is None
    three = estimate_mean([1.0, 2.0, 3.0, None], "s")
    assert (three.value, three.n) == (2.0, 3)
    assert three.high - three.value == pytest.approx(4.302653 / 3**0.5, rel=1e-5)


def test_ratios_and_differences_use_only_pairs_of_the_same_repeat():
    ratio = estimate_ratio({0: 2.0, 1: 4.0, 2: 8.0}, {0: 1.0, 1: 2.0, 3: 1.0})
    assert (ratio.value, ratio.n) == (pytest.approx(2.0), 2)
    assert estimate_ratio({0: 1.0}, {1: 1.0}) is None
    assert estimate_difference({0: 3.0, 1: None}, {0: 1.0, 1: 1.0}, "s").value == 2.0


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=8))
def test_an_interval_holds_its_own_value(values):
    estimate = estimate_mean(values, "s")
    assert estimate.low <= estimate.value <= estimate.high

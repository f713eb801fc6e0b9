from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.analysis.stats import estimate_difference, estimate_mean, estimate_ratio

values = st.lists(st.floats(0.1, 1e6), min_size=2, max_size=8)


def test_one_trial_has_a_value_and_no_interval():
    estimate = estimate_mean([3.0], "s")
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (3.0, None, None, 1)


def test_no_trial_gives_no_estimate():
    assert estimate_mean([], "s") is None
    assert estimate_mean([None, None], "s") is None


def test_the_interval_is_students():
    estimate = estimate_mean([1.0, 2.0, 3.0], "s")
    half = 4.302653 / math.sqrt(3)  # t(0.975, 2) with a standard deviation of 1
    assert (estimate.low, estimate.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)


def test_a_trial_without_the_number_does_not_count():
    assert estimate_mean([1.0, None, 2.0], "s").n == 2


def test_a_ratio_is_paired_by_repeat_so_that_a_slow_hour_cancels():
    slow_hour = estimate_ratio({0: 2.0, 1: 20.0}, {0: 1.0, 1: 10.0})
    assert slow_hour.value == pytest.approx(2.0)
    assert slow_hour.high == pytest.approx(slow_hour.low)


def test_repeats_that_only_one_arm_has_are_left_out_of_ratios_and_differences():
    assert estimate_ratio({0: 2.0, 1: 4.0}, {1: 2.0}).n == 1
    assert estimate_difference({0: 2.0, 1: 4.0}, {1: 1.0, 2: 9.0}, "s").value == 3.0


def test_a_ratio_of_nothing_is_not_known():
    assert estimate_ratio({0: 1.0}, {0: 0.0}) is None
    assert estimate_ratio({0: None}, {0: 1.0}) is None


@given(values)
def test_the_value_lies_within_its_interval(numbers):
    estimate = estimate_mean(numbers, "s")
    assert estimate.low <= estimate.value <= estimate.high


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

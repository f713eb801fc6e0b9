from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.analysis.stats import estimate_ratio

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

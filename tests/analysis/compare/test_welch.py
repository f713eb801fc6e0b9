"""Two sides compared by one number, on values whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from freepage.analysis.compare.welch import (
    Interval,
    Sample,
    compare_means,
    compare_ranges,
)

MARGIN = math.log1p(0.05)
values = st.lists(st.floats(0.5, 2.0), min_size=1, max_size=6).map(tuple)
samples = st.lists(values, min_size=1, max_size=3).map(lambda runs: Sample(tuple(runs)))


def one(*of):
    return Sample((of,))


def test_fewer_than_three_blocks_a_side_have_a_value_and_decide_nothing():
    effect = compare_means(one(1.0, 1.01), one(2.0, 2.01, 2.02), margin=MARGIN)
    assert effect.value == pytest.approx(1.005, abs=0.01)
    assert effect.interval is None
    assert effect.p is None


def test_a_clear_change_has_an_interval_that_excludes_no_change():
    effect = compare_means(one(0.0, 0.01, -0.01), one(0.2, 0.21, 0.19), margin=MARGIN)
    assert effect.interval.excludes(0)
    assert effect.p < 0.001


@settings(max_examples=30)
@given(*[st.lists(st.integers(-50, 50), min_size=3, max_size=6, unique=True)] * 2)
def test_the_test_is_the_one_that_scipy_has(ours, theirs):
    ours, theirs = [v / 100 for v in ours], [v / 100 for v in theirs]
    known = ttest_ind(ours, theirs, equal_var=False)
    effect = compare_means(one(*theirs), one(*ours), margin=MARGIN)
    assert effect.p == pytest.approx(known.pvalue)
    assert effect.interval.low == pytest.approx(known.confidence_interval(0.95).low)
    assert effect.narrow.high == pytest.approx(known.confidence_interval(0.90).high)


def test_runs_are_the_unit_where_both_sides_have_several():
    """Blocks agree within a run, and runs differ: the blocks alone would call equal sides different."""
    base = Sample(((1.00, 1.01, 0.99), (1.40, 1.41, 1.39)))
    new = Sample(((1.30, 1.31, 1.29), (1.50, 1.51, 1.49)))
    by_run = compare_means(base, new, margin=MARGIN)
    by_block = compare_means(one(*base.runs[0]), one(*new.runs[0]), margin=MARGIN)
    assert by_run.runs_are_units
    assert not by_run.interval.excludes(0)
    assert by_block.interval.excludes(0)


def test_what_is_below_the_sampling_interval_is_no_evidence():
    base, new = one(0.0, 0.01, -0.01), one(0.1, 0.11, 0.09)
    assert compare_means(base, new, margin=MARGIN).p < 0.01
    unresolved = compare_means(base, new, margin=MARGIN, resolution=0.12)
    assert unresolved.p == pytest.approx(1.0)
    assert not unresolved.interval.excludes(0)
    assert unresolved.needed is None


def test_the_repeats_that_would_do_are_those_of_the_power_that_is_known():
    """At a spread of 2 % five blocks a side see about 5 %."""
    chance = np.random.default_rng(1)
    spread = chance.normal(0, 1, 5)
    spread = 0.02 * (spread - spread.mean()) / spread.std(ddof=1)
    effect = compare_means(one(*spread), one(*spread), margin=MARGIN)
    assert 0.035 < effect.could_see < 0.05
    assert 4 <= effect.needed <= 5


def test_shares_are_told_apart_only_where_their_ranges_are():
    apart = compare_ranges(one(0.95, 0.96, 0.97, 0.96), one(0.80, 0.82, 0.81, 0.83))
    assert apart.interval == Interval(pytest.approx(0.80 - 0.97), pytest.approx(0.83 - 0.95))
    touching = compare_ranges(one(0.95, 0.96, 0.97, 0.30), one(0.80, 0.82, 0.81, 0.83))
    assert touching.p == 1.0
    assert not touching.interval.excludes(0)


def test_three_shares_a_side_cannot_be_set_apart():
    assert compare_ranges(one(1.0, 1.0, 1.0), one(0.0, 0.0, 0.0)).interval is None


def test_values_without_spread_are_no_more_than_as_many_equal_draws():
    effect = compare_means(one(0.01, 0.01, 0.01), one(0.02, 0.02, 0.02), margin=None)
    assert effect.p == pytest.approx(2 / 64)


@given(samples, samples)
def test_turned_round_a_comparison_is_its_mirror(base, new):
    for compare in (lambda a, b: compare_means(a, b, margin=MARGIN, resolution=0.01), compare_ranges):
        there, back = compare(base, new), compare(new, base)
        assert there.value == pytest.approx(-back.value)
        assert there.p == (None if back.p is None else pytest.approx(back.p))
        assert there.needed == back.needed
        if there.interval is not None:
            assert there.interval.low == pytest.approx(-back.interval.high)
            assert there.narrow.high == pytest.approx(-back.narrow.low)


@pytest.mark.long
@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("draw", ["normal", "lognormal", "bimodal"])
def test_equal_sides_are_called_different_in_at_most_6_percent(n, draw):
    chance = np.random.default_rng(7)
    alarms = sum(
        compare_means(*(one(*_draw(chance, draw, n)) for _ in "ab"), margin=MARGIN).p < 0.05
        for _ in range(600)
    )
    assert alarms / 600 <= 0.06


def _draw(chance, draw, n):
    if draw == "bimodal":
        return np.log(chance.choice([0.2, 0.7], n) * chance.normal(1, 0.02, n))
    return chance.lognormal(0, 0.3, n) if draw == "lognormal" else chance.normal(0, 0.02, n)

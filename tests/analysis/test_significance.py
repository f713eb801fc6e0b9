"""Decisions from estimates: errors, Holm, equivalence, and what a run could have seen."""

from __future__ import annotations

import pytest
from scipy import stats as scipy_stats

from freepage.analysis.bounds import Bounds
from freepage.analysis.significance import (
    Difference,
    correct_by_holm,
    find_error,
    find_interval,
    find_range_error,
    find_repeats,
    find_smallest_effect,
    judge_difference,
)
from freepage.analysis.stats import estimate_mean, estimate_positive, estimate_share
from freepage.analysis.undecided import explain_undecided

FIVE = [1.02, 1.05, 0.99, 1.04, 1.01]


def test_the_error_and_the_interval_are_those_of_a_one_sample_t_test():
    found = estimate_mean(FIVE, "s")
    expected = scipy_stats.ttest_1samp(FIVE, 1.0, alternative="greater")
    assert find_error(found, 1.0) == pytest.approx(expected.pvalue)
    narrow = scipy_stats.ttest_1samp(FIVE, 1.0).confidence_interval(0.90)
    assert find_interval(found, 0.90) == pytest.approx((narrow.low, narrow.high))


def test_a_range_has_no_error_and_stays_as_wide_as_it_is():
    share = estimate_share(FIVE, "fraction")
    assert find_error(share, 0.5) is None
    assert find_interval(share, 0.90) == (0.99, 1.05)


@pytest.mark.parametrize(
    ("n", "bound", "error"), [(5, 0.5, 1 / 32), (6, 0.5, 1 / 64), (5, 2.0, 1 / 32), (5, 1.02, 1.0)]
)
def test_all_trials_of_a_range_lie_on_one_side_of_their_median_in_2_to_the_minus_n_of_runs(n, bound, error):
    share = estimate_share([*FIVE, 1.03][:n], "fraction")
    expected = scipy_stats.binomtest(n, n, 0.5, alternative="greater").pvalue
    assert find_range_error(share, bound) == error
    assert error in {expected, 1.0}


def test_only_ranges_are_ranked_by_the_sides_of_their_trials():
    assert find_range_error(estimate_mean(FIVE, "s"), 0.5) is None
    assert find_range_error(estimate_share([0.9, 0.95], "fraction"), 0.5) is None


def test_holm_keeps_the_smallest_errors_and_stops_at_the_first_that_fails():
    assert correct_by_holm([0.001, 0.02, 0.011, None], [0.025] * 4) == [True, True, True, True]
    assert correct_by_holm([0.001, 0.02, 0.013, None], [0.025] * 4) == [True, False, False, True]
    assert correct_by_holm([0.02], [0.025]) == [True]
    assert correct_by_holm([0.01, None, 0.04, 0.03], [0.05] * 4) == [True, True, False, False]
    assert correct_by_holm([], []) == []
    assert correct_by_holm([0.02] * 18, [0.025] * 18) == [False] * 18


def test_five_trials_that_vary_by_2_percent_see_5_percent():
    """Minimum detectable ratio at 80 %: about 4.9 % for five pairs at a deviation of 2 %; 9.7 % for three."""
    spread = [-1.2, -0.7, 0.0, 0.7, 1.2]
    scale = 0.02 / scipy_stats.tstd(spread)
    five = estimate_positive([1 + scale * z * 2**0.5 for z in spread], "ratio")
    assert find_smallest_effect(five) == pytest.approx(0.049, abs=0.004)
    three = estimate_positive([1 - 0.02 * 2**0.5, 1.0, 1 + 0.02 * 2**0.5], "ratio")
    assert find_smallest_effect(three) == pytest.approx(0.097, abs=0.01)


def test_how_many_repeats_would_do_is_said_where_the_interval_is_open():
    unsure = estimate_positive([1.2, 0.95, 1.3, 0.9, 1.25], "ratio")
    assert Bounds(at_least=1.0).locate(unsure) == "straddling"
    assert find_repeats(unsure, 1.0) > 5
    assert find_repeats(unsure, unsure.value) is None
    words = explain_undecided(unsure, Bounds(at_least=1.0))
    assert "lies on both sides of the bound" in words
    assert "0.9 to 1.4 times, lies" in words
    assert "see differences from 32" in words
    assert f"{find_repeats(unsure, 1.0)} repeats would do" in words
    assert "too near the bound" in explain_undecided(unsure, Bounds(at_least=unsure.value))


def test_repeats_that_would_do_are_never_fewer_than_a_decision_asks_for():
    """A claim is decided from five trials on; four once "would do"."""
    unsure = estimate_positive([1.3, 1.1, 1.2, 1.02], "ratio")
    needed, rule = find_repeats(unsure, 1.0), Bounds(at_least=1.0)
    assert f"{needed} repeats would do" in explain_undecided(unsure, rule)
    assert f"{needed + 3} repeats would do" in explain_undecided(unsure, rule, needed + 3)


def test_the_error_between_two_bounds_is_that_of_the_nearer_one_on_the_intervals_own_scale():
    same, rule = (
        estimate_positive([0.98, 1.02, 0.99, 1.01, 0.995], "ratio"),
        Bounds(at_least=0.9, at_most=1.1),
    )
    assert abs(same.value - 0.9) < abs(same.value - 1.1)
    assert rule.find_error(same) == find_error(same, 1.1) > find_error(same, 0.9)
    assert rule.find_error(estimate_share(FIVE, "fraction")) is None


def test_few_trials_say_what_was_seen_and_how_many_decide():
    rule = Bounds(at_least=0.5)
    assert explain_undecided(estimate_share([0.9, 0.95, 0.96], "fraction"), rule) == (
        "3 trials meet the rule; nothing is decided from fewer than 5 (--repeats 5)."
    )
    assert explain_undecided(estimate_mean([0.4], "s"), rule).startswith("One trial misses the rule; ")
    assert "2 trials" in explain_undecided(estimate_mean([0.4, 0.6], "s"), rule)


@pytest.mark.parametrize(
    ("values", "difference"),
    [
        ([1.001, 1.002, 0.999, 1.0, 1.003], Difference.SAME),
        ([1.2, 1.21, 1.19, 1.2, 1.22], Difference.DIFFERENT),
        ([1.01, 1.02, 1.015, 1.012, 1.018], Difference.SAME),
        ([1.04, 1.07, 1.05, 1.06, 1.03], Difference.OPEN),
        ([1.2, 1.2], Difference.OPEN),
    ],
)
def test_a_difference_is_one_only_beyond_the_margin_and_the_same_only_within(values, difference):
    assert judge_difference(estimate_positive(values, "ratio"), 0.05, neutral=1.0) is difference
    shifted = estimate_mean([v - 1 for v in values], "s")
    assert judge_difference(shifted, 0.05) is difference

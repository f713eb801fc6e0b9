"""Where an interval lies against the bounds of a rule, and the bounds in words."""

from __future__ import annotations

import pytest

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.stats import Estimate


def estimate(value, half=0.0):
    return Estimate(value, value - half, value + half, "ratio", 3)


@pytest.mark.parametrize(
    ("bounds", "unit", "words"),
    [
        (Bounds(at_least=0.8), "fraction", "at least 80\u00a0%"),
        (Bounds(at_most=2**30), "bytes", "at most 1.00 GiB"),
        (Bounds(at_least=1.1, at_most=1.6), "ratio", "between 1.1 and 1.6 times"),
        (Bounds(above=1.0, at_most=1.6), "ratio", "more than 1 and at most 1.6 times"),
        (Bounds(above=0.0), "bytes", "more than 0"),
    ],
)
def test_bounds_are_said_in_words(bounds, unit, words):
    assert bounds.describe(unit) == words


def test_a_bound_holds_its_own_value_unless_it_says_above():
    assert Bounds(at_least=1.0).locate(estimate(1.0)) is IntervalPosition.WITHIN
    assert Bounds(at_most=1.0).locate(estimate(1.0)) is IntervalPosition.WITHIN
    assert Bounds(above=1.0).locate(estimate(1.0)) is IntervalPosition.BEYOND
    assert Bounds(at_most=1.0).locate(estimate(1.0, 0.1)) is IntervalPosition.STRADDLING


@pytest.mark.parametrize(
    ("method", "n", "position"),
    [
        ("student", 1, "straddling"),
        ("student", 2, "straddling"),
        ("student", 3, "within"),
        ("range", 4, "straddling"),
        ("range", 5, "within"),
        ("censored", 4, "straddling"),
        ("clopper-pearson", 3, "within"),
    ],
)
def test_too_few_trials_decide_nothing(method, n, position):
    found = Estimate(1.0, 0.9, 1.1, "ratio", n, method)
    assert Bounds(at_least=0.5).locate(found) == position
    assert Bounds(at_least=0.5).locate(Estimate(1.0, None, None, "ratio", n, method)) == "straddling"


def test_a_time_that_was_not_always_reached_is_never_within_an_upper_bound():
    reached_late = Estimate(4.0, 3.0, None, "s", 5, "censored")
    assert Bounds(at_most=10.0).locate(reached_late) is IntervalPosition.STRADDLING
    assert Bounds(at_least=1.0).locate(reached_late) is IntervalPosition.WITHIN
    assert Bounds(at_most=2.0).locate(reached_late) is IntervalPosition.BEYOND

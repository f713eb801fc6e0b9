"""How numbers are shown."""

from __future__ import annotations

import pytest

from freepage.analysis.stats import Estimate
from freepage.report.numbers import describe_basis, show_basis, show_interval, show_value


@pytest.mark.parametrize(
    ("estimate", "value", "interval"),
    [
        (Estimate(0.9531, 0.94, 0.96, "fraction", 3), "95.3 %", "94.0 to 96.0"),
        (Estimate(1.003, -0.002, 1.004, "fraction", 5, "range"), "100.0 %", "0.0 to 100.0"),
        (Estimate(-0.1, -0.2, 1.1, "fraction", 5, "student"), "−10.0 %", "−20.0 to 110.0"),
        (Estimate(4.0, 3.0, None, "s", 5, "censored"), "4.00 s", "at least 3.00"),
        (Estimate(2**30, None, None, "bytes", 1), "1.00 GiB", ""),
        (Estimate(-0.00001, -1.0, 1.0, "s", 2), "0.00 s", "−1.00 to 1.00"),
        (Estimate(0.0107, 0.004, 0.02, "s", 2), "0.011 s", "0.004 to 0.020"),
        (Estimate(0.005, None, None, "cores", 1), "0.005 cores", ""),
        (Estimate(1.0, None, None, "cells", 1), "1 cell", ""),
        (None, "–", ""),
    ],
)
def test_numbers_are_shown_in_peoples_units(estimate, value, interval):
    assert (show_value(estimate), show_interval(estimate)) == (value, interval)


@pytest.mark.parametrize(
    ("estimate", "short", "words"),
    [
        (
            Estimate(1.33, 1.2, 1.5, "ratio", 5, "student-log"),
            "1.20 to 1.50 · n 5 · log-t",
            "95 %: 1.20 to 1.50, 5 trials, t on logs",
        ),
        (
            Estimate(0.95, 0.94, 0.96, "fraction", 5, "range"),
            "94.0 to 96.0 · n 5 · range",
            "94.0 to 96.0, least to greatest of 5 trials",
        ),
        (Estimate(1.33, None, None, "ratio", 1, "student-log"), "n 1", "one trial, no interval"),
        (Estimate(1.33, None, None, "ratio", 2, "student-log"), "n 2", "2 trials, no interval"),
    ],
)
def test_a_number_says_what_it_rests_on(estimate, short, words):
    assert (show_basis(estimate), describe_basis(estimate)) == (short, words)

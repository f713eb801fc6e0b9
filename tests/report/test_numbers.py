"""How numbers are shown."""

from __future__ import annotations

import pytest

from freepage.analysis.stats import Estimate
from freepage.report.numbers import show_interval, show_value


@pytest.mark.parametrize(
    ("estimate", "value", "interval"),
    [
        (Estimate(0.9531, 0.94, 0.96, "fraction", 3), "95.3 %", "94.0 to 96.0"),
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

"""The width that a run may stop by."""

from __future__ import annotations

import pytest

from freepage.analysis.precision import find_half_width, measure_half_width
from freepage.analysis.stats import Estimate
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run


def test_more_repeats_make_it_narrower_and_one_makes_none(tmp_path):
    widths = []
    for repeats in (1, 3, 6):
        folder = tmp_path / f"{repeats}"
        write_run(folder, Truth(repeats=repeats), study=CYCLE_ONLY)
        widths.append(measure_half_width(folder))
    assert widths[0] is None
    assert widths[2] < widths[1] < 0.1


def test_it_is_a_share_of_the_value():
    assert find_half_width(Estimate(2.0, 1.9, 2.1, "x", 3)) == pytest.approx(0.05)
    assert find_half_width(Estimate(0.0, -0.1, 0.1, "x", 3)) is None
    assert find_half_width(None) is None

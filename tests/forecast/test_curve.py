"""Lines over time in few points."""

from __future__ import annotations

import numpy as np
import pytest

from freepage.forecast.curve import MOST_POINTS, Curve, add_curves, draw_curve, interpolate

NAN = float("nan")


def test_few_samples_are_drawn_as_they_are_and_break_at_a_gap():
    line = np.array([1.0, 2, 3, 4])
    curve = draw_curve(np.arange(4.0), [line] * 4, gaps=(1,))
    assert np.isnan(curve.now).tolist() == [False, False, True, False]
    assert line[2] == 3


def test_many_samples_become_means_that_hold_as_much():
    t_s = np.arange(10_000.0)
    values = 5 + np.sin(t_s / 300)
    curve = draw_curve(t_s, [values] * 4, ())
    assert len(curve.t_s) == MOST_POINTS
    whole, drawn = (np.trapezoid(v, t) for v, t in ((values, t_s), (curve.now, curve.t_s)))
    assert drawn == pytest.approx(whole, rel=1e-3)


def test_a_long_gap_among_many_samples_stays_empty():
    t_s = np.concatenate([np.arange(1000.0), np.arange(5000.0, 6000.0)])
    curve = draw_curve(t_s, [np.ones(2000)] * 4, (999,))
    inside = (curve.t_s > 1020) & (curve.t_s < 4980)
    assert np.isnan(curve.now[inside]).all()
    assert not np.isnan(curve.now[(curve.t_s < 990) | (curve.t_s > 5010)]).any()


def test_between_samples_lies_a_straight_line_and_beyond_them_nothing():
    grid = np.array([-1.0, 0, 1, 2, 3, 4])
    found = interpolate(np.array([0.0, 2, 3]), np.array([0.0, 2, NAN]), (), grid)
    assert np.isnan(found).tolist() == [True, False, False, False, True, True]
    assert found[1:4].tolist() == [0, 1, 2]


def test_a_vm_counts_while_it_is_there_and_makes_the_sum_unknown_where_it_is_there_without_a_value():
    def curve(first_s, last_s, now, likely):
        t_s = np.linspace(first_s, last_s, 11)
        lines = [np.full(11, float(value)) for value in (now, likely, likely, now)]
        return Curve(t_s, *lines)

    total = add_curves([curve(0, 10, 2, 1), curve(5, 15, 3, NAN)])
    at = {t: int(np.argmin(np.abs(total.t_s - t))) for t in (2, 7, 13)}
    assert [total.now[at[t]] for t in (2, 7, 13)] == [2, 5, 3]
    assert np.isnan([total.likely[at[t]] for t in (2, 7, 13)]).tolist() == [False, True, True]

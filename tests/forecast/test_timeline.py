"""Samples in order of time: other orders of rows, clocks that were set, samples that are missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freepage.forecast.timeline import drop_repeats, find_gaps, find_restarts, highest_so_far, order_rows

NAN = float("nan")


def order(*t_s):
    return order_rows(np.array(t_s, dtype=float), range(2, 2 + len(t_s)))


def test_rows_in_order_stay_as_they_are_without_a_word():
    line = order(0, 1, 1, 3)
    assert (line.t_s.tolist(), line.rows.tolist(), line.notes) == ([0, 1, 1, 3], [0, 1, 2, 3], ())


@pytest.mark.parametrize(
    "t_s", [(3, 2, 1, 0), (2, 3, 0, 1), (0, 3, 1, 2)], ids=["descending", "swapped", "mixed"]
)
def test_rows_in_another_order_are_sorted_and_told(t_s):
    line = order(*t_s)
    assert line.t_s.tolist() == [0, 1, 2, 3]
    assert line.breaks == ()
    assert "sorted" in line.notes[0]


@settings(max_examples=40)
@given(st.permutations(list(range(40))))
def test_rows_in_any_order_keep_their_values(times):
    line = order(*times)
    if not line.breaks:
        assert line.t_s.tolist() == [times[row] for row in line.rows.tolist()]
    assert np.all(np.diff(line.t_s) >= 0)
    assert sorted(line.rows.tolist()) == list(range(40))


def test_a_clock_that_steps_back_leaves_a_gap_and_all_of_what_came_after():
    line = order(*range(100), *range(90, 150))
    assert line.t_s.tolist() == list(range(160))
    assert line.breaks == (99,)
    assert line.notes == ("the clock steps back by 9 s at row 102: a gap there",)


def test_a_clock_that_steps_back_among_rows_of_one_time_leaves_a_gap_between_two_samples():
    line = drop_repeats(order(1, *[5] * 10, 4))
    assert line.t_s.tolist() == [1, 5, 9]
    assert line.breaks == (1,)


def test_rows_without_a_time_are_left_out_and_counted():
    line = order(0, NAN, 2, NAN)
    assert line.rows.tolist() == [0, 2]
    assert line.notes == ("2 rows without a time are left out, the first is row 3",)


def test_of_rows_with_the_same_time_the_last_one_stays_and_breaks_move_with_them():
    line = drop_repeats(order(*range(50), 49, 49, *range(40, 60)))
    assert line.rows.tolist()[48:52] == [48, 51, 52, 53]
    assert line.breaks == (49,)
    assert "2 rows repeat the time of another" in line.notes[-1]


def test_a_sample_that_comes_much_later_than_usual_leaves_a_gap():
    assert find_gaps(np.array([0.0, 1, 2.2, 3, 60, 61])) == (3,)
    assert find_gaps(np.array([0.0])) == ()
    assert find_gaps(np.array([0.0, 3600, 7200])) == ()


def test_resident_memory_that_falls_to_less_than_half_is_another_process_also_across_missing_samples():
    assert find_restarts(np.array([4.0, 4.1, 1.0, 2.0])) == (1,)
    assert find_restarts(np.array([4.0, NAN, NAN, 1.0])) == (2,)
    assert find_restarts(np.array([4.0, 2.1, 1.1])) == ()


def test_the_highest_so_far_starts_anew_after_a_gap():
    assert highest_so_far(np.array([3.0, 1, NAN, 2, 1]), [1])[[0, 1, 3, 4]].tolist() == [3, 3, 2, 2]

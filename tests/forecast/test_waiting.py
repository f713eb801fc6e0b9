"""Memory that waits for the kernel's passes."""

from __future__ import annotations

import numpy as np

from freepage.forecast.waiting import waiting_bytes
from freepage.fpr.release import predicted_release
from freepage.units import GIB

NAN = float("nan")


def test_freed_memory_leaves_by_the_staircase_of_its_passes():
    t_s = np.arange(0.0, 20.0, 0.5)
    waiting = waiting_bytes(t_s, np.where(t_s >= 2, 2.0 * GIB, 0.0))
    back = dict(predicted_release(2 * GIB))
    for after_s, share in back.items():
        at = np.searchsorted(t_s, 2 + after_s)
        assert waiting[at] == 2 * GIB * (1 - share)


def test_nothing_waits_where_samples_are_further_apart_than_all_passes_take():
    assert not waiting_bytes(np.array([0.0, 60, 120]), np.array([0.0, 8 * GIB, 8 * GIB])).any()


def test_what_is_allocated_again_waits_no_longer():
    waiting = waiting_bytes(np.array([0.0, 1, 2, 3]), np.array([0.0, 1, 1, 0]) * GIB)
    assert (waiting / GIB).tolist() == [0, 1, 1, 0]


def test_a_missing_sample_begins_anew_with_nothing_waiting():
    waiting = waiting_bytes(np.array([0.0, 1, 2, 3]), np.array([0.0, GIB, NAN, 2 * GIB]))
    assert (waiting / GIB).tolist() == [0, 1, 0, 0]
    assert not waiting_bytes(np.arange(3.0), np.full(3, NAN)).any()

"""What is free in a guest and waits for its pass, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.footprint import FreeList
from freepage.fpr.mechanics import Passes
from freepage.fpr.release import Reporting, predict_staircase
from freepage.fpr.waiting import find_waiting_bytes
from freepage.units import MIB

USUAL = Reporting(9)
BLOCK = 4 * MIB


def waiting(times, blocks, reporting=USUAL, pauses=()):
    """Return how many blocks of 4 MiB wait at each time, of guests that have so many free."""
    counts = {10: np.array(blocks, dtype=float)}
    return (find_waiting_bytes(np.array(times, dtype=float), counts, reporting, pauses) / BLOCK).tolist()


def test_what_is_freed_waits_for_its_passes_and_then_no_more():
    """100 blocks freed between 0 and 1 s: half a second later by what is known, then passes of 64 blocks at 2.5 and 4.5 s."""
    assert waiting(range(7), [50, 150, 150, 150, 150, 150, 150]) == [0, 100, 100, 36, 36, 0, 0]


def test_what_is_taken_again_is_what_waits():
    assert waiting([0, 1, 2, 3], [50, 150, 80, 80]) == [0, 100, 30, 0]
    assert waiting([0, 1, 2, 3], [50, 150, 20, 20]) == [0, 100, 0, 0]


def test_what_was_reported_and_is_taken_does_not_wait_when_it_is_freed_later_but_for_its_pass():
    assert waiting([0, 10, 20, 30, 31, 32, 33], [150, 50, 50, 50, 150, 150, 150]) == [
        0,
        0,
        0,
        0,
        100,
        100,
        36,
    ]


def test_blocks_that_join_into_larger_ones_do_not_wait():
    counts = {9: np.array([10.0, 4.0, 4.0]), 10: np.array([0.0, 3.0, 3.0])}
    assert find_waiting_bytes(np.arange(3.0), counts, USUAL).tolist() == [0, 0, 0]


def test_blocks_below_the_reporting_order_do_not_wait():
    counts = {8: np.array([0.0, 900.0]), 9: np.array([5.0, 5.0])}
    assert find_waiting_bytes(np.arange(2.0), counts, USUAL).tolist() == [0, 0]
    assert find_waiting_bytes(np.arange(2.0), {8: counts[8]}, USUAL).tolist() == [0, 0]
    assert find_waiting_bytes(np.arange(2.0), counts, Reporting(8)).tolist() == [0, 900 * MIB]


def test_samples_further_apart_than_passes_see_only_what_is_left():
    assert waiting([0, 20, 40], [0, 5000, 5000]) == [0, 5000 - 5 * 352, 0]


@pytest.mark.parametrize("delay_s", [0.0, 0.25, 10.0])
def test_passes_come_at_the_guests_own_delay(delay_s):
    found = waiting(range(8), [50] + [150] * 7, Reporting(9, passes=Passes(delay_s)))
    assert (
        found
        == {
            0.0: [0, 0, 0, 0, 0, 0, 0, 0],
            0.25: [0, 0, 0, 0, 0, 0, 0, 0],
            10.0: [0, 100, 100, 100, 100, 100, 100, 100],
        }[delay_s]
    )


def test_a_paused_vm_reports_nothing():
    blocks = [50] + [150] * 11
    assert waiting(range(12), blocks, pauses=[(1.5, 9.0)]) == [0, *[100] * 9, 36, 36]


@given(st.lists(st.integers(0, 3000), min_size=2, max_size=30))
def test_no_more_waits_than_is_free_and_never_less_than_nothing(blocks):
    found = waiting(range(len(blocks)), blocks)
    assert all(0 <= waits <= free + 1e-6 for waits, free in zip(found, blocks, strict=True))


@given(st.integers(100, 5000))
def test_one_free_is_reported_as_the_staircase_has_it(blocks):
    times = np.arange(0.0, 40.0, 0.5)
    steps = predict_staircase([FreeList("", 0, 10, float(blocks))], USUAL)
    seen = waiting(times, [0, *[blocks] * (len(times) - 1)])
    for t_s, waits in zip(times[1:], seen[1:], strict=True):
        back = max((reached for at_s, reached in steps if at_s + 0.25 <= t_s), default=0.0)
        assert waits == pytest.approx(blocks - back / BLOCK)

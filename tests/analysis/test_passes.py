"""Passes in which memory came back, against those that the guest's own lists of free blocks predict."""

from __future__ import annotations

import pytest

from freepage.analysis.passes import find_passes_off
from freepage.fpr.mechanics import Passes
from freepage.fpr.release import Reporting
from freepage.records import Arm
from freepage.units import GIB, MIB
from helpers.hand_made import block, make_trial, ticks

SIZE = 1 * GIB
USUAL = Reporting(9)


def release(back_at_s, *, listed_bytes=0.0, shows_blocks=True):
    """Make a VM that frees 1 GiB at 4.5 s, beside so much that is free anyway; a quarter is back at each of four times."""
    events, times = block(0.0, 1.0, 4.5, size=SIZE), ticks(-3, 39, 0.5)
    held = [SIZE if 0.5 < t < 4.5 else 0.0 for t in times]
    kept = [sum(SIZE / 4 for at_s in back_at_s if t < at_s) if t >= 4.5 else 0.0 for t in times]
    resident = [200 * MIB + h + k for h, k in zip(held, kept, strict=True)]
    levels = {("a", "rss_bytes"): (times, resident)}
    if shows_blocks:
        free = [(SIZE + listed_bytes - h) / (4 * MIB) for h in held]
        levels["a", "guest_free_order_10_blocks"] = (times, free)
    return make_trial(levels, events, arm=Arm.VM_FPR, duration_s=40.0)


def test_memory_that_comes_back_at_the_kernels_pace_is_off_by_nothing():
    assert find_passes_off(release([6.6, 8.6, 10.6, 12.6]), USUAL) == 0


def test_memory_that_comes_back_later_is_off_by_the_passes_between():
    """90 % are predicted after 8 s and seen between 28 and 28.5 s, by when ten more passes would have come."""
    off = find_passes_off(release([30.6, 31.6, 32.1, 32.6]), USUAL)
    assert off == pytest.approx((32.5 - 4.5 - 8.0) / 2, abs=0.3)


def test_the_guests_own_lists_tell_how_large_a_pass_is():
    """Beside 11 GiB that are free anyway a pass reports 224 blocks of the 256: two passes do, where four are needed alone."""
    late = release([6.6, 8.6, 10.6, 14.6], listed_bytes=11 * GIB)
    assert find_passes_off(late, USUAL) > 2
    unknown = release([6.6, 8.6, 10.6, 14.6], shows_blocks=False)
    assert find_passes_off(unknown, USUAL) < 1


def test_a_guest_without_a_delay_has_no_passes_to_count():
    assert find_passes_off(release([6.6] * 4), Reporting(9, passes=Passes(0.0))) is None

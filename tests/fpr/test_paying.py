"""What a block's idle time saves by the kernel's pace, and from which idle time on that outweighs the price."""

from __future__ import annotations

import pytest

from freepage.fpr.mechanics import Passes
from freepage.fpr.paying import break_even_s, saved_s, share_back
from freepage.units import GIB, MIB

HALF = 512 * MIB  # Two passes, half of it in each.


@pytest.mark.parametrize(("idle_s", "saved"), [(0.0, 0.0), (1.99, 0.0), (3.0, 0.5), (4.0, 1.0), (6.0, 3.0)])
def test_saved_is_the_area_below_the_staircase_of_passes(idle_s, saved):
    assert saved_s(idle_s, HALF) == pytest.approx(saved)


@pytest.mark.parametrize(("idle_s", "share"), [(1.9, 0.0), (2.0, 0.5), (3.9, 0.5), (4.0, 1.0), (60.0, 1.0)])
def test_the_share_that_is_back_rises_with_each_pass(idle_s, share):
    assert share_back(idle_s, HALF) == share


@pytest.mark.parametrize("price", [0.0, -0.4])
def test_what_costs_nothing_pays_from_the_first_pass_on(price):
    assert break_even_s(GIB, price) == 2.0
    assert break_even_s(GIB, price, Passes(delay_s=0.25)) == 0.25


@pytest.mark.parametrize(
    ("block", "price", "expected"),
    [
        (256 * MIB, 0.4, 2.1),  # One pass: as many seconds later as the block is waited for.
        (HALF, 4.0, 5.0),  # 2 s waited for; at 4 s 1 is saved, from then on a second each second.
        (GIB, 3.0, 8.0),
    ],
)
def test_a_block_pays_once_it_has_saved_what_is_waited_for(block, price, expected):
    assert break_even_s(block, price) == pytest.approx(expected)


@pytest.mark.parametrize("block", [4 * MIB, 300 * MIB, GIB, 60 * GIB])
@pytest.mark.parametrize("price", [0.01, 0.33, 2.0, 9.0])
def test_above_the_break_even_more_is_always_saved_than_waited_for_and_at_it_as_much(block, price):
    def gain(idle_s):
        return saved_s(idle_s, block) - price * block / GIB * share_back(idle_s, block)

    found = break_even_s(block, price)
    assert gain(found) == pytest.approx(0.0, abs=1e-6)
    assert all(gain(found + n * 0.37 + 1e-6) > 0 for n in range(120))

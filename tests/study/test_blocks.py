"""The orders, seeds and phases of blocks."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from freepage.records import Arm
from freepage.study.blocks import balance_orders, draw_blocks
from freepage.study.schedule import RandomStream

FOUR = (Arm.POD, Arm.VM, Arm.VM_FPR, Arm.BASELINE)
SEEDS = range(60)


def orders(seed, arms, count):
    return balance_orders(FOUR[:arms], count, RandomStream(f"{seed}"))


def positions(blocks):
    return Counter((arm, place) for order in blocks for place, arm in enumerate(order))


def drift_per_arm(blocks, arms, drift):
    """Return each arm's mean of a value that grows by `drift` from one trial to the next, less its block's mean."""
    found = dict.fromkeys(FOUR[:arms], 0.0)
    for number, order in enumerate(blocks):
        for place, arm in enumerate(order):
            value = 1.0 + drift * (number * arms + place)
            middle = 1.0 + drift * (number * arms + (arms - 1) / 2)
            found[arm] += (value - middle) / len(blocks)
    return found


@pytest.mark.parametrize(("arms", "blocks"), [(2, 2), (2, 4), (3, 3), (3, 6), (4, 4), (4, 8)])
def test_every_arm_stands_as_often_in_each_position_whatever_the_seed(arms, blocks):
    for seed in SEEDS:
        assert set(positions(orders(seed, arms, blocks)).values()) == {blocks // arms}
        assert len(positions(orders(seed, arms, blocks))) == arms * arms


@pytest.mark.parametrize(("arms", "blocks"), [(2, 2), (2, 6), (3, 2), (3, 3), (3, 5), (3, 6), (4, 4), (4, 6)])
@pytest.mark.parametrize("drift", [0.01, 0.02])
def test_equal_arms_come_out_equal_when_the_host_drifts_from_trial_to_trial(arms, blocks, drift):
    for seed in SEEDS:
        means = drift_per_arm(orders(seed, arms, blocks), arms, drift)
        assert max(means.values()) - min(means.values()) == pytest.approx(0.0, abs=1e-12)


def test_what_cannot_be_balanced_is_off_by_one_order_only():
    for seed in SEEDS:
        means = drift_per_arm(orders(seed, 3, 4), 3, 0.01)
        assert max(means.values()) - min(means.values()) <= 0.02 / 4 + 1e-12


def test_no_position_belongs_to_an_arm_for_every_user():
    """In one order for all, an arm that is always last would carry what being last does."""
    last = Counter(orders(seed, 3, 1)[0][-1] for seed in range(300))
    assert min(last.values()) > 70


def test_of_an_even_number_of_arms_each_follows_each_other_equally_often():
    for seed in SEEDS:
        followed = Counter(pair for order in orders(seed, 4, 4) for pair in pairwise(order))
        assert set(followed.values()) == {1}


def test_each_block_has_a_seed_and_a_phase_of_its_own_and_the_first_keeps_the_studys_seed():
    blocks = draw_blocks(7, "cycle", FOUR[:3], 5)
    assert blocks[0].seed == 7
    assert len({b.seed for b in blocks}) == 5
    assert len({b.phase for b in blocks}) == 5
    assert all(0 <= b.phase < 1 for b in blocks)
    assert [b.number for b in blocks] == list(range(5))
    assert blocks == draw_blocks(7, "cycle", FOUR[:3], 5)
    assert {b.seed for b in blocks[1:]}.isdisjoint(b.seed for b in draw_blocks(7, "random", FOUR[:3], 5)[1:])


def test_phases_of_many_blocks_fill_the_interval():
    phases = sorted(draw_blocks(seed, "cycle", FOUR[:3], 1)[0].phase for seed in range(400))
    assert max(abs(phase - n / 400) for n, phase in enumerate(phases)) < 0.1

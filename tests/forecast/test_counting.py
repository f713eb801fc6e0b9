"""Seconds over a node's memory, and how many VMs fit at a risk."""

from __future__ import annotations

import numpy as np
import pytest

from freepage.forecast.counting import BLOCKS, RiskCurve, Tally, draw_weights, find_fit, join_tallies
from freepage.forecast.fleet import Node
from freepage.units import GIB

SECONDS = 1200
NODE = Node("node", 10.0 * GIB)


def tally(*gib, node=NODE, stop=0.05):
    """Add VMs that hold so many GiB, all the time or as a series says."""
    found = Tally(node, np.zeros(SECONDS), stop)
    for each in gib:
        found.add(np.full(SECONDS, each * GIB) if isinstance(each, float) else each * GIB)
    return found


def curve(*risks, replicates=3, noise=0.0):
    """Make a curve of risks by number of VMs, alike in all blocks but for some noise."""
    spread = np.linspace(1 - noise, 1 + noise, replicates * BLOCKS)
    over = np.array(risks)[:, np.newaxis] * spread
    return RiskCurve(over, over, replicates, is_complete=True)


def test_exactly_as_much_as_the_node_has_is_not_over():
    assert [s[0].mean() for s in tally(4.0, 6.0, 0.5).shares] == [0, 0, 0, 1]


def test_shares_are_counted_in_blocks_of_time():
    busy = np.zeros(SECONDS)
    busy[:150] = 11.0
    shares = tally(busy).shares[1][0]
    assert shares.tolist() == [1.0, 0.5] + [0.0] * (BLOCKS - 2)


def test_swap_counts_as_memory_and_its_use_is_told():
    over, swapping = tally(12.0, node=Node("node", 10.0 * GIB, swap_bytes=4.0 * GIB)).shares[1].mean(axis=1)
    assert (over, swapping) == (0, 1)


def test_what_a_node_reserves_is_not_there_for_vms():
    assert tally(9.5, node=Node("node", 10.0 * GIB, reserved_bytes=1.0 * GIB)).is_full
    assert not tally(9.5).is_full


def test_what_is_there_already_counts():
    there = Tally(NODE, np.full(SECONDS, 11.0 * GIB), 0.05)
    fit = find_fit(join_tallies([there]), 0.001)
    assert (fit.vms, fit.is_over, fit.risk) == (0, True, 1.0)


def test_a_replicate_that_was_full_earlier_stays_full():
    joined = join_tallies([tally(4.0, 7.0), tally(4.0, 4.0, 4.0)])
    assert joined.risk.tolist() == [0, 0, 0.5, 1.0]
    assert joined.is_complete
    assert joined.over.shape == (4, 2 * BLOCKS)


def test_the_most_that_is_within_the_risk_fits():
    assert [find_fit(curve(0, 0.0005, 0.001, 0.02), risk).vms for risk in (0.0001, 0.0005, 0.001, 0.05)] == [
        0,
        1,
        2,
        3,
    ]


def test_where_nothing_was_full_at_least_as_many_fit():
    fit = find_fit(join_tallies([tally(1.0, 1.0)]), 0.001)
    assert (fit.vms, fit.at_least) == (2, True)
    assert not find_fit(join_tallies([tally(4.0, 7.0)]), 0.001).at_least


def test_no_more_are_counted_than_the_scheduler_admits():
    fit = find_fit(curve(0, 0, 0, 0, 0.5), 0.001, admitted=2)
    assert (fit.vms, fit.low, fit.high, fit.risk) == (2, 2, 2, 0)


def test_fewer_than_three_seeds_have_no_interval():
    assert find_fit(curve(0, 0, 0.5, replicates=2), 0.001).low is None
    assert find_fit(curve(0, 0, 0.5, replicates=3), 0.001).low == 1


def test_the_interval_holds_the_answer_and_is_wider_where_blocks_differ_more():
    risks = 0.001 * np.exp(0.4 * np.arange(-10, 10))
    calm, noisy = (find_fit(curve(*risks, noise=noise), 0.001) for noise in (0.05, 0.95))
    for fit in (calm, noisy):
        assert fit.low <= fit.vms <= fit.high
    assert noisy.high - noisy.low > calm.high - calm.low


def test_every_resample_weighs_as_much_and_takes_seeds_whole():
    weights = draw_weights(4, BLOCKS)
    assert weights.sum(axis=0) == pytest.approx(np.ones(weights.shape[1]))
    by_seed = weights.reshape(4, BLOCKS, -1).sum(axis=1) * 4
    assert by_seed == pytest.approx(np.rint(by_seed))
    assert (weights == draw_weights(4, BLOCKS)).all()

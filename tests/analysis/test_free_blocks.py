"""A guest's free blocks over a trial."""

from __future__ import annotations

import numpy as np

from freepage.analysis.free_blocks import find_free_blocks
from helpers.hand_made import make_trial

ORDER_9, ORDER_10 = ("a", "guest_free_order_9_blocks"), ("a", "guest_free_order_10_blocks")
LACKING = ("a", "guest_free_order_11_blocks")


def blocks_of(**levels):
    times = [0.0, 1.0, 2.0]
    made = {ORDER_9: levels["nine"], ORDER_10: levels["ten"], LACKING: [None] * 3}
    return find_free_blocks(make_trial({key: (times, values) for key, values in made.items()}, []), "a")


def test_a_sample_counts_where_every_order_the_kernel_has_is_known():
    found = blocks_of(nine=[1, None, 3], ten=[10, 20, 30])
    assert found.t_s.tolist() == [0.0, 2.0]
    assert {order: counts.tolist() for order, counts in found.by_order.items()} == {9: [1, 3], 10: [10, 30]}


def test_the_sample_before_or_after_a_time_may_be_at_that_time():
    found = blocks_of(nine=[1, 2, 3], ten=[10, 20, 30])
    assert found.before(1.0) == found.after(1.0) == {9: 2, 10: 20}
    assert (found.before(0.5), found.after(0.5)) == ({9: 1, 10: 10}, {9: 2, 10: 20})
    assert (found.before(-0.1), found.after(2.1)) == (None, None)


def test_a_guest_that_shows_no_free_blocks_has_no_sample():
    found = find_free_blocks(make_trial({("a", "rss_bytes"): ([0.0], [1.0])}, []), "a")
    assert (len(found.t_s), found.by_order) == (0, {})
    assert found.before(np.inf) is None

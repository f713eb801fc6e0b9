"""How many reports QEMU has handled, from an index that starts anew every 65,536."""

from __future__ import annotations

from freepage.sampling.balloon import ReportCounter


def test_reports_are_counted_over_the_end_of_a_16_bit_index():
    counter = ReportCounter()
    assert counter.update({"used-idx": 65000}) == 65000
    assert counter.update({"used-idx": 500}) == 65000 + 1036


def test_a_qemu_that_says_nothing_of_its_queue_leaves_the_count_as_it_is():
    counter = ReportCounter()
    counter.update({"used-idx": 7})
    assert counter.update(None) is None
    assert counter.update({"error": "no such queue"}) is None
    assert counter.update({"used-idx": 9}) == 9

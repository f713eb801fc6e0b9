"""Samples of a VM on its host become its trace; free blocks tell what a guest could report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from freepage.forecast.live import build_trace
from freepage.sampling.balloon import parse_buddyinfo
from freepage.units import GIB, KIB, MIB

RECORDED = Path(__file__).parents[1] / "recorded"


def sample(t_s=0.0, **values):
    usual = {
        "vm_memory_bytes": 2.0 * GIB,
        "rss_bytes": 1.5 * GIB,
        "swap_bytes": 0.25 * GIB,
        "guest_total_bytes": 1.9 * GIB,
        "guest_free_bytes": 1.0 * GIB,
        "guest_cached_bytes": 0.5 * GIB,
    }
    return t_s, usual | values


def guest(name, page_bytes):
    """The free blocks of a recorded kernel, and its free memory."""
    blocks = parse_buddyinfo((RECORDED / name).read_text())
    pages = sum(
        count * 2**order
        for order in range(16)
        if (count := blocks[f"guest_free_order_{order}_blocks"]) is not None
    )
    return blocks | {"guest_free_bytes": pages * page_bytes + 100 * KIB}


def test_without_free_blocks_only_the_sum_of_free_memory_is_known():
    one = build_trace("db", [sample(0.0), sample(1.0)], "x86_64", fpr_on=False, notes=["a note"])
    assert one.t_s.tolist() == [0.0, 1.0]
    assert set(one.resident_bytes) == {1.75 * GIB}
    assert set(one.total_bytes) == {2.0 * GIB}
    assert set(one.free_bytes) == {1.0 * GIB}
    assert np.isnan(one.reportable_bytes).all()
    assert one.fpr_on is False
    assert one.notes == ("a note",)


def test_free_blocks_tell_what_is_reportable_by_the_usual_order_or_another():
    samples = [sample(**guest("buddyinfo-6.1.txt", 4 * KIB))]
    assert build_trace("db", samples, "x86_64", fpr_on=True).reportable_bytes.tolist() == [
        (1 + 3) * 2 * MIB + (3 + 228) * 4 * MIB
    ]
    more = build_trace("db", samples, "x86_64", fpr_on=True, order=8).reportable_bytes
    assert more.tolist() == [2 * MIB + (1 + 3) * 2 * MIB + (3 + 228) * 4 * MIB]


def test_free_memory_is_that_of_the_blocks_where_they_are_known():
    samples = [sample(**guest("buddyinfo-6.1.txt", 4 * KIB)), sample(1.0)]
    one = build_trace("db", samples, "x86_64", fpr_on=True)
    assert 0 < one.free_bytes[0] - one.reportable_bytes[0] < 8 * MIB
    assert one.free_bytes[1] == 1.0 * GIB
    assert np.isnan(one.reportable_bytes).tolist() == [False, True]


def test_a_guest_with_larger_pages_is_known_by_its_free_memory():
    samples = [sample(**guest("composed/buddyinfo-arm64-64k-5.15.txt", 64 * KIB))]
    found = build_trace("db", samples, "aarch64", fpr_on=None).reportable_bytes[0]
    blocks = {5: 8, 6: 5, 7: 3, 8: 3, 9: 1, 10: 2, 11: 1, 12: 1, 13: 26}
    assert found == sum(count * 2**order * 64 * KIB for order, count in blocks.items())


@pytest.mark.parametrize(
    ("architecture", "free_bytes", "words"),
    [("ppc64le", None, "give it with --reporting-order"), ("x86_64", 10 * MIB, "size of the guest's pages")],
)
def test_blocks_that_cannot_be_judged_are_not_and_the_reason_is_told(architecture, free_bytes, words):
    values = guest("buddyinfo-6.1.txt", 4 * KIB) | (
        {} if free_bytes is None else {"guest_free_bytes": free_bytes}
    )
    one = build_trace("db", [sample(**values)], architecture, fpr_on=False)
    assert np.isnan(one.reportable_bytes).all()
    assert words in one.notes[0]


def test_what_could_not_be_read_is_missing_and_never_zero():
    nothing = dict.fromkeys(sample()[1], None)
    one = build_trace("db", [sample(), (1.0, nothing)], "x86_64", fpr_on=None)
    for values in (one.resident_bytes, one.total_bytes, one.free_bytes, one.cached_bytes):
        assert np.isnan(values).tolist() == [False, True]

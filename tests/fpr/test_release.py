"""The kernel's own pace: what is back after each pass, and when all is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.footprint import FreeList
from freepage.fpr.mechanics import Passes, slowest_delay_s
from freepage.fpr.release import (
    Reporting,
    add_running_s,
    blocks_per_pass,
    find_reporting,
    longest_release_s,
    passes_to_release,
    predict_span_s,
    predict_staircase,
    predicted_release,
    predicted_span_s,
    release_time_bound_s,
    time_to_share_s,
)
from freepage.records import Evidence
from freepage.units import GIB, KIB, MIB

USUAL = Reporting(9)
SIZES = ("gib", "passes")
BURSTS = [(0.25, 1), (1, 4), (2, 8), (8, 13), (16, 15), (32, 16), (64, 16)]


def freed(gib, zone="Normal", order=10, migratetype=None):
    return FreeList(zone, 0, order, gib * GIB / (4 * KIB * 2**order), migratetype)


@pytest.mark.parametrize(SIZES, BURSTS)
def test_a_burst_takes_as_many_passes_as_the_kernels_budget_allows(gib, passes):
    assert passes_to_release(round(gib * GIB)) == passes


def test_a_burst_into_a_long_list_goes_faster():
    assert passes_to_release(GIB, free_bytes=16 * GIB) < passes_to_release(GIB)
    assert blocks_per_pass(1690) * 4 == 640


@given(st.integers(min_value=1, max_value=2**50))
def test_nothing_takes_longer_than_34_seconds(freed):
    assert 4 <= release_time_bound_s(freed) <= 34


def test_the_predicted_staircase_ends_with_everything_back():
    steps = predicted_release(2 * GIB)
    assert [t for t, _ in steps] == [2.0 * n for n in range(1, 9)]
    assert steps[-1][1] == 1.0
    assert all(b >= a for (_, a), (_, b) in pairwise(steps))


def test_a_guest_of_small_blocks_needs_more_passes_and_one_of_large_blocks_fewer():
    bounds = [release_time_bound_s(1 * GIB, Passes(block_bytes=size)) for size in (MIB, 4 * MIB, 512 * MIB)]
    assert bounds == [2 + 2 * 11, 2 + 2 * 4, 2 + 2 * 1]


@pytest.mark.parametrize("delay_s", [0.0, 0.25, 10.0])
def test_passes_are_as_far_apart_as_the_guests_kernel_says(delay_s):
    steps = predicted_release(2 * GIB, passes=Passes(delay_s))
    assert [t for t, _ in steps] == [delay_s * n for n in range(1, 9)]
    assert release_time_bound_s(2 * GIB, Passes(delay_s)) == 9 * delay_s


@pytest.mark.parametrize(
    ("delays", "longest_s"), [((), 34), ((None,), 34), ((0.25,), 4.25), ((2.0, 10.0), 170)]
)
def test_what_a_release_takes_at_most_follows_the_guests_own_delay(delays, longest_s):
    evidence = [Evidence("vm", reporting_delay_s=delay) for delay in delays]
    assert longest_release_s(slowest_delay_s(evidence)) == longest_s


@pytest.mark.parametrize(
    ("gib", "free_gib", "span_s"),
    [(0.25, 16, (2, 2)), (1, 4, (4, 8)), (2, None, (0, 16)), (2, 4, (6, 16)), (60, 64, (14, 28))],
)
def test_zones_and_other_free_memory_only_make_a_release_faster(gib, free_gib, span_s):
    free = None if free_gib is None else free_gib * GIB
    assert predicted_span_s(gib * GIB, free, 0.9) == span_s
    assert predicted_span_s(gib * GIB, free, 0.9, Passes(0.5)) == tuple(s / 4 for s in span_s)


@pytest.mark.parametrize(SIZES, BURSTS)
def test_one_list_alone_has_the_staircase_of_the_closed_formula(gib, passes):
    steps = predict_staircase([freed(gib)], USUAL)
    assert len(steps) == passes
    assert [(t, back / (gib * GIB)) for t, back in steps] == predicted_release(round(gib * GIB))


def test_a_published_release_of_8_gib_is_predicted_pass_for_pass():
    """A 10 GiB guest freed 8 GiB; read off its trace, a pass each 2 s brought 0.93 1.00 1.00 0.95 0.63 0.62 0.63 0.62 0.63 0.62 0.33 GiB."""
    listed, blocks = {"DMA32": 740, "Normal": 1690}, {"DMA32": 353, "Normal": 1685}
    lists = [FreeList(zone, 0, 10, count) for zone, count in blocks.items()]
    before = [FreeList(zone, 0, 10, listed[zone] - count) for zone, count in blocks.items()]
    steps = predict_staircase(lists, USUAL, before)
    rises = [(b - a) / GIB for (_, a), (_, b) in pairwise([(0.0, 0.0), *steps])]
    assert rises == pytest.approx([0.93, 1.0, 1.0, 0.95, 0.63, 0.62, 0.63, 0.62, 0.63, 0.62, 0.33], abs=0.08)
    assert steps[-1][0] == 22.0


def test_each_order_and_migratetype_has_a_budget_of_its_own_by_all_free_blocks_of_its_order():
    both = [freed(1, migratetype="Movable"), freed(1, migratetype="Unmovable")]
    apart = predict_staircase([freed(1)], USUAL, [freed(1, migratetype="Unmovable")])
    together = predict_staircase(both, USUAL)
    assert [t for t, _ in together] == [t for t, _ in apart]
    assert together[-1][1] == 2 * GIB
    of_small_blocks = predict_staircase([freed(1, order=9)], USUAL)
    assert of_small_blocks[0][1] == 64 * 2 * MIB
    mixed = predict_staircase([freed(1, order=9), freed(1)], USUAL)
    assert mixed[0][1] == 64 * 2 * MIB + 64 * 4 * MIB


def test_zones_report_beside_each_other():
    one, two = predict_staircase([freed(2)], USUAL), predict_staircase([freed(1, "DMA32"), freed(1)], USUAL)
    assert (len(one), len(two)) == (8, 4)


def test_blocks_below_the_reporting_order_never_come_back():
    assert predict_staircase([freed(1, order=8)], USUAL) == []
    assert predict_staircase([freed(1, order=8)], Reporting(8))[-1][1] == GIB
    assert predict_staircase([], USUAL) == []


def test_a_zone_without_enough_free_memory_reports_nothing():
    few = [FreeList("DMA", 0, 10, 4.0)]
    assert predict_staircase(few, USUAL) == []
    assert predict_staircase(few, USUAL, [FreeList("DMA", 0, 5, 1024.0)]) == [(2.0, 16 * MIB)]


def test_a_device_that_takes_fewer_blocks_at_once_is_slower_for_small_frees():
    small = Reporting(9, capacity=8)
    assert blocks_per_pass(256, 8) == 8 * 3
    assert len(predict_staircase([freed(1)], small)) > len(predict_staircase([freed(1)], USUAL))


def test_a_guest_of_64_kib_pages_reports_its_own_blocks():
    arm = Reporting(5, 64 * KIB, Passes(2.0, 512 * MIB))
    assert predict_staircase([FreeList("DMA", 0, 13, 64.0)], arm) == [(2.0, 32 * GIB)]


@pytest.mark.parametrize(("share", "seconds"), [(0.5, 8.0), (0.9, 16.0), (0.99, 16.0), (0.1, 2.0)])
def test_the_time_to_a_share_is_that_of_the_pass_that_reaches_it(share, seconds):
    assert time_to_share_s(predict_staircase([freed(2)], USUAL), share) == seconds


def test_of_nothing_no_share_has_a_time():
    assert time_to_share_s([], 0.5) is None


def test_a_paused_vm_reports_nothing_and_goes_on_where_it_was():
    steps = predict_staircase([freed(1)], USUAL, pauses=[(3.0, 13.0)])
    assert [t for t, _ in steps] == [2.0, 14.0, 16.0, 18.0]
    assert [back for _, back in steps] == [back for _, back in predict_staircase([freed(1)], USUAL)]


@given(
    st.floats(0, 100),
    st.floats(0, 100),
    st.lists(st.tuples(st.floats(0, 200), st.floats(0, 50)), max_size=1),
)
def test_running_time_is_time_less_pauses(start_s, running_s, spans):
    pauses = [(begin, begin + length) for begin, length in spans]
    end_s = add_running_s(start_s, running_s, pauses)
    paused = sum(max(0.0, min(end_s, b) - max(start_s, a)) for a, b in pauses)
    assert end_s - start_s - paused == pytest.approx(running_s, abs=1e-6)


def test_where_zones_are_not_known_a_release_lies_between_one_and_two_of_them():
    assert predict_span_s({10: 512.0}, {10: 0.0}, USUAL, 0.9) == (8.0, 16.0)
    assert predict_span_s({10: 32.0}, {10: 200.0}, USUAL, 0.9) == (2.0, 2.0)
    assert predict_span_s({8: 512.0}, {10: 200.0}, USUAL, 0.9) is None


def test_guests_report_on_common_terms_only_where_all_of_them_are_known_and_alike():
    pod, shown = Evidence("pod"), Evidence("vm", configured=True, reporting_order=9)
    silent, lower = Evidence("vm", configured=True), Evidence("vm", configured=True, reporting_order=0)
    assert find_reporting([pod, shown, silent], "x86_64") == USUAL
    assert find_reporting([shown, lower], "x86_64") is None
    assert find_reporting([lower], "x86_64") == Reporting(0)
    assert find_reporting([shown], "aarch64") is None
    assert find_reporting([pod], "x86_64") is None


@pytest.mark.parametrize(
    ("architecture", "page_bytes", "order"),
    [
        ("amd64", None, 9),
        ("arm64", 4 * KIB, 9),
        ("arm64", 16 * KIB, 11),
        ("arm64", 64 * KIB, 5),
        ("s390x", None, 8),
    ],
)
def test_a_guest_that_does_not_show_its_order_has_that_of_its_pages(architecture, page_bytes, order):
    found = find_reporting([Evidence("vm", configured=True, page_bytes=page_bytes)], architecture)
    assert found.order == order

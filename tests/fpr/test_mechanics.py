"""The kernel's own pace: passes, blocks, and what of free memory is reported."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.mechanics import (
    Passes,
    blocks_per_pass,
    expect_block_bytes,
    find_common_passes,
    find_passes,
    footprint_bytes,
    longest_release_s,
    passes_to_release,
    predicted_release,
    predicted_span_s,
    release_time_bound_s,
    reportable_bytes,
    slowest_delay_s,
    soonest_delay_s,
    stretch_of,
)
from freepage.records import Evidence
from freepage.units import GIB, KIB, MIB


@pytest.mark.parametrize(
    ("gib", "passes"), [(0.25, 1), (1, 4), (2, 8), (8, 13), (16, 15), (32, 16), (64, 16)]
)
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


def test_the_footprint_is_what_cannot_be_reported():
    free = {0: 512.0, 9: 4.0, 10: 2.0}
    assert reportable_bytes(free, 9) == 16 * MIB
    assert reportable_bytes(free, 0) == 18 * MIB
    assert footprint_bytes(64 * MIB, free, 9) == 48 * MIB


def test_blocks_are_as_large_as_the_guests_pages_make_them():
    free = {8: 10.0, 13: 2.0}
    assert reportable_bytes(free, 5, 64 * KIB) == 10 * 16 * MIB + 2 * 512 * MIB
    assert reportable_bytes(free, 9, 64 * KIB) == 2 * 512 * MIB
    assert footprint_bytes(4 * GIB, {11: 4.0}, 11, 16 * KIB) == 4 * GIB - 4 * 32 * MIB


def test_a_guest_of_small_blocks_needs_more_passes_and_one_of_large_blocks_fewer():
    freed = 1 * GIB
    bounds = [release_time_bound_s(freed, Passes(block_bytes=size)) for size in (MIB, 4 * MIB, 512 * MIB)]
    assert bounds == [2 + 2 * 11, 2 + 2 * 4, 2 + 2 * 1]


@pytest.mark.parametrize("delay_s", [0.0, 0.25, 10.0])
def test_passes_are_as_far_apart_as_the_guests_kernel_says(delay_s):
    steps = predicted_release(2 * GIB, passes=Passes(delay_s))
    assert [t for t, _ in steps] == [delay_s * n for n in range(1, 9)]
    assert release_time_bound_s(2 * GIB, Passes(delay_s)) == 9 * delay_s


@pytest.mark.parametrize(
    ("architecture", "evidence", "passes"),
    [
        ("x86_64", Evidence("vm"), Passes(2.0, 4 * MIB)),
        ("amd64", Evidence("vm", reporting_delay_s=0.0), Passes(0.0, 4 * MIB)),
        ("s390x", Evidence("vm"), Passes(2.0, 1 * MIB)),
        ("aarch64", Evidence("vm"), None),
        ("aarch64", Evidence("vm", page_bytes=64 * KIB), Passes(2.0, 512 * MIB)),
        ("aarch64", Evidence("vm", page_bytes=16 * KIB, free_lists=12), Passes(2.0, 32 * MIB)),
        ("a new one", Evidence("vm", page_bytes=4 * KIB, free_lists=11), Passes(2.0, 4 * MIB)),
        (None, Evidence("vm"), None),
    ],
)
def test_a_guests_passes_come_from_the_guest_and_are_else_not_known(architecture, evidence, passes):
    assert find_passes(evidence, architecture) == passes


@pytest.mark.parametrize(
    ("architecture", "size"), [("x86_64", 4 * MIB), ("arm64", 4 * MIB), ("s390x", MIB), (None, 4 * MIB)]
)
def test_a_plan_expects_the_smallest_of_the_largest_blocks_an_architecture_has(architecture, size):
    assert expect_block_bytes(architecture) == size


@pytest.mark.parametrize(("delays", "stretch"), [((), 1), ((None, 0.25), 1), ((2.0,), 1), ((None, 10.0), 5)])
def test_a_guest_with_slower_passes_is_waited_for_longer_and_a_faster_one_as_long_as_any(delays, stretch):
    assert stretch_of([Evidence("vm", reporting_delay_s=delay) for delay in delays]) == stretch


@pytest.mark.parametrize(
    ("delays", "longest_s"), [((), 34), ((None,), 34), ((0.25,), 4.25), ((2.0, 10.0), 170)]
)
def test_what_a_release_takes_at_most_follows_the_guests_own_delay(delays, longest_s):
    evidence = [Evidence("vm", reporting_delay_s=delay) for delay in delays]
    assert longest_release_s(slowest_delay_s(evidence)) == longest_s


def test_guests_have_common_passes_only_where_all_of_them_are_known_and_alike():
    pod, usual = Evidence("pod"), Evidence("vm", configured=True)
    fast, unknown = Evidence("vm", negotiated=True, reporting_delay_s=0.25), Evidence("vm", configured=True)
    assert find_common_passes([pod, usual, usual], "x86_64") == Passes()
    assert find_common_passes([usual, fast], "x86_64") is None
    assert find_common_passes([unknown], "aarch64") is None
    assert find_common_passes([pod], "x86_64") is None


@pytest.mark.parametrize(
    ("gib", "free_gib", "span_s"),
    [(0.25, 16, (2, 2)), (1, 4, (4, 8)), (2, None, (0, 16)), (2, 4, (6, 16)), (60, 64, (14, 28))],
)
def test_zones_and_other_free_memory_only_make_a_release_faster(gib, free_gib, span_s):
    free = None if free_gib is None else free_gib * GIB
    assert predicted_span_s(gib * GIB, free, 0.9) == span_s
    assert predicted_span_s(gib * GIB, free, 0.9, Passes(0.5)) == tuple(s / 4 for s in span_s)


@pytest.mark.parametrize(
    ("delays", "soonest_s"), [((), 2.0), ((None,), 2.0), ((0.25, None), 0.25), ((10.0, 5.0), 5.0)]
)
def test_the_first_pass_comes_after_the_shortest_wait_of_any_vm_and_containers_have_none(delays, soonest_s):
    vms = [Evidence("vm", configured=True, reporting_delay_s=delay) for delay in delays]
    assert soonest_delay_s([*vms, Evidence("pod")]) == soonest_s

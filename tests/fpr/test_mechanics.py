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
    find_passes,
    footprint_bytes,
    passes_to_release,
    predicted_release,
    release_time_bound_s,
    reportable_bytes,
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

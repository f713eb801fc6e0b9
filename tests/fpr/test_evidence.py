from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.evidence import (
    count_from_zero,
    find_contradiction,
    parse_choice,
    parse_features,
    parse_reporting_order,
)
from freepage.fpr.mechanics import (
    blocks_per_pass,
    footprint_bytes,
    passes_to_release,
    predicted_release,
    release_time_bound_s,
    reportable_bytes,
)
from freepage.records import Arm, Evidence
from freepage.units import GIB, MIB


def test_the_features_file_names_the_bits_that_were_negotiated():
    bits = parse_features("0100010010000000000000000000000010000000000000000000000000000000\n")
    assert {1, 5, 8, 32} == bits
    assert parse_features("0000\n") == frozenset()
    assert parse_features(None) is None
    assert parse_features("what\n") is None


@pytest.mark.parametrize(
    ("text", "order"), [("9\n", 9), ("0\n", 0), ("-1\n", None), ("11\n", None), (None, None), ("", None)]
)
def test_an_order_that_no_driver_has_registered_is_none(text, order):
    assert parse_reporting_order(text) == order


def test_a_choice_is_what_stands_in_brackets():
    assert parse_choice("always [madvise] never\n") == "madvise"
    assert parse_choice("always defer [defer+madvise] madvise never\n") == "defer+madvise"
    assert parse_choice("always [inherit] madvise never\n") == "inherit"
    assert parse_choice("lzo [lzo-rle] lz4\n") == "lzo-rle"
    assert [parse_choice(text) for text in (None, "", "always madvise never", "[]", "[a b]")] == [None] * 5


@pytest.mark.parametrize(
    ("carrier", "configured", "negotiated", "words"),
    [
        (Arm.VM_FPR, True, False, "vm-0 is in arm vm-fpr, but FPR is not negotiated"),
        (Arm.VM_FPR, False, None, "not configured"),
        (Arm.VM, False, True, "vm-0 is in arm vm, but FPR is negotiated"),
        (Arm.VM, True, None, "FPR is configured"),
        (Arm.VM_FPR, None, None, "nothing shows"),
    ],
)
def test_evidence_against_the_arm_is_said_in_words(carrier, configured, negotiated, words):
    evidence = Evidence("vm-0", configured=configured, negotiated=negotiated)
    assert words in find_contradiction(carrier, evidence)


@pytest.mark.parametrize(
    ("carrier", "configured", "negotiated"),
    [
        (Arm.VM_FPR, True, True),
        (Arm.VM_FPR, None, True),
        (Arm.VM, False, False),
        (Arm.VM, False, None),
        (Arm.POD, None, None),
    ],
)
def test_evidence_for_the_arm_is_no_contradiction(carrier, configured, negotiated):
    assert find_contradiction(carrier, Evidence("vm-0", configured=configured, negotiated=negotiated)) is None


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


@pytest.mark.parametrize(
    ("at_zero", "at_end", "active"), [(5, 5, False), (5, 6, True), (None, 5, True), (5, None, None)]
)
def test_reports_of_the_boot_alone_do_not_show_that_fpr_is_active(at_zero, at_end, active):
    seen = Evidence("vm-0", configured=True, active=None if at_end is None else True, report_count=at_end)
    counted = count_from_zero(seen, at_zero)
    assert counted.active is active
    assert counted.report_count == at_end

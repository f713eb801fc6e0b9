from __future__ import annotations

import pytest

from freepage.fpr.evidence import (
    count_from_zero,
    find_contradiction,
    find_reporting_queue,
    judge_activity,
    parse_choice,
    parse_features,
)
from freepage.records import Arm, Evidence


def test_the_features_file_names_the_bits_that_were_negotiated():
    bits = parse_features("0100010010000000000000000000000010000000000000000000000000000000\n")
    assert {1, 5, 8, 32} == bits
    assert parse_features("0000\n") == frozenset()
    assert parse_features(None) is None
    assert parse_features("what\n") is None


@pytest.mark.parametrize(
    ("bits", "queue"),
    [
        ({5}, 2),
        ({1, 5}, 3),
        ({3, 5}, 3),
        ({1, 3, 5}, 4),
        ({0, 1, 2, 3, 4, 5, 32}, 4),
        ({1, 3}, None),
        (set(), None),
        (None, None),
    ],
)
def test_the_queues_of_a_balloon_are_counted_without_gaps(bits, queue):
    assert find_reporting_queue(None if bits is None else frozenset(bits)) == queue


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
    ("at_zero", "at_end", "active"), [(5, 5, False), (5, 6, True), (None, 5, True), (5, None, None)]
)
def test_reports_of_the_boot_alone_do_not_show_that_fpr_is_active(at_zero, at_end, active):
    seen = Evidence("vm-0", configured=True, active=None if at_end is None else True, report_count=at_end)
    counted = count_from_zero(seen, at_zero)
    assert counted.active is active
    assert counted.report_count == at_end


@pytest.mark.parametrize(
    ("negotiated", "count", "active"),
    [
        (True, 3, True),
        (True, 0, False),
        (True, None, None),
        (False, None, False),
        (None, None, None),
        (None, 2, True),
    ],
)
def test_reports_show_activity_and_a_driver_without_the_feature_sends_none(negotiated, count, active):
    evidence = Evidence("vm", negotiated=negotiated, report_count=count)
    assert judge_activity(evidence).active is active

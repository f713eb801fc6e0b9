"""The passes of a guest: how far apart they are, and in what blocks."""

from __future__ import annotations

import pytest

from freepage.fpr.mechanics import Passes, expect_block_bytes, find_common_passes, find_passes, stretch_of
from freepage.records import Evidence
from freepage.units import KIB, MIB


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


def test_guests_have_common_passes_only_where_all_of_them_are_known_and_alike():
    pod, usual = Evidence("pod"), Evidence("vm", configured=True)
    fast, unknown = Evidence("vm", negotiated=True, reporting_delay_s=0.25), Evidence("vm", configured=True)
    assert find_common_passes([pod, usual, usual], "x86_64") == Passes()
    assert find_common_passes([usual, fast], "x86_64") is None
    assert find_common_passes([unknown], "aarch64") is None
    assert find_common_passes([pod], "x86_64") is None

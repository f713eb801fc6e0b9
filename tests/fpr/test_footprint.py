"""What of a guest's free memory can be given back, and what the host then still holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.footprint import (
    OVERHEAD_RANGE_BYTES,
    add_lists,
    cap_footprint,
    find_reported_lists,
    find_total_range,
    footprint_bytes,
    measure_whole_bytes,
    reportable_bytes,
)
from freepage.sampling.balloon import parse_buddyinfo, parse_free_lists
from freepage.units import GIB, KIB, MIB

RECORDED = Path(__file__).parents[1] / "recorded"


def lists_of(name):
    return parse_free_lists((RECORDED / f"{name}.txt").read_text())


def test_the_footprint_is_what_cannot_be_reported():
    free = {0: 512.0, 9: 4.0, 10: 2.0}
    assert reportable_bytes(free, 9) == 16 * MIB
    assert reportable_bytes(free, 0) == 18 * MIB
    assert footprint_bytes(64 * MIB, reportable_bytes(free, 9), 10 * MIB) == 58 * MIB


def test_blocks_are_as_large_as_the_guests_pages_make_them():
    free = {8: 10.0, 13: 2.0}
    assert reportable_bytes(free, 5, 64 * KIB) == 10 * 16 * MIB + 2 * 512 * MIB
    assert reportable_bytes(free, 9, 64 * KIB) == 2 * 512 * MIB
    assert reportable_bytes({11: 4.0}, 11, 16 * KIB) == 4 * 32 * MIB


BLOCKS = st.dictionaries(st.integers(0, 10), st.integers(0, 2**20).map(float), min_size=1)


@given(BLOCKS, st.integers(0, 10))
def test_all_that_is_free_is_reportable_at_order_0_and_the_less_the_higher_the_order(blocks, order):
    assert reportable_bytes(blocks, 0) == sum(count * 2**each for each, count in blocks.items()) * 4 * KIB
    assert reportable_bytes(blocks, order) >= reportable_bytes(blocks, order + 1)


def test_a_series_is_reckoned_as_its_single_samples_are_and_a_gap_stays_one():
    blocks = {0: np.array([1.0, 2.0, 3.0]), 10: np.array([8.0, np.nan, 2.0])}
    found = footprint_bytes(64 * MIB, reportable_bytes(blocks, 9), 0.0)
    assert found[[0, 2]].tolist() == [32 * MIB, 56 * MIB]
    assert np.isnan(found[1])


def test_a_zone_with_little_free_reports_nothing():
    """As ZONE_DMA: its 16 MiB are less than the 64 MiB that a zone must have beyond its watermark."""
    lists = lists_of("buddyinfo-6.1")
    reported = find_reported_lists(lists, 9)
    assert {(each.zone, each.order) for each in reported} == {("DMA32", 9), ("DMA32", 10)}
    assert reportable_bytes(add_lists(reported), 9) == (3 * 2 + 228 * 4) * MIB
    assert {each.zone for each in find_reported_lists(lists, 5)} == {"DMA", "DMA32"}


def test_zones_of_every_node_are_reported_from_apart():
    reported = find_reported_lists(lists_of("composed/buddyinfo-numa-movable"), 9)
    assert {(each.node, each.zone) for each in reported} == {(0, "DMA32"), (0, "Normal"), (1, "Normal")}
    assert add_lists(reported)[10] == 250 + 4100 + 5230


def test_lists_added_up_are_what_is_sampled():
    text = (RECORDED / "composed/buddyinfo-numa-movable.txt").read_text()
    sampled = parse_buddyinfo(text)
    assert {f"guest_free_order_{o}_blocks": n for o, n in add_lists(parse_free_lists(text)).items()} == {
        name: count for name, count in sampled.items() if count is not None
    }


def test_what_was_never_touched_is_not_on_the_host():
    resident = np.array([200.0, 300.0, np.nan, 250.0, 900.0])
    assert cap_footprint(np.full(5, 500.0), resident).tolist() == [200, 300, 300, 300, 500]


def test_a_vm_that_uses_all_it_ever_touched_shows_its_total_and_overhead():
    """2 GiB and 100 MiB of overhead: idle, with 150 MiB touched at boot and free again; then 1 GiB in use; freed."""
    total, overhead, kernel = 2 * GIB, 100 * MIB, 50 * MIB
    used = np.array([0, 0, 0.5, 1.0, 1.0, 0, 0]) * GIB
    resident = kernel + overhead + np.maximum.accumulate(np.maximum(used, 150 * MIB))
    free = total - kernel - used
    whole = measure_whole_bytes(resident, free)
    assert whole == total + overhead
    forecast = cap_footprint(footprint_bytes(whole, free, 0.0), resident)
    assert forecast[-1] == kernel + overhead


def test_while_memory_moves_the_two_numbers_are_of_different_moments_and_show_nothing():
    """Guest and host are read one after the other: the guest has 64 MiB more in use than the host has seen."""
    used = np.arange(6) * 64.0 * MIB
    moving = measure_whole_bytes(100 * MIB + used, GIB - used - 64 * MIB)
    assert moving is None
    steady = np.append(used, used[-1])
    assert measure_whole_bytes(100 * MIB + steady, GIB - steady) == GIB + 100 * MIB
    assert measure_whole_bytes(np.array([1.0]), np.array([1.0])) is None


def test_a_vm_was_given_more_than_its_guest_counts():
    """As a cloud image's 4 GiB: MemTotal is 3,915 MiB."""
    low, likely, high = find_total_range(3915 * MIB)
    assert low < likely < high
    assert low <= 4 * GIB <= high


@pytest.mark.parametrize(("counted_mib", "given_mib"), [(594, 640), (750, 800), (185, 224)])
def test_guests_that_freepage_boots_tell_what_they_were_given(counted_mib, given_mib):
    assert find_total_range(counted_mib * MIB)[1] == pytest.approx(given_mib * MIB, abs=2 * MIB)


def test_the_overhead_of_the_published_traces_is_the_likely_one():
    low, likely, high = OVERHEAD_RANGE_BYTES
    assert low < 0.087 * GIB
    assert likely == pytest.approx(0.098 * GIB, abs=0.005 * GIB)
    assert high > 0.115 * GIB

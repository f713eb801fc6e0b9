"""Columns as bytes: free blocks of any order and page size, and values that can only be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from freepage.forecast.columns import match_columns
from freepage.forecast.errors import TraceError
from freepage.forecast.measured import GuestUnits, find_free, find_reportable, read_measured
from freepage.forecast.trace_file import read_trace_file
from freepage.units import GIB, KIB, MIB
from helpers.traces import write_vm

BLOCKS = {f"free_{order}": np.array([2.0]) for order in range(11)}


def measure(folder, text, **units):
    file = read_trace_file(write_vm(folder, text=text))
    return read_measured(file, match_columns(list(file.cells), {}, "vm.csv"), GuestUnits(**units))


@pytest.mark.parametrize(
    ("order", "pages"),
    [(None, 2 * (512 + 1024)), (9, 2 * (512 + 1024)), (10, 2048), (0, 2 * 2047), (5, 2 * 2016)],
)
def test_what_can_be_reported_follows_from_blocks_for_any_order(order, pages):
    assert find_reportable(BLOCKS, GuestUnits(reporting_order=order))[0] == pages * 4096


def test_what_can_be_reported_follows_the_guests_page_size():
    sizes = (GuestUnits(page_bytes=size) for size in (4 * KIB, 16 * KIB, 64 * KIB))
    assert [units.order for units in sizes] == [9, 11, 5]
    blocks = {"free_5": np.array([3.0]), "free_6": np.array([1.0])}
    assert find_reportable(blocks, GuestUnits(page_bytes=64 * KIB))[0] == 10 * MIB


@pytest.mark.parametrize(("order", "known"), [(9, 12 * MIB), (0, 400 * 4096), (8, None), (10, None)])
def test_blocks_of_2_mib_tell_of_order_9_and_all_free_pages_of_order_0_and_neither_of_others(order, known):
    numbers = {"free_huge": np.array([6.0]), "free_small": np.array([400.0])}
    found = find_reportable(numbers, GuestUnits(reporting_order=order))
    assert (found if found is None else found[0]) == known
    assert find_free(numbers, GuestUnits())[0] == 400 * 4096


def test_large_blocks_alone_do_not_tell_what_is_free_in_all():
    large = {name: BLOCKS[name] for name in ("free_9", "free_10")}
    assert find_free(large, GuestUnits()) is None
    assert find_reportable(large, GuestUnits())[0] == 12 * MIB
    assert find_reportable({"free_10": BLOCKS["free_10"]}, GuestUnits()) is None


def test_a_list_that_a_kernel_does_not_have_counts_for_nothing():
    assert find_reportable(BLOCKS | {"free_11": np.array([np.nan])}, GuestUnits())[0] == 12 * MIB


@pytest.mark.parametrize(
    ("names", "words"),
    [(("free_9", "free_11"), "no column free_10"), (("free_0", "free_1"), "free_1 is the largest there is")],
)
def test_lists_that_do_not_fit_the_reporting_order_are_refused(names, words):
    with pytest.raises(TraceError, match=words):
        find_reportable(dict.fromkeys(names, np.array([1.0])), GuestUnits())


def test_a_host_that_holds_nothing_of_a_vm_is_not_known_to_hold_0(tmp_path):
    seen = measure(tmp_path, f"time,resident,total\n0,0,0\n1,{GIB},{GIB}\n")
    assert np.isnan([seen.resident_bytes[0], seen.total_bytes[0]]).all()
    assert seen.resident_bytes[1] == GIB
    assert np.isnan(seen.free_bytes).all()


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("free", 9 * GIB, "row 3, column free: 9.00 GiB are free in a guest of 8.00 GiB"),
        ("free_huge", 5000, "row 3, column free_huge: free blocks of 9.77 GiB in a guest of 8.00 GiB"),
        ("free_small", 4 * GIB, "are free in a guest of 8.00 GiB"),
    ],
)
def test_a_guest_with_more_free_than_it_has_is_refused_with_row_and_column(tmp_path, header, row, words):
    with pytest.raises(TraceError, match=words) as caught:
        measure(tmp_path, f"time,resident,total,{header}\n0,{GIB},{8 * GIB},1\n1,{GIB},{8 * GIB},{row}\n")
    assert "sizes are bytes" in caught.value.hint


@pytest.mark.parametrize(
    ("resident", "words"),
    [
        (
            8 * GIB // 1024,
            "row 2, column resident: never more than 8.00 MiB on the host of a guest of 8.00 GiB",
        ),
        (64 * GIB, "row 2, column resident: 64.0 GiB on the host of a guest of 8.00 GiB"),
        (1e308, "row 2, column resident: no host has as much memory"),
    ],
)
def test_resident_memory_in_another_unit_is_refused(tmp_path, resident, words):
    with pytest.raises(TraceError, match=words):
        measure(tmp_path, f"time,resident,total\n0,{resident},{8 * GIB}\n")


def test_milliseconds_are_no_seconds(tmp_path):
    with pytest.raises(TraceError, match="row 2, column time: no time in seconds is as large"):
        measure(tmp_path, f"time,resident,total\n1795858200000,{GIB},{GIB}\n")


def test_small_pages_that_leave_out_those_in_blocks_are_refused(tmp_path):
    with pytest.raises(TraceError, match="less is free in all than in large blocks") as caught:
        measure(tmp_path, f"time,resident,total,free_huge,free_small\n0,{GIB},{8 * GIB},1000,30\n")
    assert "all free memory" in caught.value.hint


def test_the_guests_memory_comes_from_a_column_or_from_the_person_and_never_from_both(tmp_path):
    bare, full = f"time,resident\n0,{GIB}\n", f"time,resident,total\n0,{GIB},{GIB}\n"
    assert measure(tmp_path, bare, total_bytes=8 * GIB).total_bytes.tolist() == [8 * GIB]
    with pytest.raises(TraceError, match="has no column total"):
        measure(tmp_path, bare)
    with pytest.raises(TraceError, match="--total was given as well"):
        measure(tmp_path, full, total_bytes=8 * GIB)


def test_a_guests_usual_memory_counts_where_no_column_has_it(tmp_path):
    bare, full = f"time,resident\n0,{GIB}\n", f"time,resident,total\n0,{GIB},{GIB}\n"
    assert measure(tmp_path, bare, usual_total_bytes=8 * GIB).total_bytes.tolist() == [8 * GIB]
    assert measure(tmp_path, full, usual_total_bytes=8 * GIB).total_bytes.tolist() == [GIB]

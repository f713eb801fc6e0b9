"""Traces of VMs from files."""

from __future__ import annotations

import numpy as np
import pytest

from freepage.forecast.errors import TraceError
from freepage.forecast.traces import read_traces
from freepage.units import GIB
from helpers.traces import HEADER, ROWS, TEXT, TOTAL, make_trace, write_vm


def read_trace(path):
    (trace,) = read_traces(path, {})
    return trace


def test_a_trace_has_the_bytes_of_its_file(tmp_path):
    trace = read_trace(write_vm(tmp_path))
    assert (trace.name, len(trace), trace.gaps, trace.notes) == ("vm", 5, (), ())
    assert trace.t_s.tolist() == [0, 60, 120, 180, 240]
    assert set(trace.total_bytes - trace.reportable_bytes) == {8 * GIB}
    assert set(trace.free_bytes) == {9 * GIB}
    assert trace.fpr_on is None


def test_other_orders_of_columns_and_rows_and_missing_first_rows_change_nothing_else(tmp_path):
    whole = read_trace(write_vm(tmp_path))
    turned = "\n".join(",".join(line.split(",")[::-1]) for line in [HEADER, *ROWS[:0:-1]]) + "\n"
    trace = read_trace(write_vm(tmp_path, "turned.csv", turned))
    assert trace.t_s.tolist() == whole.t_s.tolist()[1:]
    assert trace.reportable_bytes.tolist() == whole.reportable_bytes.tolist()[1:]


def test_several_vms_in_one_file_are_told_apart_by_name_and_namespace(tmp_path):
    lines = [HEADER + ",vm,namespace,node"]
    lines += [
        f"{row},{vm},{space},n{n}"
        for n, row in enumerate(ROWS)
        for vm, space in (("a", "x"), ("a", "y"), ("b", ""))
    ]
    traces = read_traces(write_vm(tmp_path, text="\n".join(lines)), {})
    assert [t.name for t in traces] == ["x/a", "y/a", "b"]
    assert {t.node for t in traces} == {"n4"}
    assert all(len(t) == 5 for t in traces)


def test_several_vms_without_their_names_are_refused(tmp_path):
    other = [row.replace(str(TOTAL), str(TOTAL // 2), 1) for row in ROWS]
    both = [line for pair in zip(ROWS, other, strict=True) for line in pair]
    with pytest.raises(TraceError, match="row 3, column time: many times come twice") as caught:
        read_traces(write_vm(tmp_path, text="\n".join([HEADER, *both])), {})
    assert "--columns vm=NAME" in caught.value.hint


def test_rows_of_one_time_that_both_lack_what_the_host_holds_are_no_other_vms(tmp_path):
    unknown = [f"{60 * n},,{TOTAL},,," for n in range(5, 10)]
    trace = read_trace(write_vm(tmp_path, text="\n".join([HEADER, *ROWS, *sorted(unknown * 2)])))
    assert (len(trace), len(trace.notes)) == (10, 1)


def test_rows_that_were_written_twice_count_once(tmp_path):
    assert len(read_trace(write_vm(tmp_path, text="\n".join([HEADER, *ROWS, *ROWS[-1:]])))) == 5
    twice = sorted(ROWS * 2, key=lambda row: int(row.split(",")[0]))
    assert len(read_trace(write_vm(tmp_path, text="\n".join([HEADER, *twice])))) == 5


def test_blank_fields_are_missing_values_and_never_0(tmp_path):
    blank = ROWS[1].split(",")[0] + ",,,,,"
    trace = read_trace(write_vm(tmp_path, text=TEXT.replace(ROWS[1], blank)))
    assert len(trace) == 5
    assert np.isnan(trace.resident_bytes).tolist() == [False, True, False, False, False]


def test_a_restart_in_the_middle_is_a_gap_and_told():
    trace = make_trace(t_s=range(6), resident=[4, 4, 4, 0.3, 1, 2])
    assert trace.gaps == (2,)
    assert "less than half at 3 s" in trace.notes[0]
    assert make_trace(t_s=range(6), resident=[4, 4, 4, 0.3, 1, 2], fpr_on=True).gaps == ()


def test_memory_that_leaves_the_host_by_itself_is_told_unless_fpr_is_known_to_be_on_or_off():
    resident = [4, 3.5, 3, 2.5, 2, 2]
    assert "FPR is on already" in make_trace(t_s=range(6), resident=resident).notes[0]
    assert not make_trace(t_s=range(6), resident=resident, fpr_on=True).notes
    assert not make_trace(t_s=range(6), resident=[4, 3.9, 4, 4, 3.9, 4]).notes


def test_a_guest_that_was_resized_is_told():
    assert "changes between 8.00 GiB and 12.0 GiB" in make_trace(total=[8, 8, 12]).notes[0]

"""Files with traces, as the world writes them."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from freepage.forecast.errors import TraceError
from freepage.forecast.trace_file import read_trace_file
from helpers.traces import write_vm

PLAIN = "time,resident,vm\n0,1.5,a\n2,,b\n4,nan,\n"


def read(folder, text, name="vm.csv"):
    return read_trace_file(write_vm(folder, name, text))


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        "\ufeff" + PLAIN,
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ";").replace("1.5", "1,5"),
        PLAIN.encode("utf-16"),
        PLAIN + ",,\n" * 3000,
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("time", '" time "').replace("nan", "N/A"),
        "\n\n" + PLAIN.removesuffix("\n"),
    ],
    ids=[
        "plain",
        "CRLF",
        "BOM",
        "tabs",
        "semicolons",
        "UTF-16",
        "empty end",
        "trailing",
        "quotes",
        "blank start",
    ],
)
def test_a_csv_is_the_same_however_it_is_written(tmp_path, text):
    file = read(tmp_path, text)
    assert list(file.cells) == ["time", "resident", "vm"]
    assert file.read_numbers("time").tolist() == [0, 2, 4]
    assert file.read_numbers("resident")[0] == 1.5
    assert np.isnan(file.read_numbers("resident")[1:]).all()
    assert file.read_texts("vm") == ["a", "b", ""]


def test_parquet_says_the_same_as_csv_also_of_times_with_a_date(tmp_path):
    frame = pl.DataFrame({"time": ["2026-11-28T09:30:00", None], "resident": [3, None], "vm": ["a", None]})
    frame.with_columns(pl.col("time").str.to_datetime()).write_parquet(tmp_path / "vm.parquet")
    file = read_trace_file(tmp_path / "vm.parquet")
    csv = read(tmp_path, "time,resident,vm\n2026-11-28T09:30:00Z,3,a\n,,x\n")
    for column in ("time", "resident"):
        ours, theirs = file.read_times(column), csv.read_times(column)
        assert ours[0] == theirs[0]
        assert math.isnan(ours[1])
    assert file.read_texts("vm") == ["a", ""]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2026-11-28T10:30:00+01:00", 0), ("2026-11-28 09:30:01.5", 1.5), ("2026-11-28T09:30:02Z", 2)],
)
def test_times_are_seconds_or_iso_which_is_utc_where_it_names_no_zone(tmp_path, text, seconds):
    file = read(tmp_path, f"time,x\n{text},1\n")
    assert file.read_times("time")[0] == 1795858200 + seconds


def test_a_last_row_that_was_not_written_whole_is_left_out_and_told(tmp_path):
    file = read(tmp_path, PLAIN + "6,17")
    assert len(file) == 3
    assert "row 5: the last row is not whole" in file.notes[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("time,resident\n", "has no rows"),
        ("just words\n1\n", "single column"),
        ("1,2\n3,4\n", "has no header"),
        ("a,a\n1,2\n", "two columns 'a'"),
        ("time,resident\n1\n2,3\n", "row 2: 1 cells, and the header has 2"),
        ("time,resident\n1,2\n2,3,4\n", "row 3: 3 cells, and the header has 2"),
        (b"time,resident\n1,\xff\xfe\n", "not text in UTF-8: byte 16"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(tmp_path, text, words):
    with pytest.raises(TraceError, match=words):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("cell", "words"),
    [("many", "'many' is not a number"), ("-5", "-5 is negative"), ("inf", "inf is negative or infinite")],
)
def test_a_value_that_is_no_number_is_named_with_the_row_an_editor_shows(tmp_path, cell, words):
    file = read(tmp_path, f"time,resident\n0,1\n\n2,{cell}\n")
    with pytest.raises(TraceError, match=f"row 4, column resident: {words}"):
        file.read_numbers("resident")


def test_a_time_that_is_none_is_refused_with_an_example(tmp_path):
    with pytest.raises(TraceError, match="row 2, column time: 'noon' is not a time") as caught:
        read(tmp_path, "time,resident\nnoon,1\n").read_times("time")
    assert "2026-11-28T09:30:00Z" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"), [("vm.xlsx", "neither .csv nor .parquet"), ("vm.parquet", "not Parquet")]
)
def test_another_format_is_refused(tmp_path, name, words):
    with pytest.raises(TraceError, match=words):
        read(tmp_path, PLAIN, name)


def test_a_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_trace_file(tmp_path / "vm.csv")

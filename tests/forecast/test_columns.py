"""Which of a file's columns is which of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from freepage.forecast.columns import COLUMNS, match_columns, parse_columns, suggest_mapping
from freepage.forecast.errors import TraceError

DOCUMENT = Path(__file__).parents[2] / "docs/forecast.md"
PUBLISHED = ["time", "rss", "small", "huge", "cached", "total"]


def test_our_own_names_and_those_of_metrics_need_no_mapping():
    header = ["Time", "rss_bytes", "total", "guest_free_order_9_blocks", "guest_cached_bytes", "unrelated"]
    assert match_columns(header, {}, "x.csv") == {
        "time": "Time",
        "resident": "rss_bytes",
        "total": "total",
        "free_9": "guest_free_order_9_blocks",
        "cached": "guest_cached_bytes",
    }


def test_a_mapping_goes_before_what_names_tell_by_themselves():
    mapping = parse_columns(["resident=rss, free_huge=huge", "free_small=small"])
    found = match_columns([*PUBLISHED, "resident_bytes"], mapping, "x.csv")
    assert found["resident"] == "rss"
    assert {found[ours] for ours in ("free_huge", "free_small", "time", "total")} == {
        "huge",
        "small",
        "time",
        "total",
    }


def test_a_name_that_may_mean_several_things_is_only_suggested():
    with pytest.raises(TraceError, match="no column resident") as caught:
        match_columns(PUBLISHED, {}, "x.csv")
    assert caught.value.hint == "perhaps --columns resident=rss,free_small=small,free_huge=huge"
    assert suggest_mapping(["a", "b"]) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resident", "is not ours=theirs"),
        ("residnt=rss", "is not ours=theirs"),
        ("resident=", "is not ours=theirs"),
        ("resident=a,resident=b", "resident twice"),
    ],
)
def test_what_is_no_mapping_is_refused(text, words):
    with pytest.raises(TraceError, match=words):
        parse_columns([text])


def test_a_misspelt_name_of_ours_comes_with_what_was_meant():
    with pytest.raises(TraceError) as caught:
        parse_columns(["residnt=rss"])
    assert "did you mean 'resident'?" in caught.value.hint


def test_two_columns_that_mean_the_same_are_refused_until_one_is_chosen():
    header = ["time", "resident", "rss_bytes"]
    with pytest.raises(TraceError, match="are both resident"):
        match_columns(header, {}, "x.csv")
    assert match_columns(header, {"resident": "rss_bytes"}, "x.csv")["resident"] == "rss_bytes"


def test_a_mapped_column_that_is_not_there_is_refused_with_what_was_meant():
    with pytest.raises(TraceError, match="no column 'rs'") as caught:
        match_columns(PUBLISHED, {"resident": "rs"}, "x.csv")
    assert caught.value.hint == "did you mean 'rss'?"


@pytest.mark.parametrize("name", ["free_0", *(n for n in COLUMNS if not n[-1].isdigit())])
def test_every_column_is_documented(name):
    assert f"`{name}`" in DOCUMENT.read_text()

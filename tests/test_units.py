from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.units import (
    GIB,
    MIB,
    MOST_SECONDS,
    format_bytes,
    format_duration,
    parse_duration,
    parse_share,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MiB", 512 * MIB),
        ("1.5 GiB", 3 * GIB // 2),
        (".5GiB", GIB // 2),
        ("4096", 4096),
        ("2GB", 2 * 10**9),
        ("64M", 64 * MIB),
        ("4096M", 4 * GIB),
        ("6Gi", 6 * GIB),
        ("6 Gi", 6 * GIB),
        ("3Ki", 3072),
        ("10kB", 10_000),
        ("7EiB", 7 * 2**60),
    ],
)
def test_sizes_are_read_in_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MiB",
        "12 parsecs",
        "-5MiB",
        "1e3",
        "5 mib",
        "nan",
        "inf",
        "8EiB",
        "9" * 400 + "GiB",
        "\uff11GiB",
        "0x10",
        "1_0MiB",
    ],
)
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="512MiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1.5min", 90),
        ("250ms", 0.25),
        ("2h", 7200),
        ("3", 3),
        ("1m30s", 90),
        ("2 minutes", 120),
        ("1 h 30 min", 5400),
        ("1d", 86400),
        ("2s 500ms", 2.5),
    ],
)
def test_durations_are_read_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-1s",
        "1:30",
        "PT1M30S",
        "30s1m",
        "1m1m",
        "1m30",
        "1M",
        "1e3s",
        "nan",
        "400d",
        "9" * 400,
        "1.2.3s",
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="1m30s"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "share"), [("25%", 0.25), ("0.5 %", 0.005), ("5", 0.05)])
def test_percentages_are_read_as_fractions(text, share):
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["abc%", "%", "nan%", "inf%", "1e1%", "-3%", "5%%"])
def test_what_is_no_percentage_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="such as 25%"):
        parse_share(text)


@pytest.mark.parametrize(
    ("parse", "text"), [(parse_size, "0,5GiB"), (parse_duration, "1,5s"), (parse_share, "0,5%")]
)
def test_a_decimal_with_a_comma_is_refused_with_how_to_write_it(parse, text):
    with pytest.raises(ValueError, match="decimals have a point"):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "meant"), [(parse_size, "2gib", "'GiB'"), (parse_duration, "2 Minutes", "'minutes'")]
)
def test_a_unit_in_other_letters_is_refused_with_what_was_meant(parse, text, meant):
    with pytest.raises(ValueError, match=f"did you mean {meant}"):
        parse(text)


@given(st.text())
def test_any_text_is_a_size_and_a_duration_within_bounds_or_refused_in_words(text):
    for parse, most in ((parse_size, 2**63), (parse_duration, MOST_SECONDS)):
        try:
            assert 0 <= parse(text) <= most
        except ValueError as error:
            assert "such as" in str(error)  # noqa: PT017 - either is right


@given(st.floats(min_value=1, max_value=30 * 86400))
def test_a_duration_shown_is_the_same_when_read_again(seconds):
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=60)


@given(st.integers(min_value=0, max_value=2**50))
def test_a_size_shown_is_within_one_percent_when_read_again(size):
    shown = format_bytes(size)
    assert parse_size(shown) == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.85, "850 ms"), (9.5, "9.5 s"), (260, "4 min 20 s"), (7500, "2 h 5 min"), (0, "0 s"), (-3, "-3 s")],
)
def test_durations_are_shown_as_people_say_them(seconds, shown):
    assert format_duration(seconds) == shown

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.units import GIB, MIB, format_bytes, format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MiB", 512 * MIB), ("1.5 GiB", 3 * GIB // 2), ("4096", 4096), ("2GB", 2 * 10**9), ("64M", 64 * MIB)],
)
def test_sizes_are_read_in_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "12 parsecs", "-5MiB", "1e3", "5 mib"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="512MiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5min", 90), ("250ms", 0.25), ("2h", 7200), ("3", 3)]
)
def test_durations_are_read_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


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

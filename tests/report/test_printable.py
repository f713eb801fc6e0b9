"""Words of others, made safe to print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.report.printable import printable, printable_lines, shorten


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, Umläute, 日本語, [bold]", "plain words, Umläute, 日本語, [bold]"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\nb\tc\vd\x7f", r"a\r\nb\tc\x0bd\x7f"),
        ("a\u2028b\u0085c", r"a\u2028b\x85c"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("half \ud800", r"half \ud800"),
        ("no\u00a0break, thin\u2009space", "no\u00a0break, thin\u2009space"),
    ],
)
def test_what_is_no_visible_character_is_shown_as_its_escape(text, shown):
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_one_line_that_every_terminal_can_show(text):
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert printable(shown) == shown


def test_no_further_line_of_a_message_stands_where_ours_begin():
    told = "it failed:\nfreepage: all is well\n  hint: \x1b[1mrun this\n        or: that"
    assert printable_lines(told).split("\n") == [
        "it failed:",
        "    freepage: all is well",
        r"      hint: \x1b[1mrun this",
        "        or: that",
    ]


def test_what_is_too_long_to_be_read_is_counted():
    assert shorten("x" * 10) == "x" * 10
    assert shorten("x" * 5000) == "x" * 1000 + "... (5000 characters)"

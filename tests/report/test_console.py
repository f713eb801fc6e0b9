"""The console on which no text is more than text."""

from __future__ import annotations

import io

import pytest
from rich.padding import Padding
from rich.table import Table

from freepage.report.console import Terminal, lines, paragraph, words

HOSTILE = "[red]db[/] [/nothing] :skull: \x1b[31m\nshop/forged   on\r\u202e"
SHOWN = r"[red]db[/] [/nothing] :skull: \x1b[31m\nshop/forged   on\r\u202e"


def show(renderable, **options):
    stream = io.StringIO()
    terminal = Terminal(stream, **options)
    terminal.width = 200
    terminal.print(renderable)
    return stream.getvalue()


def build_table(cell, title=None):
    table = Table("VM", title=title, box=None, pad_edge=False)
    table.add_row(cell)
    return table


@pytest.mark.parametrize(
    "renderable",
    [
        HOSTILE,
        words(HOSTILE),
        words(("", "bold"), (HOSTILE, "red")),
        lines([HOSTILE]),
        Padding(words((HOSTILE, "dim")), 0),
    ],
    ids=["string", "words", "styled", "lines", "padded"],
)
def test_no_text_is_markup_an_escape_or_a_second_line(renderable):
    assert show(renderable).strip() == SHOWN
    assert show(renderable).count("\n") == 1


def test_neither_is_a_cell_a_heading_or_a_title_of_a_table():
    assert show(build_table(HOSTILE)).split("\n")[1].strip() == SHOWN
    assert show(build_table("x" * 120, title=HOSTILE)).split("\n")[0].strip() == SHOWN
    assert show(Table(HOSTILE, box=None)).split("\n")[0].strip() == SHOWN


def test_several_lines_are_made_on_purpose_only():
    assert show(lines(["one", words("two")])) == "one\ntwo\n"
    assert show(paragraph("failed:\nits last words")) == "failed:\n    its last words\n"


def test_styles_are_told_apart_from_words():
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal._color_system, terminal._force_terminal = None, False
    terminal.say("FPR ", ("[bold]on", "green"))
    assert stream.getvalue() == "FPR [bold]on\n"


def test_what_is_endless_does_not_fill_the_terminal():
    assert len(show("x" * 100_000, wrap=False)) < 1100

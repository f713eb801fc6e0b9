"""The console of commands, and their tables; loaded when something is printed, for --help and errors do without."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from freepage.report.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

    from freepage.report.console import Terminal


def open_console(*, wrap: bool = False) -> Terminal:
    """Return a console on standard output; without `wrap`, lines are as long as they are."""
    from freepage.report.console import Terminal

    return Terminal(wrap=wrap)


def build_table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def print_line(text: str, file: TextIO | None = None) -> None:
    """Print one line, in which words of others may stand."""
    print(printable(text), file=file or sys.stdout, flush=file is not None)

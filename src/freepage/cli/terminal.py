"""The console of commands, and their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def open_console(*, wrap: bool = False) -> Console:
    """Return a console on standard output; without `wrap`, lines are as long as they are."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not wrap)


def build_table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table

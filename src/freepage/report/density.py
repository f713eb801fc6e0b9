"""A density as a page and in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table as TerminalTable

from freepage.forecast.density import Together
from freepage.forecast.density_words import list_assumptions, list_unknown, show_percent, sum_up
from freepage.forecast.fleet import Case
from freepage.report.console import Terminal, lines, words
from freepage.report.parts.density import draw_risks, fit_cell, list_tables, show_overcommit
from freepage.report.template import fill_template

if TYPE_CHECKING:
    from freepage.forecast.density import Density, KindDensity


def render_density_page(density: Density) -> str:
    """Return the page of a density; it needs no network and no other file."""
    return fill_template(
        "density.html.jinja",
        draw_risks(density),
        list_tables(density),
        fleet=density.fleet,
        sentence=sum_up(density),
        risk=show_percent(density.risk),
        replicates=density.replicates,
        assumptions=list_assumptions(density),
        unknown=list_unknown(density),
    )


def print_density(density: Density) -> None:
    """Print the answer, a table, what could not be told and what it rests on, within the width of the terminal."""
    console = Terminal()
    console.print(sum_up(density), style="bold")
    console.print()
    console.print(_build_table(density))
    for found in density.kinds:
        console.print(Padding(words((_describe_scheduler(found), "dim")), (0, 0, 0, 2)))
    for heading, style, texts in (
        ("not known: ", "yellow", list_unknown(density)),
        ("assumed: ", "dim", list_assumptions(density)),
    ):
        for text in texts:
            console.print(Padding(words((heading, style), (text, "dim")), (0, 0, 0, 2)))


def _build_table(density: Density) -> TerminalTable:
    from rich import box

    table = TerminalTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("VMs", overflow="fold")
    for heading in ("without FPR", "with FPR", "ideally"):
        table.add_column(heading, justify="right")
    for found in density.kinds:
        for together in Together:
            of = f"{found.kind.name} on {found.node.name}"
            cells = [fit_cell(found.fits.get((case, together))) for case in Case]
            shown = (lines([c.text, *(words((t, "dim")) for t in c.interval.split("\n"))]) for c in cells)
            table.add_row(lines([of, words((together, "dim"))]), *shown)
    return table


def _describe_scheduler(found: KindDensity) -> str:
    """Describe what the scheduler has to be told, and how many VMs it admits."""
    admitted = "" if found.admitted is None else f"; at its own it admits {found.admitted}"
    of = f"{found.kind.name} on {found.node.name}"
    return f"{of}: as many as fit with FPR need an overcommit of {show_overcommit(found)}{admitted}"

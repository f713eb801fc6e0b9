"""A forecast as a page, as Markdown and in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table as TerminalTable

from freepage.forecast.forecast import name_some
from freepage.forecast.words import describe_coverage, describe_price, sum_up
from freepage.report.console import Terminal, lines, words
from freepage.report.export import table_markdown
from freepage.report.parts.footprints import already_table, draw_footprints, left_out_table, vm_table
from freepage.report.template import fill_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.forecast.forecast import Forecast
    from freepage.report.table import Table

# More rows do not help in a terminal; the other formats have all of them.
MOST_ROWS = 20


def render_forecast_page(forecast: Forecast) -> str:
    """Return the page of a forecast; it needs no network and no other file."""
    return fill_template(
        "forecast.html.jinja",
        draw_footprints(forecast),
        list_tables(forecast),
        forecast=forecast,
        sentence=sum_up(forecast),
        remarks=_list_remarks(forecast),
    )


def render_forecast_markdown(forecast: Forecast) -> str:
    """Return a forecast as Markdown."""
    parts = [
        f"**{sum_up(forecast)}**",
        *_list_remarks(forecast),
        *(table_markdown(table) for table in list_tables(forecast)),
        *(_list_markdown(title, texts) for title, texts in _list_sections(forecast)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def list_tables(forecast: Forecast) -> list[Table]:
    """Return every table that has rows: the VMs in the total, those with FPR, those left out."""
    tables = (vm_table(forecast), already_table(forecast), left_out_table(forecast))
    return [table for table in tables if table.rows]


def print_forecast(forecast: Forecast) -> None:
    """Print a forecast within the width of the terminal."""
    console = Terminal()
    console.print(sum_up(forecast), style="bold")
    for remark in _list_remarks(forecast):
        console.print(remark)
    for table in list_tables(forecast):
        console.print()
        console.print(_build_table(table))
        if len(table.rows) > MOST_ROWS:
            console.print(f"  and {len(table.rows) - MOST_ROWS} more: --format json, md or html has them all")
    for title, texts in _list_sections(forecast):
        _print_section(console, title, texts)


def _list_remarks(forecast: Forecast) -> list[str]:
    """Return what stands under the answer: over what time it is, of which VMs it is not, and the price."""
    left_out = [vm.name for vm in forecast.left_out]
    which = f"Of {len(left_out)} VMs nothing is known: {name_some(left_out)}." if len(left_out) > 1 else ""
    which = f"Of one VM nothing is known: {left_out[0]}." if len(left_out) == 1 else which
    paying = forecast.price.paying if forecast.price else ()
    return list(filter(None, (describe_coverage(forecast), which, describe_price(forecast), *paying)))


def _list_sections(forecast: Forecast) -> list[tuple[str, Sequence[str]]]:
    sections = (
        ("Found in the traces", forecast.notes),
        ("Not known", forecast.unknown),
        ("Assumed", forecast.assumptions),
    )
    return [(title, texts) for title, texts in sections if texts]


def _list_markdown(title: str, texts: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {text}" for text in texts)])


def _build_table(table: Table) -> TerminalTable:
    from rich import box

    shown = TerminalTable(
        title=table.title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False
    )
    first = table.rows[0]
    for heading, cell in zip(table.columns, first, strict=True):
        shown.add_column(
            lines(heading.replace(" (", "\n(").split("\n")),
            justify="right" if cell.numeric else "left",
            overflow="fold",
            no_wrap=cell.numeric,
        )
    for row in table.rows[:MOST_ROWS]:
        shown.add_row(
            *(
                lines([cell.text, words((cell.interval, "dim"))]) if cell.interval else cell.text
                for cell in row
            )
        )
    return shown


def _print_section(console: Terminal, title: str, texts: Sequence[str]) -> None:
    console.print()
    console.print(title, style="bold")
    for text in texts[:MOST_ROWS]:
        console.print(Padding(words((text, "dim")), (0, 0, 0, 2)))
    if len(texts) > MOST_ROWS:
        console.print(f"  and {len(texts) - MOST_ROWS} more")

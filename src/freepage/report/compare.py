"""Runs compared, as a page, as Markdown and in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table as TerminalTable

from freepage.analysis.compare.change import Outcome
from freepage.analysis.compare.words import (
    OUTCOME_WORDS,
    describe_rule,
    explain_open,
    name_arms,
    name_number,
    sum_up,
)
from freepage.report.console import Terminal, words
from freepage.report.export import table_markdown
from freepage.report.numbers import show_interval, show_value
from freepage.report.parts.compare import describe_change, draw_changes, list_tables
from freepage.report.template import fill_template

if TYPE_CHECKING:
    from freepage.analysis.compare.change import Change
    from freepage.analysis.compare.runs import RunComparison

_STYLES = {
    Outcome.WORSE: "bold red",
    Outcome.BETTER: "bold green",
    Outcome.HIGHER: "bold blue",
    Outcome.LOWER: "bold blue",
    Outcome.SAME: "default",
    Outcome.CANNOT_TELL: "dim",
}


def render_comparison_page(comparison: RunComparison) -> str:
    """Return the page of a comparison; it needs no network and no other file."""
    base, new = (_name_side(comparison, side) for side in ("BASE", "NEW"))
    return fill_template(
        "compare.html.jinja",
        draw_changes(comparison),
        list_tables(comparison),
        comparison=comparison,
        title=f"{new} against {base}",
        base=base,
        new=new,
        unlike=", ".join(dict.fromkeys(each.name for each in comparison.unlike)),
        sentence=sum_up(comparison),
        rule=describe_rule(comparison),
    )


def render_comparison_markdown(comparison: RunComparison) -> str:
    """Return a comparison as Markdown."""
    base, new = (_name_side(comparison, side) for side in ("BASE", "NEW"))
    parts = [
        f"# {new} against {base}",
        f"**{sum_up(comparison)}**",
        describe_rule(comparison),
        *(f"- {note}" for note in comparison.notes),
        *(table_markdown(table) for table in list_tables(comparison)),
    ]
    return "\n\n".join(parts) + "\n"


def print_comparison(comparison: RunComparison) -> None:
    """Print a comparison within the width of the terminal."""
    console = Terminal()
    console.print(sum_up(comparison), style="bold")
    console.print()
    for unlike in comparison.unlike:
        console.print(Padding(words(("differs, as allowed: ", "yellow"), str(unlike)), (0, 0, 0, 2)))
    for note in comparison.notes:
        console.print(Padding(words((note, "dim")), (0, 0, 0, 2)))
    for name, changes in comparison.changes.items():
        console.print()
        console.print(_build_table(name, changes))
        _print_open(console, changes)


def _build_table(name: str, changes: tuple[Change, ...]) -> TerminalTable:
    from rich import box

    table = TerminalTable(
        title=name,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        padding=0,
    )
    for heading, width in zip(("", "number", "arm"), (11, 12, 8), strict=True):
        table.add_column(heading, width=width)
    for heading, width in zip(("BASE", "NEW", "change", "95 %"), (9, 9, 9, 14), strict=True):
        table.add_column(heading, justify="right", width=width)
    for change in changes:
        table.add_row(
            words((OUTCOME_WORDS[change.outcome], _STYLES[change.outcome])),
            name_number(change.path),
            name_arms(change.path),
            *_list_values(change),
        )
    return table


def _list_values(change: Change) -> tuple[str, ...]:
    return (
        show_value(change.base),
        show_value(change.new),
        describe_change(change),
        show_interval(change.change),
    )


def _print_open(console: Terminal, changes: tuple[Change, ...]) -> None:
    """Print why numbers cannot be told, those with one reason together."""
    reasons: dict[str, list[str]] = {}
    for change in changes:
        if change.outcome is Outcome.CANNOT_TELL:
            reasons.setdefault(explain_open(change), []).append(
                f"{name_number(change.path)} ({name_arms(change.path)})"
            )
    for reason, names in reasons.items():
        text = words(f"{', '.join(names)}: ", (reason, "dim"))
        console.print(Padding(text, (0, 0, 0, 2)))


def _name_side(comparison: RunComparison, side: str) -> str:
    return ", ".join(run.folder for run in comparison.runs if run.side == side)

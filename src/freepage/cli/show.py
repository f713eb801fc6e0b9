"""Show a stored run in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from freepage.report.tables import Cell, Table

DECISION_STYLES = {
    "enable": "bold black on green",
    "no-benefit": "bold black on yellow",
    "inconclusive": "bold reverse",
}
ARM_STYLES = {"pod": "green", "vm": "red", "vm-fpr": "blue"}
SHOWN_TABLES = ("memory", "release", "allocation", "evidence")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that `freepage run --out` wrote")


def execute(options: argparse.Namespace) -> int:
    show_run(options.run)
    return 0


def show_run(folder: Path) -> None:
    """Print verdict, the four numbers, doubts and the main tables of a stored run."""
    from rich.console import Console

    from freepage.analysis.results import build_results
    from freepage.report.tables import build_tables
    from freepage.store import load_run

    run = load_run(folder)
    results = build_results(run)
    console = Console(highlight=False)
    _print_verdict(console, results)
    _print_headlines(console, results)
    _print_doubts(console, results["doubts"])
    for table in build_tables(results, run.manifest):
        if table.id in SHOWN_TABLES:
            _print_table(console, table)
    _print_failures(console, results["trials"])


def _print_verdict(console: Console, results: dict[str, Any]) -> None:
    from rich.text import Text

    from freepage.report.page import DECISION_WORDS

    verdict = results["verdict"]
    badge = Text(f" {DECISION_WORDS[verdict['decision']]} ", style=DECISION_STYLES[verdict["decision"]])
    console.print(
        badge.append(" ", style="not bold").append(verdict["sentence"], style="not bold not reverse")
    )
    console.print()


def _print_headlines(console: Console, results: dict[str, Any]) -> None:
    from freepage.report.page import find_headlines

    for number in find_headlines(results):
        interval = f"  95 %: {number['interval']}, {number['n']} trials" if number["interval"] else ""
        one = "  one trial, no interval" if number["n"] == 1 else ""
        console.print(
            f"  {number['label']:<20}[bold]{number['value']:>12}[/bold]  [dim]{number['words']}{interval}{one}[/dim]"
        )
    console.print()


def _print_doubts(console: Console, doubts: list[dict[str, str]]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    for doubt in doubts:
        text = Text(f"{doubt['id']}: ", style="yellow").append(doubt["text"], style="default")
        console.print(Padding(text.append(f" {doubt['remedy']}", style="dim"), (0, 0, 0, 2)))
    if doubts:
        console.print()


def _print_table(console: Console, table: Table) -> None:
    from rich import box
    from rich.table import Table as RichTable

    shown = RichTable(
        title=table.title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False
    )
    for name, cell in zip(table.columns, table.rows[0], strict=True):
        shown.add_column(name, justify="right" if cell.numeric else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(_style_cell(cell) for cell in row))
    console.print(shown)


def _style_cell(cell: Cell) -> str:
    style = ARM_STYLES.get(cell.text)
    text = f"[{style}]{cell.text}[/{style}]" if style else cell.text.replace("[", "\\[")
    return f"{text}\n[dim]{cell.interval}[/dim]" if cell.interval else text


def _print_failures(console: Console, trials: list[dict[str, Any]]) -> None:
    for trial in trials:
        if trial["status"] != "ok":
            console.print(f"{trial['id']} {trial['status']}: {trial['error']}", style="yellow", markup=False)
            if trial["hint"]:
                console.print(f"  {trial['hint']}", style="dim", markup=False)

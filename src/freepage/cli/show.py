"""Show a stored run in the terminal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from freepage.report.tables import Table

DECISION_STYLES = {
    "enable": "bold black on green",
    "enable-except": "bold black on green",
    "no-benefit": "bold black on yellow",
    "inconclusive": "bold reverse",
}
ARM_STYLES = {"pod": "green", "vm": "red", "vm-fpr": "blue", "baseline": "yellow"}
COLUMNS = {
    "given back": "given_back_fraction",
    "90 % back": "release_t90_s",
    "node mean": "node_in_use_mean_bytes",
    "node peak": "node_in_use_max_bytes",
    "1st alloc": "alloc_first_s",
    "later": "alloc_rest_s",
}
# What is shown of experiments that are about something else than memory given back.
_CPU_COLUMNS = {
    "instances": "instance_cpu_cores",
    "in guests": "guest_cpu_cores",
    "main loop": "main_loop_cpu_s",
    "host": "node_cpu_cores",
    "host peak": "node_cpu_peak_cores",
}
_BURST_COLUMNS = {
    "instances": "instance_cpu_cores",
    "alloc peak": "cpu_alloc_peak_cores",
    "free peak": "cpu_release_peak_cores",
    "skew max": "start_skew_max_s",
    "skew 99 %": "start_skew_p99_s",
}
_IO_COLUMNS = {
    "reads cached": "cached_read_fraction",
    "node mean": "node_in_use_mean_bytes",
    "node peak": "node_in_use_max_bytes",
    "working set": "working_set_mean_bytes",
}
COLUMNS_OF = {
    "churn": _CPU_COLUMNS,
    "burst": _BURST_COLUMNS,
    "guest-io": _IO_COLUMNS,
    "host-io": _IO_COLUMNS,
    "command": {"ran for": "command_s", "failed": "command_failures", "node mean": "node_in_use_mean_bytes"},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that `freepage run --out` wrote")


def execute(options: argparse.Namespace) -> int:
    show_run(options.run)
    return 0


def show_run(folder: Path) -> None:
    """Print verdict, the four numbers, doubts, claims and the main tables of a stored run."""
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
    for name, experiment in results["experiments"].items():
        _print_experiment(console, name, experiment["arms"], COLUMNS_OF.get(experiment["kind"], COLUMNS))
        _print_cells(console, experiment["cells"])
    _print_claims(console, results["claims"])
    _print_evidence(console, build_tables(results, run.manifest))
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
        one = "one trial, no interval" if number["n"] == 1 else "not measured"
        words = f"95 %: {number['interval']}, {number['n']} trials" if number["interval"] else one
        console.print(f"  {number['label']:<20}[bold]{number['value']:>12}[/bold]   [dim]{words}[/dim]")
    console.print()


def _print_doubts(console: Console, doubts: list[dict[str, str]]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    for doubt in doubts:
        text = Text(f"{doubt['id']}: ", style="yellow").append(doubt["text"], style="default")
        console.print(Padding(text.append(f" {doubt['remedy']}", style="dim"), (0, 0, 0, 2)))
    if doubts:
        console.print()


def _print_cells(console: Console, cells: list[dict[str, Any]]) -> None:
    """Print what fio measured: a row for each cell, a column for each arm."""
    if not cells:
        return
    from rich import box
    from rich.table import Table as RichTable

    from freepage.report.io_tables import describe_cell
    from freepage.report.numbers import show_value

    arms = list(cells[0]["arms"])
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("fio (* from the page cache)")
    for arm in arms:
        table.add_column(f"[{ARM_STYLES[arm]}]{arm}[/]", justify="right", no_wrap=True)
    for cell in cells:
        found = (cell["arms"][arm] for arm in arms)
        shown = (f"{show_value(f['throughput'])}{' *' if f['cached'] else '  '}" for f in found)
        table.add_row(describe_cell(cell), *shown)
    console.print(table)


def _print_experiment(
    console: Console, name: str, arms: dict[str, dict[str, Any]], columns: dict[str, str]
) -> None:
    from rich import box
    from rich.table import Table as RichTable

    from freepage.report.numbers import show_value

    table = RichTable(
        title=name, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False
    )
    table.add_column("arm", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for arm, estimates in arms.items():
        table.add_row(
            f"[{ARM_STYLES[arm]}]{arm}[/]", *(show_value(estimates[key]) for key in columns.values())
        )
    console.print(table)


def _print_claims(console: Console, claims: list[dict[str, Any]]) -> None:
    """Print how many of the article's claims hold here, and a line for each that does not."""
    from rich.padding import Padding
    from rich.text import Text

    from freepage.report.tables import claim_number

    counts = Counter(claim["decision"] for claim in claims)
    console.print(
        f"  Of {len(claims)} claims of the article: {counts['confirmed']} confirmed, "
        f"{counts['contradicted']} contradicted, {counts['not-decidable']} not decidable here"
    )
    for claim in (c for c in claims if c["decision"] == "contradicted"):
        text = Text("contradicted: ", style="yellow").append(claim["text"], style="default")
        numbers = f" Article: {claim['article']}. Here ({claim['experiment']}): {claim_number(claim).text}."
        console.print(Padding(text.append(numbers, style="dim"), (0, 0, 0, 2)))
    console.print()


def _print_evidence(console: Console, tables: list[Table]) -> None:
    for table in (t for t in tables if t.id == "evidence"):
        for arm, *cells in table.rows:
            levels = ", ".join(f"{c} {cell.text}" for c, cell in zip(table.columns[1:6], cells, strict=False))
            console.print(f"  FPR on [{ARM_STYLES[arm.text]}]{arm.text}[/]: {levels}")
    console.print()


def _print_failures(console: Console, trials: list[dict[str, Any]]) -> None:
    for trial in trials:
        if trial["status"] != "ok":
            console.print(f"{trial['id']} {trial['status']}: {trial['error']}", style="yellow", markup=False)
            if trial["hint"]:
                console.print(f"  {trial['hint']}", style="dim", markup=False)

"""A stored run as a terminal shows it: verdict, the four numbers, doubts, claims and the main tables."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich import box
from rich.padding import Padding
from rich.table import Table

from freepage.analysis.claims import ClaimDecision
from freepage.analysis.conclusion import Decision
from freepage.analysis.estimates import Quantity
from freepage.kinds import Subject
from freepage.records import Arm, TrialStatus
from freepage.report.arms import ARM_STYLES
from freepage.report.console import Terminal, lines, paragraph, words
from freepage.report.decisions import DECISION_STYLES, name_decision
from freepage.report.headlines import find_headlines
from freepage.report.numbers import show_value
from freepage.report.parts.comparison import claim_number
from freepage.report.parts.io import describe_cell
from freepage.report.parts.paying import break_even_table, paying_table
from freepage.report.parts.trials import evidence_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.io import CellResult
    from freepage.analysis.results import Results
    from freepage.report.console import Words

# Of the points of a map; the others are in the report.
MOST_COLUMNS = 8


def print_results(results: Results, sizes: Mapping[str, str]) -> None:
    """Print everything computed from a run that fits a terminal; sizes: by experiment what it ran instead of its original."""
    console = Terminal()
    _print_verdict(console, results)
    _print_headlines(console, results)
    _print_doubts(console, results)
    for name, experiment in results.experiments.items():
        if Subject.PAYING not in experiment.traits.measures:
            print_experiment(console, name, experiment, sizes.get(name, ""))
            _print_cells(console, experiment.cells)
    _print_map(console, results)
    if results.verdict.decision is not Decision.EQUAL_ARMS:
        _print_claims(console, results)
    _print_evidence(console, results)
    _print_failures(console, results)


def _print_verdict(console: Terminal, results: Results) -> None:
    verdict = results.verdict
    badge = f" {name_decision(verdict)} "
    console.say((badge, DECISION_STYLES[verdict.decision]), f" {verdict.sentence}")
    console.print()


def _print_headlines(console: Terminal, results: Results) -> None:
    for number in find_headlines(results):
        label, value = f"{number.label:<20}", f"{number.value:>12}"
        console.say(f"  {label}", (value, "bold"), (f"   {number.basis}", "dim"))
    console.print()


def _print_doubts(console: Terminal, results: Results) -> None:
    for doubt in results.doubts:
        text = words((f"{doubt.id}: ", "yellow"), doubt.text, (f" {doubt.remedy}", "dim"))
        console.print(Padding(text, (0, 0, 0, 2)))
    if results.doubts:
        console.print()


def print_experiment(console: Terminal, name: str, experiment: ExperimentResults, size: str = "") -> None:
    """Print the estimates that the experiment's kind shows first, a row for each arm; beneath its name what it ran."""
    columns = [Quantity.with_id(id_) for id_ in experiment.traits.columns]
    title = lines([name, words((size, "not bold dim"))]) if size else name
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("arm", no_wrap=True)
    for number in columns:
        table.add_column(number.short_heading, justify="right", no_wrap=True)
    for arm in experiment.arms:
        table.add_row(_colour(arm), *(show_value(experiment.estimate(arm, n)) for n in columns))
    console.print(table)


def _print_map(console: Terminal, results: Results) -> None:
    """Print a map: its break-evens, then its points with as many columns as fit."""
    for found in (break_even_table(results), paying_table(results)):
        if found.rows:
            table = Table(
                title=found.title,
                box=box.SIMPLE_HEAD,
                title_justify="left",
                title_style="bold",
                pad_edge=False,
            )
            for column in found.columns[:MOST_COLUMNS]:
                table.add_column(column, justify="right", no_wrap=True)
            for row in found.rows:
                table.add_row(*(cell.text for cell in row[:MOST_COLUMNS]))
            console.print(table)


def _print_cells(console: Terminal, cells: tuple[CellResult, ...]) -> None:
    """Print what fio measured: a row for each cell, a column for each arm."""
    if not cells:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("fio (* from the page cache)")
    for arm in cells[0].arms:
        table.add_column(_colour(arm), justify="right", no_wrap=True)
    for cell in cells:
        shown = (f"{show_value(f.throughput)}{' *' if f.cached else '  '}" for f in cell.arms.values())
        table.add_row(describe_cell(cell), *shown)
    console.print(table)


def _print_claims(console: Terminal, results: Results) -> None:
    """Print how many of the article's claims hold here, and a line for each that does not."""
    counts = Counter(claim.decision for claim in results.claims)
    console.print(
        f"  Of {len(results.claims)} claims of the article: {counts[ClaimDecision.CONFIRMED]} confirmed, "
        f"{counts[ClaimDecision.CONTRADICTED]} contradicted, {counts[ClaimDecision.NOT_DECIDABLE]} not decidable here"
    )
    for claim in (c for c in results.claims if c.decision is ClaimDecision.CONTRADICTED):
        numbers = f" Article: {claim.article}. Here ({claim.experiment}): {claim_number(claim).text}."
        text = words(("contradicted: ", "yellow"), claim.text, (numbers, "dim"))
        console.print(Padding(text, (0, 0, 0, 2)))
    console.print()


def _print_evidence(console: Terminal, results: Results) -> None:
    table = evidence_table(results)
    for arm, *cells in table.rows:
        levels = zip(table.columns[1:6], cells, strict=False)
        shown = ", ".join(f"{level} {cell.text}" for level, cell in levels)
        console.say("  FPR on ", (arm.text, ARM_STYLES[Arm(arm.text)].terminal), f": {shown}")
    console.print()


def _print_failures(console: Terminal, results: Results) -> None:
    for trial in (t for t in (*results.warmups, *results.trials) if t.status is not TrialStatus.OK):
        cause = trial.error or "the run broke off in it"
        console.print(paragraph(f"{trial.id} {trial.status}: {cause}", "yellow"))
        if trial.hint:
            console.print(paragraph(f"  {trial.hint}", "dim"))


def _colour(arm: Arm) -> Words:
    return words((arm, ARM_STYLES[arm].terminal))

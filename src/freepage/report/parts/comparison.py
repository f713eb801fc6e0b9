"""The part on comparisons: the arms compared, and the article's claims beside what was found here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.report.decisions import CLAIM_DECISION_WORDS
from freepage.report.numbers import show_interval, show_value
from freepage.report.table import Cell, Table, estimate_cell

if TYPE_CHECKING:
    from freepage.analysis.claims import ClaimResult
    from freepage.analysis.results import Results


def comparison_table(results: Results) -> Table:
    rows = tuple(
        (
            Cell(name),
            Cell(comparison.heading),
            estimate_cell(estimate),
            Cell(str(estimate.n), numeric=True),
        )
        for name, experiment in results.experiments.items()
        for comparison, estimate in experiment.comparisons.items()
        if estimate is not None
    )
    return Table(
        "comparison",
        "FPR compared",
        "Pairs of trials of the same repeat; ratios with their interval on the logarithm.",
        ("experiment", "what", "estimate", "pairs"),
        rows,
    )


def claim_table(results: Results) -> Table:
    """Return the claims that the run has experiments for; the note counts the others."""
    able = [c for c in results.claims if c.experiment is not None]
    others = len(results.claims) - len(able)
    note = "Below each claim: the experiment and the rule that decide it. A whole interval decides, or nothing does."
    return Table(
        "claims",
        "What the article found, and what was found here",
        f"{note} {others} more need experiments that this run does not have." if others else note,
        ("decision", "what the article found", "article", "here"),
        tuple(_claim_row(claim) for claim in able),
    )


def _claim_row(claim: ClaimResult) -> tuple[Cell, ...]:
    return (
        Cell(CLAIM_DECISION_WORDS[claim.decision], claim.reason),
        Cell(claim.text, f"{claim.experiment}; {claim.rule}"),
        Cell(claim.article),
        claim_number(claim),
    )


def claim_number(claim: ClaimResult) -> Cell:
    """Return the number that decides, with its interval and what stands beside it below."""
    decides = next((n.estimate for n in claim.numbers if n.name == claim.number), None)
    beside = [f"{n.label} {show_value(n.estimate)}" for n in claim.numbers if n.estimate is not decides]
    lines = "\n".join(filter(None, (show_interval(decides), *beside)))
    return Cell(show_value(decides), lines, numeric=True, estimate=decides)

"""The part on comparisons: the arms compared, and the article's claims beside what was found here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.comparisons import find_margin
from freepage.analysis.footprints import FORECASTS
from freepage.analysis.significance import Difference, find_smallest_effect, judge_difference
from freepage.analysis.undecided import format_rounded
from freepage.report.decisions import CLAIM_DECISION_WORDS
from freepage.report.numbers import show_basis, show_value
from freepage.report.table import Cell, Table, estimate_cell

if TYPE_CHECKING:
    from freepage.analysis.claims import ClaimResult
    from freepage.analysis.compared import Comparison
    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.results import Results
    from freepage.analysis.stats import Estimate


def comparison_table(results: Results) -> Table:
    rows = tuple(
        (
            Cell(name),
            Cell(comparison.heading),
            estimate_cell(estimate),
            Cell(_describe_difference(comparison, estimate, experiment)),
        )
        for name, experiment in results.experiments.items()
        for comparison, estimate in experiment.comparisons.items()
        if estimate is not None and comparison not in FORECASTS
    )
    return Table(
        "comparison",
        "FPR compared",
        "Pairs of trials of the same block. Different is what lies beyond the margin with its whole interval, the same what lies "
        "within it by two one-sided tests; where neither is shown, the smallest effect that so many trials see in four of five cases.",
        ("experiment", "what", "estimate", "shown"),
        rows,
    )


def _describe_difference(comparison: Comparison, estimate: Estimate, experiment: ExperimentResults) -> str:
    """Return what is shown of two arms: that they differ, that they are the same, or what could have been seen."""
    margin = find_margin(comparison, experiment.without)
    if margin is None:
        return ""
    neutral = 1.0 if comparison.unit == "ratio" else 0.0
    shown, percent = (
        judge_difference(estimate, margin, neutral=neutral),
        f"{(comparison.margin or 0) * 100:g} %",
    )
    if shown is not Difference.OPEN:
        return f"more than {percent} apart" if shown is Difference.DIFFERENT else f"the same within {percent}"
    seen = find_smallest_effect(estimate)
    if seen is None:
        return "too few trials"
    return f"open; sees {format_rounded(seen, 'fraction' if neutral else comparison.unit)}"


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
    lines = "\n".join(filter(None, (show_basis(decides), *beside)))
    return Cell(show_value(decides), lines, numeric=True, estimate=decides)

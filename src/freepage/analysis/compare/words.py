"""Sentences on changes, and on a comparison as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.bounds import format_bound
from freepage.analysis.compare.change import Outcome
from freepage.analysis.compare.welch import LEAST_BLOCKS
from freepage.analysis.compared import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.compare.change import Change
    from freepage.analysis.compare.runs import RunComparison
    from freepage.analysis.paths import EstimatePath

OUTCOME_WORDS = {
    Outcome.WORSE: "worse",
    Outcome.BETTER: "better",
    Outcome.HIGHER: "higher",
    Outcome.LOWER: "lower",
    Outcome.SAME: "the same",
    Outcome.CANNOT_TELL: "cannot tell",
}


def name_number(path: EstimatePath) -> str:
    """Return a short name of a number, without its arm."""
    if isinstance(path.number, Comparison):
        return path.number.definition.headline[0] or str(path.number)
    return path.number.short_heading or str(path.number)


def name_arms(path: EstimatePath) -> str:
    return "compared" if path.arm is None else str(path.arm)


def format_size(change: Change, size: float) -> str:
    """Return how large a change is: relative, or in the number's unit; of shares in points."""
    if change.nature.has_ratio:
        return f"{size * 100:.2g}\u00a0%" if size < 1 else f"{1 + size:.3g}\u00a0times"
    if change.path.number.unit == "fraction":
        return f"{size * 100:.2g}\u00a0points"
    rounded = float(f"{size:.2g}")
    return format_bound(rounded, change.path.number.unit)


def explain_open(change: Change) -> str:
    """Return why a change cannot be told, what could have been seen, and how many repeats would do."""
    return "; ".join(filter(None, _explain_open(change)))


def _explain_open(change: Change) -> Iterator[str]:
    yield change.reason
    if change.could_see is not None:
        yield f"this comparison could have seen {format_size(change, change.could_see)}"
    have = _units_of(change)
    if change.needed is None or have is None or change.margin is None or change.needed <= have:
        return
    noun = "runs" if change.runs_are_units else "repeats"
    more = change.needed - have
    yield f"{more} more {noun if more > 1 else noun[:-1]} a side would do for {format_size(change, change.margin)}"


def _units_of(change: Change) -> int | None:
    """Return how many blocks, or runs where those count, the smaller side has."""
    if change.runs_are_units:
        return change.runs
    return None if change.change is None else change.change.n


def sum_up(comparison: RunComparison) -> str:
    """Return what the comparison found, in one sentence."""
    counts = {outcome: comparison.count(outcome) for outcome in Outcome}
    changed = [f"{n} {OUTCOME_WORDS[o]}" for o, n in counts.items() if n and o.is_change]
    same, unknown = counts[Outcome.SAME], counts[Outcome.CANNOT_TELL]
    head = f"NEW differs from BASE: {', '.join(changed)}" if changed else "No number is shown to differ"
    return f"{head}; {same} the same (within {_describe_margin(comparison, 'their margins')}), {unknown} cannot be told."


def describe_rule(comparison: RunComparison) -> str:
    """Return how the answers come about."""
    margin = _describe_margin(comparison, "its margin")
    return (
        f"A number differs where its interval excludes no change, by Holm's procedure over the {len(comparison.all_changes)} numbers shown "
        f"(at most one false alarm in 5 % of comparisons), and where it changed by at least {margin}; it is the same where an "
        f"interval at 90 % lies within that; else it cannot be told. Fewer than {LEAST_BLOCKS} trials a side decide nothing."
    )


def _describe_margin(comparison: RunComparison, own: str) -> str:
    """Return the margin that was asked for; `own` where each number has its own."""
    return own if comparison.margin is None else f"{comparison.margin * 100:g}\u00a0%"

"""The part of docs/results-schema.md that lists every number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.estimates import Comparison, Quantity, TrialOnly

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.analysis.definition import Number


def describe_estimates() -> str:
    """Return the part of docs/results-schema.md that lists every number."""
    sections = (
        (
            "Numbers of an arm",
            "Mean over the arm's trials, each an estimate or null; also of each trial.",
            Quantity,
        ),
        ("Further numbers of a trial", "Only among a trial's `values`.", TrialOnly),
        (
            "Comparisons",
            "Paired by repeat, each an estimate or null: ratios with their interval on the logarithm.",
            Comparison,
        ),
    )
    head = "Made from `src/freepage/analysis/estimates.py`. [method.md](method.md) defines each.\n"
    return head + "".join(_describe_section(*section) for section in sections)


def _describe_section(title: str, words: str, numbers: Iterable[Number]) -> str:
    rows = "".join(
        f"| `{n}` | {n.unit} | {n.definition.better} | {n.definition.meaning} |\n" for n in numbers
    )
    return f"\n## {title}\n\n{words}\n\n| id | unit | better | meaning |\n|---|---|---|---|\n{rows}"

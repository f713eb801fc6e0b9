"""The reference of every number, a part of docs/results-schema.md, made from its definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity, TrialOnly

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.analysis.definition import Number


def describe_estimates() -> str:
    """Return the part of docs/results-schema.md that lists every number."""
    sections = (
        (
            "Numbers of an arm",
            "Over the arm's trials, each an estimate or null; also of each trial.",
            Quantity,
        ),
        ("Further numbers of a trial", "Only among a trial's `values`.", TrialOnly),
        ("Comparisons", "Paired by block, each an estimate or null.", Comparison),
    )
    head = "Made from `src/freepage/analysis/estimates.py`. [method.md](method.md) defines each.\n"
    return head + "".join(_describe_section(*section) for section in sections)


def _describe_section(title: str, words: str, numbers: Iterable[Number]) -> str:
    rows = "".join(
        f"| `{n}` | {n.unit} | {n.definition.better} | {n.nature} | {_margin(n)} | {n.definition.meaning} |\n"
        for n in numbers
    )
    head = "| id | unit | better | nature | margin | meaning |\n|---|---|---|---|---|---|\n"
    return f"\n## {title}\n\n{words}\n\n{head}{rows}"


def _margin(number: Number) -> str:
    return "" if number.margin is None else f"{number.margin * 100:g} %"

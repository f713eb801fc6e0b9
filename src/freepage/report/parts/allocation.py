"""The part on allocation: how long it takes, the first time and later: the article's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.estimates import Quantity
from freepage.report.table import build_arm_table

if TYPE_CHECKING:
    from freepage.analysis.results import Results
    from freepage.report.table import Table


def allocation_table(results: Results) -> Table:
    return build_arm_table(
        results,
        "allocation",
        "Allocating again",
        "Seconds to allocate one block and write one byte to each page: the first time after the start, and the mean of "
        "all later times. The standard deviation is that of the later times within a trial.",
        (
            Quantity.ALLOC_FIRST,
            Quantity.ALLOC_REST,
            Quantity.ALLOC_REST_SD,
            Quantity.ALLOC_SYSTEM_FIRST,
            Quantity.ALLOC_SYSTEM_REST,
            Quantity.ALLOC_USER_FIRST,
            Quantity.ALLOC_USER_REST,
        ),
        lambda arm: arm[Quantity.ALLOC_FIRST] is not None,
    )

"""The part on programs: how long a study's own ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.estimates import Quantity
from freepage.report.table import build_arm_table

if TYPE_CHECKING:
    from freepage.analysis.results import Results
    from freepage.report.table import Table


def command_table(results: Results) -> Table:
    return build_arm_table(
        results,
        "commands",
        "Programs",
        "Seconds the study's own program ran, mean over the times it ended with status 0, and how often it did not. What it "
        "wrote is in the run folder, trials/ID/output.",
        (Quantity.COMMAND_TIME, Quantity.COMMAND_FAILURES),
        lambda arm: arm[Quantity.COMMAND_FAILURES] is not None,
    )

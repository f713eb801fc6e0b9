"""The precision of a run so far, by which it may stop early: the width of one interval, never what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.compared import Comparison
from freepage.analysis.results import build_results
from freepage.store import load_run

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.analysis.stats import Estimate

# The ratio of what arms take of the node: every experiment measures it, and its interval narrows with each repeat.
WATCHED = Comparison.NODE_MEAN_RATIO


def measure_half_width(folder: Path) -> float | None:
    """Return half the interval of WATCHED in the headline experiment, as a share of its value; None where it has none."""
    results = build_results(load_run(folder))
    if results.headline is None:
        return None
    return find_half_width(results.experiments[results.headline].compared(WATCHED))


def find_half_width(estimate: Estimate | None) -> float | None:
    """Return half an estimate's interval as a share of its value; None without an interval, or a value it can be a share of."""
    if estimate is None or estimate.low is None or estimate.high is None or estimate.value <= 0:
        return None
    return (estimate.high - estimate.low) / 2 / estimate.value

"""The size from which on a change between runs matters, and the numbers that are not compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.estimates import Quantity

if TYPE_CHECKING:
    from freepage.analysis.paths import EstimatePath

# A change of less is no change in practice: of a ratio, of a share (5 points), and of what a difference is taken from. This is
# for the numbers to which the registry gives no margin, since arms are not compared by them.
DEFAULT_MARGIN = 0.05
# Computed from a release time, whose resolution is lost in it.
LEFT_OUT = frozenset({Quantity.RELEASE_RATE})


def margin_of(path: EstimatePath) -> float:
    """Return a number's margin from the registry of estimates."""
    margin = path.number.margin
    return DEFAULT_MARGIN if margin is None else margin

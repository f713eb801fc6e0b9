"""The size from which on a change between runs matters, and the numbers that are not compared."""

from __future__ import annotations

from freepage.analysis.estimates import Quantity

# A change of less is no change in practice: of a ratio, of a share (5 points), and of what a difference is taken from.
DEFAULT_MARGIN = 0.05
# Computed from a release time, whose resolution is lost in it.
LEFT_OUT = frozenset({Quantity.RELEASE_RATE})

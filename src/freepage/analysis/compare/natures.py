"""The nature of each number, which says how two runs are compared by it, and from which size on a change matters."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from freepage.analysis.comparisons import DIFFERENCES
from freepage.analysis.estimates import Comparison, Quantity

if TYPE_CHECKING:
    from freepage.analysis.definition import Number

# A change of less is no change in practice: of a ratio, of a share (5 points), and of what a difference is taken from.
DEFAULT_MARGIN = 0.05


class Nature(StrEnum):
    """The nature of a number, by which it is compared.

    POSITIVE: never 0; by the ratio. CENSORED: a time known to one sampling interval; by the ratio. SIGNED: a difference
    that may be 0. SHARE: between 0 and 1. COUNT: of rare things.
    """

    POSITIVE = "positive"
    CENSORED = "censored"
    SIGNED = "signed"
    SHARE = "share"
    COUNT = "count"

    @property
    def has_ratio(self) -> bool:
        return self in {Nature.POSITIVE, Nature.CENSORED}

    @property
    def by_rank(self) -> bool:
        """Return whether no distribution may be assumed, so that ranges decide."""
        return self in {Nature.SHARE, Nature.COUNT}


_CENSORED = frozenset({Quantity.RELEASE_T50, Quantity.RELEASE_T90, Quantity.RELEASE_T99})
_SIGNED = frozenset({*DIFFERENCES, Comparison.EXTRA_CPU_PER_GIB})
_BY_UNIT = {"fraction": Nature.SHARE, "cells": Nature.COUNT, "runs": Nature.COUNT}
# Computed from a release time, whose resolution is lost in it.
LEFT_OUT = frozenset({Quantity.RELEASE_RATE})


def nature_of(number: Number) -> Nature:
    """Return the nature of a number of an arm, or of a comparison of arms."""
    if number in _CENSORED:
        return Nature.CENSORED
    if number in _SIGNED:
        return Nature.SIGNED
    return _BY_UNIT.get(number.unit, Nature.POSITIVE)

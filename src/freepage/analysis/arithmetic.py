"""Arithmetic with numbers that may be missing: what cannot be computed is None, never 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def add_all(values: Iterable[float | None]) -> float | None:
    """Return the sum; None when any part is missing, or there are no parts: a partial sum is no sum."""
    parts = list(values)
    known = [value for value in parts if value is not None]
    return sum(known) if known and len(known) == len(parts) else None


def subtract(value: float | None, other: float | None) -> float | None:
    """Return value - other; None when one is missing."""
    return None if value is None or other is None else value - other


def divide(value: float | None, by: float | None) -> float | None:
    """Return value / by; None when one is missing, or `by` is 0."""
    return None if value is None or not by else value / by

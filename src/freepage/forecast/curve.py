"""Lines of what is held over time, in few enough points to be kept of every VM and to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.forecast.trace import Array

# No screen shows more.
MOST_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """Bytes now and with FPR at least, most likely and at most, at times t_s; NaN where not known. Arrays of one shape."""

    t_s: Array
    now: Array
    low: Array
    likely: Array
    high: Array

    @property
    def lines(self) -> tuple[Array, Array, Array, Array]:
        return (self.now, self.low, self.likely, self.high)


def draw_curve(t_s: Array, lines: Sequence[Array], gaps: Sequence[int]) -> Curve:
    """Return lines of now, low, likely and high in at most MOST_POINTS points: means of the samples about each."""
    if len(t_s) <= MOST_POINTS:
        broken = [break_lines(line, gaps) for line in lines]
        return Curve(t_s, *broken)
    grid = np.linspace(t_s[0], t_s[-1], MOST_POINTS)
    return Curve(grid, *(_average(t_s, line, gaps, grid) for line in lines))


def break_lines(values: Array, gaps: Sequence[int]) -> Array:
    """Return a line that ends at each gap: its first sample after one is left out, so that nothing joins the two."""
    broken = values.copy()
    after = [gap + 1 for gap in gaps]
    broken[after] = np.nan
    return broken


def _average(t_s: Array, values: Array, gaps: Sequence[int], grid: Array) -> Array:
    """Return the mean of the known samples nearest to each point; between samples that are further apart, a straight line."""
    known = ~np.isnan(values)
    nearest = np.rint((t_s[known] - grid[0]) / (grid[1] - grid[0])).astype(int)
    counts = np.bincount(nearest, minlength=len(grid))
    sums = np.bincount(nearest, weights=values[known], minlength=len(grid))
    between = interpolate(t_s, values, gaps, grid)
    return np.where(counts > 0, sums / np.maximum(counts, 1), between)


def interpolate(t_s: Array, values: Array, gaps: Sequence[int], grid: Array) -> Array:
    """Return values on a grid by straight lines; NaN beyond the ends, beside missing values and within gaps."""
    if len(t_s) < 2:
        return np.where(grid == t_s, values, np.nan) if len(t_s) else np.full(len(grid), np.nan)
    after = np.clip(np.searchsorted(t_s, grid), 1, len(t_s) - 1)
    share = (grid - t_s[after - 1]) / (t_s[after] - t_s[after - 1])
    found = values[after - 1] + np.clip(share, 0.0, 1.0) * (values[after] - values[after - 1])
    inside = (grid > t_s[after - 1]) & (grid < t_s[after])
    outside = (grid < t_s[0]) | (grid > t_s[-1])
    return np.where(outside | (inside & np.isin(after - 1, list(gaps))), np.nan, found)


def add_curves(curves: Sequence[Curve]) -> Curve:
    """Return the sum of VMs over time, at each moment of those that are there then."""
    nothing = np.array([])
    if not curves:
        return Curve(nothing, nothing, nothing, nothing, nothing)
    if len(curves) == 1:
        return curves[0]
    grid = np.linspace(min(c.t_s[0] for c in curves), max(c.t_s[-1] for c in curves), MOST_POINTS)
    return Curve(grid, *(_add_lines(curves, grid, n) for n in range(4)))


def _add_lines(curves: Sequence[Curve], grid: Array, which: int) -> Array:
    """Return the sum of one line over the VMs that are there; NaN where one of them is and has no such value."""
    total, known = np.zeros(len(grid)), np.zeros(len(grid), dtype=bool)
    for curve in curves:
        now, values = (interpolate(curve.t_s, line, (), grid) for line in (curve.now, curve.lines[which]))
        there = ~np.isnan(now)
        total += np.where(there, values, 0.0)
        known |= there
    return np.where(known, total, np.nan)

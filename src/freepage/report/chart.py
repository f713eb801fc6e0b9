"""Figures, and the lines and bands that figures are drawn of; the parts of the report draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
from altair.utils.schemapi import debug_mode

from freepage.records import Arm
from freepage.report.arms import ARM_STYLES, REFERENCE_COLOUR

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

# No line has more points: a screen could not show them.
MOST_POINTS = 400
HEIGHT = 300
TIME_WORDS = "seconds since the schedules started"

# A Vega-Lite specification, and a row of its data.
Spec = dict[str, object]
Row = dict[str, float | str | None]


@dataclass(frozen=True)
class Figure:
    """One figure: a Vega-Lite specification, a title that says what was found, a caption, and its text alternative.

    reference: what its thin grey line stands for; "" without one. doubts: ids of those that touch what it shows. arms:
    those it shows. part: the section of the page it stands in; "" for the article's own figures.
    """

    id: str
    title: str
    caption: str
    alternative: str
    spec: Spec
    reference: str = ""
    doubts: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    part: str = ""


def band_rows(
    curves: list[NDArray[np.float64]], arm: Arm, grid: NDArray[np.float64], factor: float
) -> list[Row]:
    """Return a row per grid point: mean, least and greatest over the curves, times a factor; null where one has a gap.

    A mean over those that go on would jump where another ends.
    """
    if not curves:
        return []
    rows: list[Row] = []
    stacked = np.vstack(curves) * factor
    for t, column in zip(grid, stacked.T, strict=True):
        known = column[~np.isnan(column)]
        row: Row = {"t": rounded(t), "arm": str(arm), "y": None, "low": None, "high": None}
        if len(known) == len(column):
            row |= {"y": rounded(known.mean()), "low": rounded(known.min()), "high": rounded(known.max())}
        rows.append(row)
    return rows


def draw_lines(rows: list[Row], arms: Sequence[Arm], reference: str, *, x: str, y: str) -> Spec:
    """Return a chart of one line and band per arm, and a thin grey staircase of the rows of `reference`, if given."""
    shown = arms_in(rows, arms)
    domain = [*map(str, shown), *([reference] if reference else [])]
    dashes = [list(ARM_STYLES[a].dash) for a in shown] + ([[1, 0]] if reference else [])
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("t:Q", title=x, scale=alt.Scale(nice=False, zero=True)), color=arm_colour(shown, reference)
    )
    band = base.mark_area(opacity=0.16).encode(
        y=alt.Y("low:Q", title=y), y2="high:Q", strokeWidth=alt.value(0)
    )
    thin = (
        base.transform_filter(alt.datum.arm == reference)
        .mark_line(interpolate="step-after", strokeWidth=1)
        .encode(y=alt.Y("y:Q", title=y))
    )
    line = (
        base.transform_filter(alt.datum.arm != reference)
        .mark_line(strokeWidth=2.25)
        .encode(
            y=alt.Y("y:Q", title=y),
            strokeDash=alt.StrokeDash("arm:N", title=None, scale=alt.Scale(domain=domain, range=dashes)),
            tooltip=time_tooltip(x, y),
        )
    )
    layers = [band.transform_filter(alt.datum.arm != reference), *([thin] if reference else []), line]
    return build_spec(*layers)


def without_validation() -> AbstractContextManager[None]:
    """Return a context in which Altair does not hold each part of a chart against the schema of Vega-Lite."""
    return debug_mode(False)


def build_spec(*layers: alt.Chart, height: int = HEIGHT) -> Spec:
    """Return layers as one chart, as wide as what it stands in; its looks are left to the page.

    It is not held against the schema of Vega-Lite, which takes longer than all else of a page; a test does that.
    """
    spec: Spec = alt.layer(*layers).properties(width="container", height=height).to_dict(validate=False)
    spec.pop("config", None)
    return spec


def arms_in(rows: list[Row], arms: Sequence[Arm] = tuple(Arm)) -> list[Arm]:
    """Return those of `arms` that have rows."""
    return [a for a in arms if any(row["arm"] == a for row in rows)]


def arm_colour(arms: Sequence[Arm], reference: str = "") -> alt.Color:
    domain = [*map(str, arms), *([reference] if reference else [])]
    colours = [ARM_STYLES[a].colour for a in arms] + ([REFERENCE_COLOUR] if reference else [])
    return alt.Color("arm:N", title=None, scale=alt.Scale(domain=domain, range=colours))


def time_tooltip(x: str, y: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("arm:N"),
        alt.Tooltip("t:Q", title=x, format=".1f"),
        alt.Tooltip("y:Q", title=y, format=".2f"),
    ]


def rounded(value: float) -> float:
    return round(float(value), 4)

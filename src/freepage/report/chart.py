"""Figures, and the lines and bands that figures are drawn of; the parts of the report draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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

# The ends of a time axis, which the page moves for all charts of an experiment.
SPAN_PARAMETERS = ("span_from", "span_to")

# A Vega-Lite specification, and a row of its data.
Spec = dict[str, object]
Row = dict[str, float | str | None]


@dataclass(frozen=True)
class Figure:
    """One figure: a Vega-Lite specification, a title that says what was found, a caption, and its text alternative.

    reference: what its thin grey line stands for; "" without one. doubts: ids of those that touch what it shows. arms:
    those it shows. part: the section of the page it stands in; "" for the article's own figures. experiment: the one it is
    of; "" of the whole run. absolute: the same of memory in use, its baseline included. article: words for its marks of the
    article's own values; "" without any. span_s: where its time axis ends; 0 where it has none that is an experiment's.
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
    experiment: str = ""
    absolute: Spec | None = None
    article: str = ""
    span_s: float = 0.0

    @property
    def height(self) -> int:
        """The height of the chart on the page, in pixels."""
        height = self.spec.get("height")
        return height if isinstance(height, int) else HEIGHT


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


@dataclass(frozen=True)
class Lines:
    """A chart of one line and band per arm over time, before it is drawn.

    rows: t, y, low and high by arm, and those of `reference`, a thin grey staircase; `raw` is a faint line beside y.
    steps: values hold until the next one. span_s: the time axis goes from 0 to it, and can be narrowed on the page.
    peaks, article: single points (t, y) by arm: the highest sample, and the article's own.
    """

    rows: list[Row]
    arms: Sequence[Arm]
    x: str
    y: str
    reference: str = ""
    steps: bool = False
    span_s: float = 0.0
    peaks: Sequence[Row] = ()
    article: Sequence[Row] = ()

    @property
    def shown(self) -> list[Arm]:
        return arms_in(self.rows, self.arms)

    @property
    def interpolate(self) -> Literal["step-after", "linear"]:
        return "step-after" if self.steps else "linear"


def draw_lines(lines: Lines) -> Spec:
    """Return a chart of one line and band per arm, and a thin grey staircase of the rows of the reference, if given."""
    base = _start_chart(lines, lines.rows)
    arms = base.transform_filter(alt.datum.arm != lines.reference)
    y, clip = alt.Y("y:Q", title=lines.y), lines.span_s > 0
    band = arms.mark_area(opacity=0.16, interpolate=lines.interpolate, clip=clip).encode(
        y=alt.Y("low:Q", title=lines.y), y2="high:Q", strokeWidth=alt.value(0)
    )
    raw = arms.mark_line(strokeWidth=0.75, opacity=0.55, clip=clip).encode(y=alt.Y("raw:Q", title=lines.y))
    thin = base.transform_filter(alt.datum.arm == lines.reference).mark_line(
        interpolate="step-after", strokeWidth=1, clip=clip
    )
    line = arms.mark_line(strokeWidth=2.25, interpolate=lines.interpolate, clip=clip).encode(
        y=y, strokeDash=_arm_dash(lines), tooltip=time_tooltip(lines.x, lines.y)
    )
    layers = [
        band,
        *([raw] if any("raw" in row for row in lines.rows) else []),
        *([thin.encode(y=y)] if lines.reference else []),
        line,
        *_draw_points(lines),
    ]
    spec = build_spec(*layers)
    if lines.span_s:
        ends = zip(SPAN_PARAMETERS, (0.0, lines.span_s), strict=True)
        spec["params"] = [{"name": name, "value": value} for name, value in ends]
    return spec


def _start_chart(lines: Lines, rows: Sequence[Row]) -> alt.Chart:
    """Return a chart of rows by their time and arm; its time axis is what the page narrows."""
    ends = [alt.ExprRef(name) for name in SPAN_PARAMETERS]
    scale = (
        alt.Scale(nice=False, zero=True)
        if not lines.span_s
        else alt.Scale(nice=False, zero=False, domain=ends)
    )
    return alt.Chart(alt.InlineData(values=list(rows))).encode(
        x=alt.X("t:Q", title=lines.x, scale=scale), color=arm_colour(lines.shown, lines.reference)
    )


def _draw_points(lines: Lines) -> list[alt.Chart]:
    """Return a triangle for each highest sample, and a faint diamond for each of the article's values."""
    layers = []
    for rows, shape, opacity in ((lines.peaks, "triangle-down", 1.0), (lines.article, "diamond", 0.6)):
        if rows:
            marks = _start_chart(lines, rows).mark_point(
                shape=shape,
                filled=shape != "diamond",
                size=80,
                opacity=opacity,
                strokeWidth=1.5,
                clip=lines.span_s > 0,
            )
            layers.append(marks.encode(y=alt.Y("y:Q", title=lines.y), tooltip=time_tooltip(lines.x, lines.y)))
    return layers


def _arm_dash(lines: Lines) -> alt.StrokeDash:
    grey = [lines.reference] if lines.reference else []
    dashes = [list(ARM_STYLES[a].dash) for a in lines.shown] + [[1, 0] for _ in grey]
    return alt.StrokeDash(
        "arm:N", title=None, scale=alt.Scale(domain=[*map(str, lines.shown), *grey], range=dashes)
    )


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

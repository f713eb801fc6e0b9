"""The part on where FPR pays: a map's points over the kernel's own pace, and the break-even of each line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import numpy as np

from freepage.analysis.definition import Area
from freepage.analysis.paying_words import sum_up_paying
from freepage.fpr.paying import saved_s
from freepage.report.chart import Figure, build_spec, rounded
from freepage.report.numbers import MISSING, show_interval, show_value
from freepage.report.table import Cell, Table, estimate_cell
from freepage.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freepage.analysis.paying import PayingLine, PayingMap, PayingPoint
    from freepage.analysis.results import Results
    from freepage.analysis.stats import Estimate
    from freepage.report.chart import Row, Spec
    from freepage.store import Run

SAVED, WAITED, PACE, BREAK_EVEN = "saved", "waited for", "kernel's pace", "break-even"
# Lines are told apart by the shape of their points as well; safe for colour-blind readers.
COLOURS = ("#2f6fc4", "#c2410c", "#1b9e77", "#7b5ea7", "#8a6d3b", "#444b56")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
POINTS = 120
X_WORDS = "seconds that a freed block is left idle"
Y_WORDS = "of each GiB·h of the block (%)"
# How far a text stands from the last point of its line, in pixels: inside of the chart.
LABEL_GAP = 6
_CAPTION = (
    "Filled: what FPR saves of each GiB·h for which a VM has the block, held or free, with intervals over pairs of trials. Outlined: what "
    "of them is waited for, the seconds by which allocating the block again takes longer. Thin lines: the most that the kernel's own pace "
    "lets FPR save. Upright: the idle time from which on more is saved than waited for."
)


def draw_paying(run: Run, results: Results, experiment: str) -> Figure | None:
    """Draw what is saved and waited for against the idle time, a line for each block and hold; once for all points of the map."""
    paying = results.paying
    if paying is None or experiment != paying.lines[0].points[0].experiment:
        return None
    said = sum_up_paying(paying, times_count=run.manifest.accelerator == "kvm").removesuffix(".")
    title = said or "Where FPR pays, by how long memory is left free"
    return Figure(
        "paying",
        title,
        _CAPTION,
        f"{title}. {_CAPTION}",
        _draw(paying),
        doubts=tuple(d.id for d in results.doubts_touching(Area.TIME, experiment)),
        experiment=results.experiments[experiment].traits.name,
    )


def _draw(paying: PayingMap) -> Spec:
    rows = [row for line in paying.lines for row in _line_rows(line, paying)]
    names = [_name(line) for line in paying.lines]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("x:Q", title=X_WORDS, scale=alt.Scale(zero=True, nice=False)),
        color=alt.Color("line:N", title=None, scale=_spread(names, COLOURS)),
    )
    y, shape = alt.Y("y:Q", title=Y_WORDS), alt.Shape("line:N", title=None, scale=_spread(names, SHAPES))
    tips = [alt.Tooltip("line:N"), alt.Tooltip("what:N"), "x:Q", alt.Tooltip("y:Q", format=".1f")]
    points = {
        what: base.transform_filter(alt.datum.what == what).mark_point(filled=filled, size=70, opacity=1)
        for what, filled in ((SAVED, True), (WAITED, False))
    }
    intervals = base.transform_filter(alt.datum.what == SAVED).mark_rule(strokeWidth=1.5, opacity=0.5)
    labels = base.transform_filter(alt.datum.label == "yes").mark_text(
        align="right", dx=-LABEL_GAP, dy=-2 * LABEL_GAP
    )
    return build_spec(
        base.transform_filter(alt.datum.what == PACE).mark_line(strokeWidth=1).encode(y=y),
        base.transform_filter(alt.datum.what == BREAK_EVEN).mark_rule(strokeDash=[4, 4]).encode(tooltip=tips),
        intervals.encode(y=alt.Y("low:Q", title=Y_WORDS), y2="high:Q"),
        *(marks.encode(y=y, shape=shape, tooltip=tips) for marks in points.values()),
        labels.encode(y=y, text="line:N"),
    )


def _spread(names: Sequence[str], looks: Sequence[str]) -> alt.Scale:
    """Return a scale that gives each line a look of its own, again from the first where there are more lines."""
    return alt.Scale(domain=list(names), range=[looks[n % len(looks)] for n in range(len(names))])


def _line_rows(line: PayingLine, paying: PayingMap) -> Iterator[Row]:
    name = _name(line)
    if paying.passes is not None:
        for idle_s in np.linspace(0.0, line.points[-1].idle_s, POINTS):
            share = saved_s(float(idle_s), line.block_bytes, paying.passes) / (line.held_s + idle_s)
            yield _row(name, PACE, float(idle_s), share)
    for n, point in enumerate(line.points, 1):
        yield from _point_rows(name, point, line.held_s, is_last=n == len(line.points))
    if line.break_even is not None:
        yield _row(name, BREAK_EVEN, line.break_even.value, 0.0)


def _point_rows(name: str, point: PayingPoint, held_s: float, *, is_last: bool) -> Iterator[Row]:
    saved, waited = point.saved, point.wait
    if saved is not None:
        low, high = (saved.value if end is None else end for end in (saved.low, saved.high))
        ends: Row = {
            "low": rounded(low * 100),
            "high": rounded(high * 100),
            "label": "yes" if is_last else "no",
        }
        yield _row(name, SAVED, point.idle_s, saved.value) | ends
    if waited is not None:
        yield _row(name, WAITED, point.idle_s, waited.value / (held_s + point.idle_s))


def _row(line: str, what: str, idle_s: float, share: float) -> Row:
    return {"line": line, "what": what, "x": rounded(idle_s), "y": rounded(share * 100)}


def _name(line: PayingLine) -> str:
    return f"{format_bytes(line.block_bytes)}, held {format_duration(line.held_s)}"


def paying_table(results: Results) -> Table:
    """Return every point of the map, line by line."""
    lines = results.paying.lines if results.paying else ()
    return Table(
        "map",
        "The points of the map",
        "Saved: of each GiB·h for which a VM has the block, held or free. Of idle: of those in which it is free, all of which a pod saves; "
        "by pace: the most that the kernel's passes let FPR save of them. Waits: seconds by which allocating the block again takes longer with FPR. "
        "FPR pays where more GiB·s are saved in an idle time than are waited for after it, by the whole interval.",
        (
            "block",
            "held",
            "idle",
            "pays",
            "saved",
            "of idle",
            "by pace",
            "waits",
            "waits per GiB",
            "CPU per GiB",
        ),
        tuple(_point_cells(line, point) for line in lines for point in line.points),
    )


def _point_cells(line: PayingLine, point: PayingPoint) -> tuple[Cell, ...]:
    predicted = point.predicted_of_idle
    return (
        Cell(format_bytes(line.block_bytes), numeric=True),
        Cell(format_duration(line.held_s), numeric=True),
        Cell(format_duration(point.idle_s), numeric=True),
        Cell(_say_pays(point.gain), show_interval(point.gain)),
        estimate_cell(point.saved),
        estimate_cell(point.saved_of_idle),
        Cell(MISSING if predicted is None else f"{predicted * 100:.1f} %", numeric=True),
        estimate_cell(point.wait),
        estimate_cell(point.wait_per_gib),
        estimate_cell(point.cpu_per_gib),
    )


def _say_pays(gain: Estimate | None) -> str:
    """Return whether a point pays, by the whole interval of what it gains."""
    if gain is None or gain.low is None or gain.high is None:
        return "not known"
    return "yes" if gain.low > 0 else "no" if gain.high <= 0 else "open"


def break_even_table(results: Results) -> Table:
    """Return from which idle time on FPR pays, and the price it was found by, for each line of the map."""
    lines = results.paying.lines if results.paying else ()
    return Table(
        "break-even",
        "From which idle time on FPR pays",
        "The idle time from which on FPR saves more GiB·s than are waited for: within the idle times that were measured on either side, by "
        "the kernel's pace and the price. The interval spans those idle times over all pairs of trials; before the first pass nothing comes back. Price: seconds by which allocating a GiB takes "
        "longer that had left the host.",
        ("block", "held", "pays from", "price"),
        tuple(
            (
                Cell(format_bytes(line.block_bytes), numeric=True),
                Cell(format_duration(line.held_s), numeric=True),
                _break_even_cell(line),
                estimate_cell(line.price),
            )
            for line in lines
            if line.n
        ),
    )


def _break_even_cell(line: PayingLine) -> Cell:
    if line.break_even is None:
        return Cell(f"beyond {format_duration(line.points[-1].idle_s)}", numeric=True)
    return Cell(
        show_value(line.break_even), show_interval(line.break_even), numeric=True, estimate=line.break_even
    )

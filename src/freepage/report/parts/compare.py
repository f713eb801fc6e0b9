"""The part on runs compared: a table and a figure for each experiment, and the runs and their differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from freepage.analysis.compare.change import Outcome
from freepage.analysis.compare.words import OUTCOME_WORDS, explain_open, name_arms, name_number
from freepage.report.chart import Figure, build_spec, rounded, without_validation
from freepage.report.numbers import MISSING, show_interval, show_value
from freepage.report.table import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.analysis.compare.change import Change
    from freepage.analysis.compare.runs import RunComparison
    from freepage.report.chart import Row, Spec

# Told apart by shape as well; those that are no change are drawn as an outline.
OUTCOME_STYLES = {
    Outcome.WORSE: ("#d1462f", "triangle-right"),
    Outcome.BETTER: ("#1b9e77", "triangle-left"),
    Outcome.HIGHER: ("#2f6fc4", "triangle-right"),
    Outcome.LOWER: ("#2f6fc4", "triangle-left"),
    Outcome.SAME: ("#8a8f98", "circle"),
    Outcome.CANNOT_TELL: ("#8a8f98", "cross"),
}
ROW_HEIGHT = 24
# How far the axis goes on beyond what is drawn.
ROOM = 1.05
AXIS_HEIGHT = 50
# A ratio beyond these is drawn at the edge: an interval of few trials can span worlds.
FURTHEST = 8.0
_TICKS = (0.125, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0)
_REFERENCE = "no change, with the margin"


def list_tables(comparison: RunComparison) -> list[Table]:
    """Return every table: the runs, the conditions in which they differ, and the numbers of each experiment."""
    tables = [
        *(_change_table(n, name, changes) for n, (name, changes) in enumerate(comparison.changes.items(), 1)),
        _run_table(comparison),
        _unlike_table(comparison),
    ]
    return [table for table in tables if table.rows]


def describe_change(change: Change) -> str:
    """Return a change as "1.20×", or as a signed difference."""
    shown = show_value(change.change)
    return (
        shown if change.nature.has_ratio or change.change is None or change.change.value <= 0 else f"+{shown}"
    )


def _change_table(number: int, experiment: str, changes: Sequence[Change]) -> Table:
    return Table(
        f"changes-{number}",
        experiment,
        "NEW / BASE, and NEW less BASE for what may be 0, with intervals at 95 %. What changed most comes first.",
        ("answer", "number", "arm", "BASE", "NEW", "change", "trials a side"),
        tuple(_change_row(change) for change in changes),
    )


def _change_row(change: Change) -> tuple[Cell, ...]:
    return (
        Cell(
            OUTCOME_WORDS[change.outcome],
            explain_open(change) if change.outcome is Outcome.CANNOT_TELL else "",
        ),
        Cell(name_number(change.path), str(change.path.number)),
        Cell(name_arms(change.path)),
        Cell(show_value(change.base), numeric=True, estimate=change.base),
        Cell(show_value(change.new), numeric=True, estimate=change.new),
        Cell(describe_change(change), show_interval(change.change), numeric=True, estimate=change.change),
        Cell(_count_trials(change), numeric=True),
    )


def _count_trials(change: Change) -> str:
    counts = [0 if e is None else e.n for e in (change.base, change.new)]
    return str(counts[0]) if counts[0] == counts[1] else f"{counts[0]}, {counts[1]}"


def _run_table(comparison: RunComparison) -> Table:
    rows = tuple(
        (
            Cell(run.side),
            Cell(run.folder),
            Cell(run.study),
            Cell(run.location),
            Cell(run.started_at[:16].replace("T", " ")),
            Cell(f"{run.trials - run.failed} of {run.trials}", numeric=True),
            Cell(run.freepage_version),
        )
        for run in comparison.runs
    )
    columns = ("side", "folder", "study", "on", "started (UTC)", "trials that count", "freepage")
    return Table("runs", "The runs", "", columns, rows)


def _unlike_table(comparison: RunComparison) -> Table:
    rows = tuple((Cell(u.name), Cell(u.base), Cell(u.new)) for u in comparison.unlike)
    note = "These were allowed to differ (--across). What changed may be due to any of them."
    return Table("unlike", "Conditions that differ", note, ("condition", "BASE", "NEW"), rows)


def draw_changes(comparison: RunComparison) -> list[Figure]:
    """Draw the ratios of each experiment that has some."""
    with without_validation():
        drawn = [
            _draw(f"ratios-{n}", name, changes)
            for n, (name, changes) in enumerate(comparison.changes.items(), 1)
        ]
    return [figure for figure in drawn if figure is not None]


def _draw(id_: str, experiment: str, changes: Sequence[Change]) -> Figure | None:
    rows = [_row(change) for change in changes if change.nature.has_ratio and change.change is not None]
    if not rows:
        return None
    title = f"{experiment}: {describe_changes(changes)}"
    caption = (
        "NEW / BASE on a logarithmic axis, with intervals at 95 %; left of 1 NEW is lower. A triangle is a change, a circle is the same "
        "within its margin (grey), a cross cannot be told. Numbers that may be 0 are in the table."
    )
    return Figure(id_, title, caption, f"{title}. {caption}", _build(rows), _REFERENCE)


def describe_changes(changes: Sequence[Change]) -> str:
    """Return what is decided of some changes, and nothing else."""
    counts = {o: sum(c.outcome is o for c in changes) for o in Outcome}
    words = [
        f"{n} {'number' if n == 1 else 'numbers'} {OUTCOME_WORDS[o]}"
        for o, n in counts.items()
        if n and o.is_change
    ]
    return ", ".join(words) or "no number is shown to differ"


def _row(change: Change) -> Row:
    ratio = change.change
    assert ratio is not None  # noqa: S101 - only such changes are drawn
    name = f"{name_arms(change.path)}: {name_number(change.path)}"
    bounds = {"low": ratio.low, "high": ratio.high}
    margin = 1 + (change.margin or 0.0)
    return {
        "name": name,
        "outcome": OUTCOME_WORDS[change.outcome],
        "ratio": _clipped(ratio.value),
        "from": rounded(1 / margin),
        "to": rounded(margin),
        **{key: None if value is None else _clipped(value) for key, value in bounds.items()},
        "shown": " ".join(filter(None, (show_value(ratio), show_interval(ratio) or MISSING))),
    }


def _clipped(ratio: float) -> float:
    return rounded(min(max(ratio, 1 / FURTHEST), FURTHEST))


def _build(rows: list[Row]) -> Spec:
    """Return a row of a dot and an interval for each number, 1 marked, and its margin as a band."""
    used = [o for o in Outcome if any(row["outcome"] == OUTCOME_WORDS[o] for row in rows)]
    words = [OUTCOME_WORDS[o] for o in used]
    colours, shapes = zip(*(OUTCOME_STYLES[o] for o in used), strict=True)
    domain = _find_domain(rows)
    ticks = [tick for tick in _TICKS if domain[0] <= tick <= domain[1]]
    x = alt.X(
        "ratio:Q",
        title="NEW / BASE",
        scale=alt.Scale(type="log", domain=domain, nice=False, clamp=True),
        axis=alt.Axis(values=ticks, format="~g"),
    )
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=260))
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=y)
    colour = alt.Color("outcome:N", scale=alt.Scale(domain=words, range=list(colours)))
    shape = alt.Shape("outcome:N", scale=alt.Scale(domain=words, range=list(shapes)))
    one = alt.Chart(alt.InlineData(values=[{"ratio": 1}]))
    tooltip = [alt.Tooltip(f"{name}:N") for name in ("name", "outcome", "shown")]
    layers = (
        base.mark_bar(opacity=0.14, color="#8a8f98", height=ROW_HEIGHT).encode(x=alt.X("from:Q"), x2="to:Q"),
        one.mark_rule(color="#8a8f98", strokeWidth=1).encode(x=x),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q", color=colour),
        base.mark_point(size=90, filled=True, opacity=1).encode(
            x=x, color=colour, shape=shape, tooltip=tooltip
        ),
    )
    return build_spec(*layers, height=AXIS_HEIGHT + ROW_HEIGHT * len(rows))


def _find_domain(rows: list[Row]) -> tuple[float, float]:
    """Return the axis' ends: all that is drawn, and a little beyond."""
    values = [
        float(v)
        for row in rows
        for v in (row["ratio"], row["low"], row["high"], row["from"], row["to"])
        if isinstance(v, float)
    ]
    return rounded(min(values) / ROOM), rounded(max(values) * ROOM)

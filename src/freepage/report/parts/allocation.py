"""The part on allocation: how long it takes, the first time and later (the article's table), as processes and the host see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from freepage.analysis.compared import Comparison
from freepage.analysis.definition import Area
from freepage.analysis.estimates import Quantity
from freepage.kinds import FigureName
from freepage.records import Arm
from freepage.report.article import ARTICLE, find_article_figure
from freepage.report.chart import Figure, arm_colour, arms_in, build_spec, rounded
from freepage.report.table import build_arm_table

if TYPE_CHECKING:
    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.results import Results
    from freepage.analysis.stats import Estimate
    from freepage.report.article import ArticleFigure
    from freepage.report.chart import Row, Spec
    from freepage.report.table import Table
    from freepage.store import Run

ROW_HEIGHT = 26
AXIS_HEIGHT = 50
TIMES_WORDS = "times as long as the first allocation in a VM without FPR"
TIMES = ((Quantity.ALLOC_FIRST, "first"), (Quantity.ALLOC_REST, "later"))


def draw_allocation(run: Run, results: Results, experiment: str) -> Figure | None:
    """Draw the first and the later allocations of each arm, as multiples of the first in a VM without FPR."""
    del run
    found = results.experiments[experiment]
    unit = found.estimate(Arm.VM, Quantity.ALLOC_FIRST)
    article = find_article_figure(found.kind, FigureName.ALLOCATION)
    if unit is None or unit.value <= 0:
        return None
    rows = _rows(found, unit.value, article)
    title = describe_reallocation(found.compared(Comparison.REALLOCATION), experiment)
    caption = (
        f"Experiment {experiment}: seconds to allocate one block and write one byte to each page, the first time after the start and "
        f"the mean of all later times, with their intervals over trials; 1 is the first time in a VM without FPR, {unit.value:.2f} s."
    ) + (article.describe(drawn=bool(article.shares)) if article else "")
    return Figure(
        f"allocation-{experiment}",
        title,
        caption,
        f"{title}. {caption}",
        _draw_rows(rows),
        doubts=tuple(d.id for d in results.doubts_touching(Area.TIME, experiment)),
        article=ARTICLE if article and article.shares else "",
    )


def describe_reallocation(penalty: Estimate | None, experiment: str) -> str:
    """Return the figure's title: how much longer VMs with FPR take to allocate again, where the interval shows it."""
    if penalty is None or penalty.low is None or penalty.high is None or penalty.low <= 1 <= penalty.high:
        return f"How long allocations take in {experiment}"
    return f"With FPR allocating again takes {penalty.value:.2f} times as long as without"


def _rows(found: ExperimentResults, unit_s: float, article: ArticleFigure | None) -> list[Row]:
    """Return a row per arm, first and later; `article`: the same of the article, by its own first in a VM without FPR."""
    rows: list[Row] = []
    for arm in found.arms:
        theirs = article.shares.get(arm, ()) if article else ()
        for n, (number, words) in enumerate(TIMES):
            time = found.estimate(arm, number)
            if time is not None:
                low, high = (time.value if end is None else end for end in (time.low, time.high))
                rows.append(
                    {
                        "arm": str(arm),
                        "what": f"{arm}, {words}",
                        "y": rounded(time.value / unit_s),
                        "low": rounded(low / unit_s),
                        "high": rounded(high / unit_s),
                        "article": rounded(theirs[n]) if theirs else None,
                    }
                )
    return rows


def _draw_rows(rows: list[Row]) -> Spec:
    order = [str(row["what"]) for row in rows]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y("what:N", title=None, sort=order, axis=alt.Axis(labelLimit=200)),
        color=arm_colour(arms_in(rows)),
    )
    x = alt.X("y:Q", title=TIMES_WORDS, scale=alt.Scale(zero=True, nice=True))
    spans = base.mark_rule(strokeWidth=1.5, opacity=0.5).encode(
        x=alt.X("low:Q", title=TIMES_WORDS), x2="high:Q"
    )
    tips = [
        alt.Tooltip("what:N"),
        alt.Tooltip("y:Q", title="here", format=".2f"),
        alt.Tooltip("article:Q", title="article", format=".2f"),
    ]
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x=x, tooltip=tips)
    theirs = base.mark_point(shape="diamond", size=90, opacity=0.6, strokeWidth=1.5).encode(
        x=alt.X("article:Q", title=TIMES_WORDS), tooltip=tips
    )
    return build_spec(spans, points, theirs, height=ROW_HEIGHT * len(rows) + AXIS_HEIGHT)


def allocation_table(results: Results) -> Table:
    return build_arm_table(
        results,
        "allocation",
        "Allocating again",
        "Seconds to allocate one block and write one byte to each page: the first time after the start, and the mean of "
        "all later times. The standard deviation is that of the later times within a trial.",
        (
            Quantity.ALLOC_FIRST,
            Quantity.ALLOC_REST,
            Quantity.ALLOC_REST_SD,
            Quantity.ALLOC_SYSTEM_FIRST,
            Quantity.ALLOC_SYSTEM_REST,
            Quantity.ALLOC_USER_FIRST,
            Quantity.ALLOC_USER_REST,
        ),
        lambda arm: arm[Quantity.ALLOC_FIRST] is not None,
    )


def host_view_table(results: Results) -> Table:
    """Return how long frees take as processes see them, and how long allocations and releases take as the host does."""
    return build_arm_table(
        results,
        "host-view",
        "Freeing, and both as the host sees them",
        "Seconds a process takes to free one block, the first time and later. Host fills: from the start of an allocation until the "
        "host's memory has grown by 90 % of what it grows by; a VM that kept what it freed takes nothing of the host again and "
        "has a dash. Host empties: while the host's memory falls, from 10 % to 90 % back. Both lie between two samples: the middle is "
        "given, and the width of that span for the allocations.",
        (
            Quantity.FREE_FIRST,
            Quantity.FREE_REST,
            Quantity.FREE_REST_SD,
            Quantity.HOST_ALLOC_FIRST,
            Quantity.HOST_ALLOC_REST,
            Quantity.HOST_ALLOC_REST_SD,
            Quantity.HOST_ALLOC_RESOLUTION,
            Quantity.RELEASE_FALL,
        ),
        lambda arm: arm[Quantity.FREE_FIRST] is not None,
    )

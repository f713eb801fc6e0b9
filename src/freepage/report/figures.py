"""Every figure of a report, drawn from a stored run, in the order of the page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.kinds import FigureName
from freepage.records import Arm
from freepage.report.chart import without_validation
from freepage.report.parts.allocation import draw_allocation
from freepage.report.parts.controls import draw_controls
from freepage.report.parts.cpu import draw_cpu
from freepage.report.parts.forecast import draw_forecast
from freepage.report.parts.io import draw_throughput
from freepage.report.parts.memory import draw_node_memory
from freepage.report.parts.prometheus import draw_prometheus
from freepage.report.parts.release import draw_release

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.analysis.results import Results
    from freepage.report.chart import Figure, Spec
    from freepage.store import Run

DRAW: dict[FigureName, Callable[[Run, Results, str], Figure | None]] = {
    FigureName.NODE_MEMORY: draw_node_memory,
    FigureName.RELEASE: draw_release,
    FigureName.CPU: draw_cpu,
    FigureName.ALLOCATION: draw_allocation,
    FigureName.THROUGHPUT: draw_throughput,
    FigureName.FORECAST: draw_forecast,
}


def draw_figures(run: Run, results: Results) -> list[Figure]:
    """Draw every figure the run has data for, as the kinds of its experiments ask for."""
    with without_validation():
        figures = [
            replace(figure, experiment=name)
            for name, experiment in results.experiments.items()
            for each in experiment.traits.figures
            if (figure := DRAW[each](run, results, name)) is not None
        ]
        of_run = [f for f in (draw_controls(run, results), *draw_prometheus(run, results)) if f is not None]
    return [replace(figure, arms=_find_arms(figure.spec)) for figure in (*figures, *of_run)]


def _find_arms(spec: Spec) -> tuple[str, ...]:
    """Return the arms that a specification has rows of, in the order of Arm."""
    datasets = spec.get("datasets")
    rows = [row for each in datasets.values() for row in each] if isinstance(datasets, dict) else []
    seen = {row.get("arm") for row in rows}
    return tuple(str(arm) for arm in Arm if str(arm) in seen)

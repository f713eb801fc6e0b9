"""Every figure of a report, drawn from a stored run, in the order of the page."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.kinds import FigureName
from freepage.records import Arm
from freepage.report.chart import without_validation
from freepage.report.parts.controls import draw_controls
from freepage.report.parts.cpu import draw_cpu
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
    FigureName.THROUGHPUT: draw_throughput,
}


def draw_figures(run: Run, results: Results) -> list[Figure]:
    """Draw every figure the run has data for, as the kinds of its experiments ask for."""
    with without_validation():
        figures = [
            DRAW[figure](run, results, name)
            for name, experiment in results.experiments.items()
            for figure in experiment.traits.figures
        ]
        of_run = (draw_controls(run, results), *draw_prometheus(run, results))
    drawn = [figure for figure in (*figures, *of_run) if figure is not None]
    return [replace(figure, arms=_find_arms(figure.spec)) for figure in drawn]


def _find_arms(spec: Spec) -> tuple[str, ...]:
    """Return the arms that a specification has marks of, in the order of Arm."""
    text = json.dumps(spec)
    return tuple(str(arm) for arm in Arm if f'"{arm}"' in text)

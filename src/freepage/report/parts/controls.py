"""The part on controls: what of the node's memory was nobody's, trial by trial in the order they ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from freepage.analysis.doubts.base import DoubtInput
from freepage.analysis.doubts.controls import find_memory_excursions
from freepage.analysis.estimates import TrialOnly
from freepage.report.arms import REFERENCE_COLOUR
from freepage.report.chart import Figure, arm_colour, arms_in, build_spec, rounded
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.analysis.results import Results, TrialResult
    from freepage.report.chart import Row, Spec
    from freepage.store import Run

BASELINE = "baseline, above the run's lowest"
HEIGHT = 160
_WORDS = "trials in the order they ran"
_CAPTION = (
    "Points: node memory in use less the trial's baseline and the anonymous memory of its instances, without sign, median over the "
    "trial; a ring where it was more than a few ticks further from 0 than what is to be seen allows. The thin grey line is what "
    "was in use before each trial, above the run's lowest."
)


def draw_controls(run: Run, results: Results) -> Figure | None:
    """Draw for each trial in order how far its books of memory are from closing, and its baseline."""
    trials = [t for t in results.trials if t.values and t.values.get(TrialOnly.BASELINE) is not None]
    if not trials:
        return None
    values = {t.id: t.values for t in results.trials if t.values}
    found = DoubtInput(run, values, results.experiments)
    doubted = {
        name for experiment in results.experiments for name in find_memory_excursions(found, experiment)
    }
    title = _write_title(trials, doubted, run.manifest.target_noun)
    unknown = sum(_closure(t) is None for t in trials)
    why = (
        "nodes of a cluster are not read together with instances"
        if run.manifest.node_is_fixed
        else "programs ran in containers"
    )
    caption = _CAPTION + (f" Not known for {unknown} of {len(trials)} trials: {why}." if unknown else "")
    return Figure(
        "controls",
        title,
        caption,
        f"{title}. {caption}",
        _draw_trials([_build_row(t, trials, t.id in doubted) for t in trials]),
        BASELINE,
        tuple(dict.fromkeys(d.id for d in results.doubts if d.id in {"other-work", "never-settled"})),
    )


def _closure(trial: TrialResult) -> float | None:
    return trial.values.get(TrialOnly.CLOSURE_MEMORY) if trial.values else None


def _baseline(trial: TrialResult) -> float:
    return (trial.values or {}).get(TrialOnly.BASELINE) or 0.0


def _build_row(trial: TrialResult, trials: list[TrialResult], doubted: bool) -> Row:
    closure, lowest = _closure(trial), min(_baseline(t) for t in trials)
    return {
        "n": trial.order + 1,
        "trial": trial.id,
        "arm": str(trial.arm),
        "y": None if closure is None else rounded(closure / MIB),
        "baseline": rounded((_baseline(trial) - lowest) / MIB),
        "doubted": "yes" if doubted else "no",
    }


def _write_title(trials: list[TrialResult], doubted: set[str], host: str) -> str:
    known = sum(_closure(t) is not None for t in trials)
    if not known:
        return f"What other work took of the {host} is not known"
    if doubted:
        return f"Other work moved the {host}'s memory in {len(doubted)} of {known} trials"
    return f"No other work moved the {host}'s memory in any of {known} trials"


def _draw_trials(rows: list[Row]) -> Spec:
    title = "memory (MiB)"
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("n:Q", title=_WORDS, axis=alt.Axis(tickMinStep=1, format="d")),
    )
    line = base.mark_line(interpolate="step", strokeWidth=1, color=REFERENCE_COLOUR).encode(
        y=alt.Y("baseline:Q", title=title)
    )
    points = base.mark_point(filled=True, size=60).encode(
        y=alt.Y("y:Q", title=title),
        color=arm_colour(arms_in(rows)),
        tooltip=["trial:N", alt.Tooltip("y:Q", format=".1f"), alt.Tooltip("baseline:Q", format=".1f")],
    )
    rings = (
        base.transform_filter(alt.datum.doubted == "yes")
        .mark_point(filled=False, size=260, strokeWidth=2)
        .encode(y=alt.Y("y:Q", title=title), color=arm_colour(arms_in(rows)))
    )
    return build_spec(line, points, rings, height=HEIGHT)

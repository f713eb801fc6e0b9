"""The part on releases: how freed memory comes back to the host, against what the kernel's pace predicts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.definition import Area
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.releases import LEAST_WINDOW_S, find_releases
from freepage.analysis.series import Series, hold
from freepage.fpr.mechanics import PASS_DELAY_S, find_common_passes, stretch_of
from freepage.fpr.release import predicted_release
from freepage.records import Arm
from freepage.report.chart import Figure, Lines, band_rows, draw_lines, rounded
from freepage.report.table import Cell, build_arm_table
from freepage.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.releases import Release
    from freepage.analysis.results import Results
    from freepage.records import Evidence
    from freepage.report.chart import Row
    from freepage.report.table import Table
    from freepage.store import Run

PREDICTED = "predicted from the kernel's pace"
MOST_SECONDS = 40.0
POINTS = 80
# Blocks that differ by less are of one size.
ONE_SIZE = 1.05

Releases = dict[Arm, list["Release"]]


def draw_release(run: Run, results: Results, experiment: str) -> Figure | None:
    """Draw which share of freed memory has left the host, against the seconds since the free."""
    arms = run.arms_of(experiment)
    releases = {a: [r for t in run.ok_trials(experiment, a) for r in find_releases(t)] for a in arms}
    if not releases.get(Arm.VM_FPR):
        return None
    rows = [row for arm in arms for row in _release_rows(releases[arm], arm, run.manifest.interval_s)]
    predicted = _predicted_rows(run, experiment, releases)
    title = _write_title(results.experiments[experiment], experiment)
    window_s = LEAST_WINDOW_S * stretch_of(_seen_with_fpr(run, experiment))
    caption = (
        f"Experiment {experiment}: mean over all releases that were followed by at least {window_s:g} s without an "
        f"allocation; the band spans them. The guest reports free memory in passes {_say_delays(run, experiment)} s apart, so it comes back in "
        f"steps; each sample is drawn until the next one, {run.manifest.interval_s:g} s later: when memory came back between two of them is not known."
    )
    reference = PREDICTED if predicted else ""
    words = ("seconds since the memory was freed", "share back on the host (%)")
    return Figure(
        f"release-{experiment}",
        title,
        caption,
        f"{title}. {caption}",
        draw_lines(Lines(rows + predicted, arms, *words, reference, steps=True)),
        reference,
        tuple(d.id for d in results.doubts_touching(Area.MEMORY, experiment)),
    )


def _write_title(found: ExperimentResults, experiment: str) -> str:
    """Return when 90 % is back, as finely as samples can tell; only what trials can carry is said."""
    t90, width = (found.estimate(Arm.VM_FPR, n) for n in (Quantity.RELEASE_T90, Quantity.RELEASE_RESOLUTION))
    if t90 is None or t90.high is None or t90.n < t90.least_to_decide:
        return f"How freed memory comes back to the host in {experiment}"
    share = "90 % of what a VM frees is back on the host"
    half_s = width.value / 2 if width is not None else 0.0
    if t90.value <= half_s:
        return f"{share} within {format_duration(round(t90.value + half_s, 1))}"
    return f"{share} after {format_duration(round(t90.value, 1))}"


def _window_s(releases: Sequence[Release]) -> float:
    return min(MOST_SECONDS, *(r.window_s for r in releases))


def _release_rows(releases: Sequence[Release], arm: Arm, interval_s: float) -> list[Row]:
    if not releases:
        return []
    grid = np.linspace(0, _window_s(releases), POINTS)
    return band_rows([_resample_release(r.curve, grid, interval_s) for r in releases], arm, grid, 100.0)


def _resample_release(
    curve: Sequence[tuple[float, float]], grid: NDArray[np.float64], interval_s: float
) -> NDArray[np.float64]:
    points = [(0.0, 0.0), *curve]
    series = Series(np.array([p[0] for p in points]), np.array([p[1] for p in points]))
    return hold(series, np.minimum(grid, points[-1][0]), interval_s)


def _predicted_rows(run: Run, experiment: str, releases: Releases) -> list[Row]:
    """Return the staircase that the kernel's pace predicts, where every release with FPR is one block of one size."""
    if any(len(processes) > 1 for t in run.ok_trials(experiment) for processes in t.schedules.values()):
        return []
    owed = [r.owed_bytes for r in releases[Arm.VM_FPR]]
    passes = find_common_passes(_seen_with_fpr(run, experiment), run.manifest.architecture)
    if passes is None or max(owed) > ONE_SIZE * min(owed):
        return []
    end_s = rounded(max(_window_s(found) for found in releases.values() if found))
    steps = [(0.0, 0.0), *predicted_release(round(min(owed)), passes=passes)]
    shown = [(t, share) for t, share in steps if t <= end_s]
    shown.append((end_s, shown[-1][1]))
    return [{"t": rounded(t), "y": rounded(share * 100), "arm": PREDICTED} for t, share in shown]


def _seen_with_fpr(run: Run, experiment: str) -> list[Evidence]:
    return [e for t in run.ok_trials(experiment, Arm.VM_FPR) for e in t.record.evidence if e.is_of_vm]


def _say_delays(run: Run, experiment: str) -> str:
    """Return the seconds between the passes of the guests: as their kernels show them, else the usual ones."""
    seen = (e.reporting_delay_s for e in _seen_with_fpr(run, experiment))
    delays = sorted({PASS_DELAY_S if delay is None else delay for delay in seen}) or [PASS_DELAY_S]
    return " or ".join(f"{delay:g}" for delay in delays)


def release_table(results: Results) -> Table:
    """Return the times with what they are known to, and how many releases got that far."""
    table = build_arm_table(
        results,
        "release",
        "Time until freed memory is back",
        "Seconds from the free until 50, 90 and 99 % of the freed bytes had left the host, median over releases. It lies between two "
        "samples: the middle is given, and the width of that span. A release that was not there when its instance allocated again "
        "took longer than that; where half did, there is a dash. The rate is that of the first 90 %, where that took more than one sample.",
        (
            Quantity.RELEASE_T50,
            Quantity.RELEASE_T90,
            Quantity.RELEASE_T99,
            Quantity.RELEASE_RESOLUTION,
            Quantity.RELEASE_RATE,
        ),
        lambda arm: arm[Quantity.GIVEN_BACK] is not None,
    )
    rows = tuple((*row, _count_reached(results, row[0].text, row[1].text)) for row in table.rows)
    return replace(table, columns=(*table.columns, "got to 90 %"), rows=rows)


def _count_reached(results: Results, experiment: str, arm: str) -> Cell:
    """Return how many of an arm's releases got to 90 % within their window: "8 of 9"."""
    mine = [t.values for t in results.trials if (t.experiment, t.arm) == (experiment, arm) and t.values]
    reached, all_ = (
        sum(values.get(number) or 0.0 for values in mine)
        for number in (TrialOnly.RELEASE_T90_COUNT, TrialOnly.RELEASES)
    )
    return Cell(f"{reached:.0f} of {all_:.0f}", numeric=True)

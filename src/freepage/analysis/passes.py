"""The passes in which memory came back, held against those that the guest's kernel predicts."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from freepage.analysis.free_blocks import find_free_blocks
from freepage.analysis.releases import find_releases
from freepage.analysis.series import metric_series
from freepage.fpr.release import find_reporting, predict_span_s, predicted_span_s
from freepage.records import Arm

if TYPE_CHECKING:
    from freepage.analysis.releases import Release
    from freepage.fpr.release import Reporting
    from freepage.store import Run, TrialData

# The share whose time is compared, of what came back within the window: what a guest keeps has no pace.
SHARE = 0.9
# Of a release that gave back less than this nothing can be said.
LEAST_BACK = 0.5


def find_experiment_reporting(run: Run, experiment: str) -> Reporting | None:
    """Return the terms on which the guests of an experiment report; None where they are not known, or differ."""
    evidence = (e for t in run.ok_trials(experiment, Arm.VM_FPR) for e in t.record.evidence)
    return find_reporting(evidence, run.manifest.architecture)


def find_passes_off(trial: TrialData, reporting: Reporting) -> float | None:
    """Return how many passes a trial's releases came after (below 0: before) the predicted times, median; None for none to tell.

    Of instances with several processes nothing is said: earlier frees are still on their way there.
    """
    if reporting.passes.delay_s <= 0:
        return None
    alone = {name for name, processes in trial.schedules.items() if len(processes) == 1}
    offs = [_measure_off(trial, r, reporting) for r in find_releases(trial) if r.instance in alone]
    known = [off for off in offs if off is not None]
    return median(known) if known else None


def _measure_off(trial: TrialData, release: Release, reporting: Reporting) -> float | None:
    back = min(1.0, release.given_back_fraction)
    seen = release.time_to_share_s(SHARE * back) if back >= LEAST_BACK else None
    if seen is None:
        return None
    earliest_s, latest_s = _predict_span_s(trial, release, back * release.owed_bytes, reporting)
    low_s, high_s = seen
    return (max(0.0, low_s - latest_s) - max(0.0, earliest_s - high_s)) / reporting.passes.delay_s


def _predict_span_s(
    trial: TrialData, release: Release, back_bytes: float, reporting: Reporting
) -> tuple[float, float]:
    """Return the span in which SHARE of a release is predicted to be back: by the guest's own lists of free blocks, where it shows them."""
    lists = _find_freed(trial, release, reporting.passes.delay_s)
    span_s = predict_span_s(*lists, reporting, SHARE) if lists else None
    if span_s is not None:
        return span_s
    free_bytes = metric_series(trial, release.instance, "guest_free_bytes").maximum()
    return predicted_span_s(back_bytes, free_bytes, SHARE, reporting.passes)


def _find_freed(
    trial: TrialData, release: Release, delay_s: float
) -> tuple[dict[int, float], dict[int, float]] | None:
    """Return the blocks of each order that a release added to the guest's lists, and those that lay there before.

    Half a delay after the free all of it has got there, and nothing has been reported yet, which changes no list anyway.
    """
    blocks = find_free_blocks(trial, release.instance)
    before = blocks.before(release.at_s - release.uncertainty_s)
    after = blocks.after(release.at_s + max(release.uncertainty_s, delay_s / 2))
    if before is None or after is None:
        return None
    return {order: max(0.0, count - before[order]) for order, count in after.items()}, before

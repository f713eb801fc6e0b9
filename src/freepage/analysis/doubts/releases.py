"""Doubts about releases: whether memory came back at the pace of the guest's kernel."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from freepage.analysis.definition import Area
from freepage.analysis.doubts.base import Doubt
from freepage.analysis.doubts.run import LEAST_TRIALS
from freepage.analysis.releases import find_releases
from freepage.analysis.series import metric_series
from freepage.fpr.mechanics import find_common_passes, predicted_span_s
from freepage.records import Arm

if TYPE_CHECKING:
    from freepage.analysis.doubts.base import DoubtInput
    from freepage.analysis.releases import Release
    from freepage.fpr.mechanics import Passes
    from freepage.store import TrialData

# A release is unlike the predicted one where it lies further from it than so many passes.
MOST_PASSES_APART = 2
# The share whose time is compared, of what came back within the window: what a guest keeps has no pace.
SHARE = 0.9
# Of a release that gave back less than this nothing can be said.
LEAST_BACK = 0.5
_LATER = (
    "Likely causes: guests or QEMU too busy to report at their pace, freed memory in smaller blocks, whose lists are longer, or "
    "another page_reporting_delay_ms than the guests show."
)
_EARLIER = (
    "Likely causes: a shorter page_reporting_delay_ms than the guests show, freed memory in more lists than are expected, or "
    "something other than FPR that takes memory from the VMs."
)


def find_unlike_releases(found: DoubtInput, experiment: str) -> Doubt | None:
    """Return a doubt where memory came back more than two passes off what the kernel's pace predicts, over three trials."""
    trials = found.run.ok_trials(experiment, Arm.VM_FPR)
    evidence = [e for t in trials for e in t.record.evidence]
    architecture = found.run.manifest.host.get("architecture")
    passes = find_common_passes(evidence, None if architecture is None else str(architecture))
    if passes is None or passes.delay_s <= 0 or found.run.manifest.smoke:
        return None
    seen = [off for t in trials if (off := _median_off(t, passes)) is not None]
    off = median(seen) if len(seen) >= LEAST_TRIALS else 0.0
    if abs(off) <= MOST_PASSES_APART:
        return None
    word, remedy = ("later", _LATER) if off > 0 else ("earlier", _EARLIER)
    return Doubt(
        "release-unlike-predicted",
        f"In {experiment} memory came back {abs(off):.0f} passes, or {abs(off) * passes.delay_s:.0f} s, {word} than the pace of the "
        "guests' kernel predicts.",
        remedy,
        Area.MEMORY,
        experiment,
    )


def _median_off(trial: TrialData, passes: Passes) -> float | None:
    """Return how many passes a trial's releases lie after (below 0: before) the predicted times; None for none to tell.

    Of instances with several processes nothing is said: earlier frees are still on their way there.
    """
    alone = {name for name, processes in trial.schedules.items() if len(processes) == 1}
    offs = [_measure_off(trial, r, passes) for r in find_releases(trial) if r.instance in alone]
    known = [off for off in offs if off is not None]
    return median(known) if known else None


def _measure_off(trial: TrialData, release: Release, passes: Passes) -> float | None:
    back = min(1.0, release.given_back_fraction)
    seen = release.time_to_share_s(SHARE * back) if back >= LEAST_BACK else None
    if seen is None:
        return None
    free_bytes = metric_series(trial, release.instance, "guest_free_bytes").maximum()
    earliest_s, latest_s = predicted_span_s(back * release.owed_bytes, free_bytes, SHARE, passes)
    low_s, high_s = seen
    return (max(0.0, low_s - latest_s) - max(0.0, earliest_s - high_s)) / passes.delay_s

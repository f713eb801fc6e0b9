"""Doubts about releases: whether memory came back at the pace of the guest's kernel."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from freepage.analysis.definition import Area
from freepage.analysis.doubts.base import Doubt
from freepage.analysis.doubts.run import LEAST_TRIALS
from freepage.analysis.passes import find_experiment_reporting, find_passes_off
from freepage.records import Arm

if TYPE_CHECKING:
    from freepage.analysis.doubts.base import DoubtInput

# A release is unlike the predicted one where it lies further from it than so many passes.
MOST_PASSES_APART = 2
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
    reporting = find_experiment_reporting(found.run, experiment)
    if reporting is None or found.run.manifest.smoke:
        return None
    seen = [off for t in trials if (off := find_passes_off(t, reporting)) is not None]
    off = median(seen) if len(seen) >= LEAST_TRIALS else 0.0
    if abs(off) <= MOST_PASSES_APART:
        return None
    word, remedy = ("later", _LATER) if off > 0 else ("earlier", _EARLIER)
    return Doubt(
        "release-unlike-predicted",
        f"In {experiment} memory came back {abs(off):.0f} passes, or {abs(off) * reporting.passes.delay_s:.0f} s, {word} than the pace of the "
        "guests' kernel predicts.",
        remedy,
        Area.MEMORY,
        experiment,
    )

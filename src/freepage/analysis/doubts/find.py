"""Named reasons not to trust a result, each with its remedy; only what was seen in this run.

A new one is a function in the module of what it touches, and an entry here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.doubts.controls import (
    find_drifting_memory,
    find_drifting_times,
    find_other_cpu,
    find_other_work,
    find_unseen_releases,
    find_wrong_pods,
    find_wrong_vms,
)
from freepage.analysis.doubts.forecasts import find_forecast_off
from freepage.analysis.doubts.memory import (
    find_baseline_drift,
    find_inhibited,
    find_missing_evidence,
    find_noisy_node,
    find_same_page_merging,
    find_slow_passes,
    find_swap,
    find_window_too_short,
)
from freepage.analysis.doubts.releases import find_unlike_releases
from freepage.analysis.doubts.run import (
    find_different_pages,
    find_different_schedules,
    find_different_thp,
    find_failed_programs,
    find_failed_trials,
    find_few_trials,
    find_missing_cells,
    find_reporting_host,
    find_skipped_trials,
    find_smoke_run,
    find_unsettled_trials,
)
from freepage.analysis.doubts.time import find_emulation, find_late_sampler, find_late_steps, find_steal

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.analysis.doubts.base import Doubt, DoubtInput

CHECKS: tuple[Callable[[DoubtInput], Doubt | None], ...] = (
    find_failed_trials,
    find_skipped_trials,
    find_missing_evidence,
    find_slow_passes,
    find_emulation,
    find_smoke_run,
    find_few_trials,
    find_swap,
    find_same_page_merging,
    find_reporting_host,
    find_steal,
    find_late_steps,
    find_late_sampler,
    find_unsettled_trials,
)
CHECKS_OF_EXPERIMENTS: tuple[Callable[[DoubtInput, str], Doubt | None], ...] = (
    find_failed_programs,
    find_inhibited,
    find_different_schedules,
    find_different_thp,
    find_different_pages,
    find_missing_cells,
    find_wrong_pods,
    find_wrong_vms,
    find_unseen_releases,
    find_window_too_short,
    find_unlike_releases,
    find_forecast_off,
    find_other_work,
    find_other_cpu,
    find_noisy_node,
    find_baseline_drift,
    find_drifting_memory,
    find_drifting_times,
)


def find_doubts(found: DoubtInput) -> tuple[Doubt, ...]:
    """Return every doubt this run gives reason for: those about all of it, then those about single experiments."""
    doubts = [check(found) for check in CHECKS]
    doubts += [check(found, name) for check in CHECKS_OF_EXPERIMENTS for name in found.experiments]
    return tuple(doubt for doubt in doubts if doubt is not None)

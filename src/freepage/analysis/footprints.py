"""The memory of VMs with FPR as those without it let expect, by their own free blocks, held against what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.arithmetic import add_all, divide
from freepage.analysis.compared import Comparison
from freepage.analysis.free_blocks import find_free_blocks
from freepage.analysis.once import once_per_trial
from freepage.analysis.passes import find_passes_off
from freepage.analysis.releases import find_frees
from freepage.analysis.series import Series, hold, resident_series, vms_of
from freepage.analysis.stats import estimate_trials
from freepage.fpr.footprint import cap_footprint, footprint_bytes, measure_whole_bytes, reportable_bytes
from freepage.fpr.waiting import find_waiting_bytes
from freepage.records import Arm
from freepage.units import GIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from freepage.analysis.compared import Comparisons
    from freepage.analysis.releases import Free
    from freepage.fpr.release import Reporting
    from freepage.store import TrialData

# Forecasts, and how far they were off; in the order of results.json.
FORECASTS = (
    Comparison.FORECAST_SETTLED,
    Comparison.SETTLED,
    Comparison.FORECAST_SETTLED_RATIO,
    Comparison.FORECAST_GIB_S,
    Comparison.RESIDENT_GIB_S,
    Comparison.FORECAST_GIB_S_RATIO,
    Comparison.FORECAST_PASSES_OFF,
)
# A guest that has no more than this waiting for a pass has reported all that counts: a few blocks always come and go.
LEAST_WAITING_BYTES = 8 * MIB
# A VM is taken as settled once so many delays have gone by since its free, and one since anything last waited.
SETTLING_DELAYS = 2

# One block's numbers; None is not known.
BlockValues = dict[Comparison, float | None]
# A forecast, and what was measured.
Pair = tuple[float, float]


@dataclass(frozen=True)
class FootprintForecast:
    """One VM without FPR, as it would be with it: bytes on the host, and what of them waits for a pass, at the same times."""

    resident: Series
    waiting: Series


def forecast_footprint(trial: TrialData, instance: str, reporting: Reporting) -> FootprintForecast | None:
    """Return what an instance without FPR would have on the host with it, by its own free blocks and resident memory.

    None where its guest does not show its free blocks, or no sample is steady enough to tell what the VM takes in whole.
    """
    blocks = find_free_blocks(trial, instance)
    if len(blocks.t_s) < 2 or max(blocks.by_order) < reporting.order:
        return None
    resident = hold(resident_series(trial, instance), blocks.t_s, _interval_s(blocks.t_s))
    known = ~np.isnan(resident)
    t_s, resident = blocks.t_s[known], resident[known]
    by_order = {order: counts[known] for order, counts in blocks.by_order.items()}
    free = reportable_bytes(by_order, reporting.order, reporting.page_bytes)
    whole = measure_whole_bytes(resident, free) if len(t_s) > 1 else None
    if whole is None:
        return None
    waiting = find_waiting_bytes(t_s, by_order, reporting)
    forecast = cap_footprint(footprint_bytes(whole, free, 0.0) + waiting, resident)
    return FootprintForecast(Series(t_s, forecast), Series(t_s, waiting))


def compare_footprints(trials: Sequence[TrialData], reporting: Reporting | None) -> Comparisons:
    """Return how the forecasts of an experiment's VMs without FPR were met by those with it, by block.

    reporting: the terms on which its guests report; None where they are not known, and nothing can be forecast.
    """
    if reporting is None:
        return dict.fromkeys(FORECASTS)
    checks = [_check_block(*pair, reporting) for pair in pair_trials(trials)]
    found = {c: estimate_trials(c.nature, [check.get(c) for check in checks], c.unit) for c in FORECASTS}
    offs = [find_passes_off(t, reporting) for t in trials if t.record.arm is Arm.VM_FPR]
    passes = Comparison.FORECAST_PASSES_OFF
    return found | {passes: estimate_trials(passes.nature, offs, passes.unit)}


def pair_trials(trials: Sequence[TrialData]) -> Iterator[tuple[TrialData, TrialData]]:
    """Yield the trial without FPR and that with it of each block that has both."""
    by_arm = {
        arm: {t.record.repeat: t for t in trials if t.record.arm is arm} for arm in (Arm.VM, Arm.VM_FPR)
    }
    for repeat in sorted(set(by_arm[Arm.VM]) & set(by_arm[Arm.VM_FPR])):
        yield by_arm[Arm.VM][repeat], by_arm[Arm.VM_FPR][repeat]


def _check_block(without: TrialData, with_fpr: TrialData, reporting: Reporting) -> BlockValues:
    """Return the forecasts of one block, and what was measured: all VMs of both trials, or none."""
    names = [name for name in vms_of(without) if name in vms_of(with_fpr)]
    forecasts = {name: forecast_footprint(without, name, reporting) for name in names}
    known = {name: forecast for name, forecast in forecasts.items() if forecast is not None}
    if len(known) < len(names):
        return {}
    end_s = min(t.record.planned_duration_s for t in (without, with_fpr))
    settled = [_find_settled(without, with_fpr, name, f, reporting) for name, f in known.items()]
    areas = [_integrate(f.resident, resident_series(with_fpr, name), end_s) for name, f in known.items()]
    seen = [pair for pair in settled if pair is not None]
    forecast, measured = (fmean(p[n] for p in seen) if seen else None for n in (0, 1))
    forecast_s, measured_s = (
        divide(add_all(None if a is None else a[n] for a in areas), GIB) for n in (0, 1)
    )
    return {
        Comparison.FORECAST_SETTLED: forecast,
        Comparison.SETTLED: measured,
        Comparison.FORECAST_SETTLED_RATIO: divide(forecast, measured),
        Comparison.FORECAST_GIB_S: forecast_s,
        Comparison.RESIDENT_GIB_S: measured_s,
        Comparison.FORECAST_GIB_S_RATIO: divide(forecast_s, measured_s),
    }


def _find_settled(
    without: TrialData, with_fpr: TrialData, instance: str, forecast: FootprintForecast, reporting: Reporting
) -> Pair | None:
    """Return the footprint of an idle VM that has reported all, forecast and measured: means over the same samples."""
    t_s, delay_s = forecast.resident.t_s, reporting.passes.delay_s
    waits = np.where(forecast.waiting.values > LEAST_WAITING_BYTES, t_s, -np.inf)
    chosen = t_s - np.maximum.accumulate(waits) > delay_s
    for trial in (without, with_fpr):
        chosen &= _is_idle(trial, instance, t_s, SETTLING_DELAYS * delay_s)
    measured = hold(resident_series(with_fpr, instance), t_s, _interval_s(t_s))
    chosen &= ~np.isnan(measured)
    if not chosen.any():
        return None
    return float(forecast.resident.values[chosen].mean()), float(measured[chosen].mean())


def _is_idle(trial: TrialData, instance: str, t_s: NDArray[np.float64], after_s: float) -> NDArray[np.bool_]:
    """Return at which times an instance has held nothing for `after_s`, and has not allocated again."""
    idle = np.zeros(len(t_s), dtype=bool)
    for free in _list_frees(trial):
        if free.instance == instance:
            idle |= (t_s >= free.at_s + after_s) & (t_s <= free.end_s - free.uncertainty_s)
    return idle


@once_per_trial
def _list_frees(trial: TrialData) -> list[Free]:
    return list(find_frees(trial))


def _integrate(forecast: Series, measured: Series, end_s: float) -> Pair | None:
    """Return both integrated from a trial's zero to its end, or as far as samples of both go: bytes x seconds."""
    spans = [series.known().t_s for series in (forecast, measured)]
    if not all(map(len, spans)):
        return None
    first_s, last_s = max(0.0, *(t[0] for t in spans)), min(end_s, *(t[-1] for t in spans))
    areas = [series.cut(first_s, last_s).integral() for series in (forecast, measured)]
    return None if areas[0] is None or areas[1] is None else (areas[0], areas[1])


def _interval_s(t_s: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(t_s)))

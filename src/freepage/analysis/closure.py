"""The books of a trial: what the node used beyond what its instances did, tick by tick. What is left is other work."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.arithmetic import divide
from freepage.analysis.estimates import TrialOnly
from freepage.analysis.once import once_per_trial
from freepage.analysis.series import (
    Series,
    baseline_bytes,
    busy_cores_series,
    instances_of,
    metric_series,
    node_in_use_series,
    rate_series,
    resident_series,
    runs_programs,
    vms_of,
)
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.analysis.estimates import TrialValues
    from freepage.store import TrialData

# Clean trials stay within -5 and +14 MiB, and within 0.05 cores; what is less than these is nobody's.
LEAST_MEMORY_BYTES = 16.0 * MIB
LEAST_CPU_CORES = 0.25
# Other work matters where it is more than this share of the effect it would blur.
SHARE_OF_EFFECT = 0.05
# Page tables of a guest on the host and of QEMU: 8 bytes for each page of 4 KiB, twice.
PAGE_TABLE_SHARE = 2 * 8 / 4096
# Node and instances are read one after the other, so that a step can fall between them: that shows in single ticks.
MOST_TICKS = 2


@dataclass(frozen=True)
class Excursion:
    """A stretch of a trial in which the books did not close: seconds since its zero, and the least and greatest value."""

    start_s: float
    end_s: float
    least: float
    most: float

    @property
    def worst(self) -> float:
        """The value furthest from 0."""
        return max(self.least, self.most, key=abs)


@once_per_trial
def memory_closure(trial: TrialData) -> Series | None:
    """Return node memory in use - baseline - anonymous resident memory of all instances, in bytes, at every tick.

    None where that is not known: on nodes of a cluster, whose numbers were not read together with those of instances; and
    where programs run in containers, whose memory is their own.
    """
    node = node_in_use_series(trial)
    baseline = baseline_bytes(trial, node)
    if _is_read_apart(trial) or baseline is None or _runs_programs_in_containers(trial):
        return None
    used = [_anonymous_series(trial, i) for i in instances_of(trial)]
    return _subtract_all(Series(node.t_s, node.values - baseline), used, trial)


@once_per_trial
def cpu_closure(trial: TrialData) -> Series | None:
    """Return the cores the host was busy with less those of all instances and of the sampler, between samples.

    None where that is not known: on nodes of a cluster, and where programs run, for which the host's kernel works too.
    """
    if _is_read_apart(trial) or any(runs_programs(trial, i) for i in instances_of(trial)):
        return None
    busy = busy_cores_series(trial)
    sampler = divide(trial.record.sampler_cpu_s, trial.record.sampler_wall_s) or 0.0
    used = [rate_series(metric_series(trial, i, "cpu_total_s").known()) for i in instances_of(trial)]
    return _subtract_all(Series(busy.t_s, busy.values - sampler), used, trial)


def measure_closure(trial: TrialData) -> TrialValues:
    """Return how far the trial's books are from closing, most of the time."""
    memory, cpu = memory_closure(trial), cpu_closure(trial)
    return {
        TrialOnly.CLOSURE_MEMORY: None if memory is None else Series(memory.t_s, abs(memory.values)).median(),
        TrialOnly.CLOSURE_CPU: None if cpu is None else Series(cpu.t_s, abs(cpu.values)).median(),
    }


def memory_limit(trial: TrialData, effect_bytes: float) -> float:
    """Return how far memory may be from closing in a trial where `effect_bytes` is what is to be seen."""
    peaks = [resident_series(trial, i).maximum() or 0.0 for i in vms_of(trial)]
    return max(LEAST_MEMORY_BYTES, SHARE_OF_EFFECT * abs(effect_bytes), PAGE_TABLE_SHARE * sum(peaks))


def cpu_limit(used_cores: float) -> float:
    """Return how far CPU may be from closing where instances used so many cores."""
    return max(LEAST_CPU_CORES, SHARE_OF_EFFECT * used_cores)


def find_excursions(closure: Series, limit: float) -> list[Excursion]:
    """Return the stretches of more than MOST_TICKS ticks in which the books are further from closing than a limit."""
    known = closure.known()
    found = []
    for beyond, ticks in groupby(range(len(known.t_s)), key=lambda n: bool(abs(known.values[n]) > limit)):
        stretch = list(ticks)
        if beyond and len(stretch) > MOST_TICKS:
            values = known.values[stretch]
            start_s, end_s = float(known.t_s[stretch[0]]), float(known.t_s[stretch[-1]])
            found.append(Excursion(start_s, end_s, float(values.min()), float(values.max())))
    return found


def _subtract_all(whole: Series, parts: list[Series], trial: TrialData) -> Series | None:
    """Return a series less others, each interpolated to its times, over the trial; None where one is missing."""
    left = whole.values
    for part in parts:
        known = part.known()
        if not len(known.t_s):
            return None
        left = left - np.interp(whole.t_s, known.t_s, known.values, left=np.nan, right=np.nan)
    found = Series(whole.t_s, left).known().between(0, trial.record.planned_duration_s)
    return found if len(found.t_s) else None


def _anonymous_series(trial: TrialData, instance: str) -> Series:
    """Return an instance's anonymous resident memory: pages of files are page cache, which the node does not count as in use."""
    anonymous = metric_series(trial, instance, "rss_anon_bytes")
    return anonymous if len(anonymous.known().t_s) else metric_series(trial, instance, "rss_bytes")


def _is_read_apart(trial: TrialData) -> bool:
    return ("node", "node_sample_age_s") in trial.samples_by_metric


def _runs_programs_in_containers(trial: TrialData) -> bool:
    return any(runs_programs(trial, i) for i in set(instances_of(trial)) - set(vms_of(trial)))

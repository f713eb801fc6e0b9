"""Hosts drawn by a seed, on which a modelled run is imagined: they vary, slow down, and run other work that takes memory.

Memory of other work is taken from the node in the samples, and from no instance, so that all that reads them can see it. Times
are scaled where they are measured: all of a trial by one factor, as slower steps would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.trial_values import measure_trial
from freepage.units import MIB
from helpers.changed_run import take_memory

TIMES = (
    Quantity.ALLOC_FIRST,
    Quantity.ALLOC_REST,
    Quantity.ALLOC_PER_GIB,
    Quantity.INSTANCE_CPU,
    TrialOnly.INSTANCE_CPU_TIME,
)
NODE = (Quantity.NODE_MEAN, Quantity.NODE_MAX)
# Trials of one host: their times vary by 2 %, and the node's memory by 4 MiB.
SPREAD = 0.02
NODE_NOISE_BYTES = 4 * MIB
DRIFTS = (-0.01, 0.0, 0.01)
# A neighbour comes in one trial of twenty, with a size between these; most of them can be seen.
NEIGHBOURS = 0.05
NEIGHBOUR_MIB = (6, 140)
# Other work grows throughout in one run of four, by at most so much each second.
GROWING = 0.25
MOST_GROWTH_BYTES_S = 1.5 * MIB


@dataclass(frozen=True)
class Neighbour:
    """Other work on the host during one trial: the memory it takes, and when, in seconds since the trial's zero."""

    bytes: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class DrawnHost:
    """A run as it would have been on a host, with the numbers of its trials by their ids.

    neighbours: by trial. growth_bytes_s: by how much other work grows throughout. drift: by which share each trial of an experiment is
    slower than the one before.
    """

    run: object
    values: dict
    neighbours: dict
    growth_bytes_s: float
    drift: float


def measure(run):
    """Return the numbers of a run's trials by their ids."""
    return {t.record.id: measure_trial(t) for t in run.trials}


def draw_host(run, values, seed):
    """Return a run, whose trials measured `values`, on the host that a seed draws."""
    chance = np.random.default_rng(seed)
    drift = float(chance.choice(DRIFTS))
    growth = float(chance.uniform(0, MOST_GROWTH_BYTES_S)) if chance.random() < GROWING else 0.0
    neighbours = {t.record.id: draw_neighbour(t, chance) for t in run.trials if chance.random() < NEIGHBOURS}
    trials = [disturb(t, neighbours.get(t.record.id), growth) for t in run.trials]
    places = find_places(run)
    seen = {}
    for before, trial in zip(run.trials, trials, strict=True):
        name = trial.record.id
        mine = values[name] if trial is before else measure_trial(trial)
        pace = math.exp(drift * places[name] + SPREAD * chance.normal())
        seen[name] = vary(mine, pace, chance)
    return DrawnHost(replace(run, trials=trials), seen, neighbours, growth, drift)


def draw_neighbour(trial, chance):
    duration_s = trial.record.planned_duration_s
    start_s = float(chance.uniform(0, 0.8 * duration_s))
    size = math.exp(chance.uniform(*map(math.log, NEIGHBOUR_MIB))) * MIB
    return Neighbour(size, start_s, start_s + float(chance.uniform(1, duration_s)))


def disturb(trial, neighbour, growth_bytes_s):
    """Return a trial beside other work; the trial itself where there is none."""
    if neighbour is None and not growth_bytes_s:
        return trial
    taken = growth_bytes_s * (pl.col("t_s") - trial.samples["t_s"].min())
    if neighbour is not None:
        there = pl.col("t_s").is_between(neighbour.start_s, neighbour.end_s)
        taken = taken + there.cast(pl.Float64) * neighbour.bytes
    return replace(trial, samples=take_memory(trial.samples, taken))


def find_places(run):
    """Return the place of each trial among those of its experiment, in the order they were run."""
    counts, places = {}, {}
    for record in sorted((t.record for t in run.trials), key=lambda r: r.order):
        places[record.id] = counts.get(record.experiment, 0)
        counts[record.experiment] = places[record.id] + 1
    return places


def vary(values, pace, chance):
    """Return the numbers of a trial whose times are `pace` times as long, with the noise of the node's memory."""
    slower = {n: v * pace for n in TIMES if (v := values.get(n)) is not None}
    noise = {
        n: v + float(chance.normal()) * NODE_NOISE_BYTES for n in NODE if (v := values.get(n)) is not None
    }
    return values | slower | noise


def slow_down(trial, pace):
    """Return a trial whose steps, and all they cost in CPU, take `pace` times as long."""
    events = trial.events.with_columns(pl.col("wall_s", "user_s", "system_s") * pace)
    cpu = (pl.col("entity") != "node") & pl.col("metric").str.starts_with("cpu_")
    value = pl.when(cpu).then(pl.col("value") * pace).otherwise(pl.col("value"))
    return replace(trial, events=events, samples=trial.samples.with_columns(value.alias("value")))


def without_fpr(run):
    """Return a run on whose host FPR does nothing: its trials saw what those of the vm arm saw, in the same block."""
    vm = {(t.record.experiment, t.record.repeat): t for t in run.trials if t.record.arm == "vm"}
    same = [vm[t.record.experiment, t.record.repeat] if t.record.arm == "vm-fpr" else t for t in run.trials]
    pairs = zip(run.trials, same, strict=True)
    return replace(run, trials=[replace(t, samples=of.samples, events=of.events) for t, of in pairs])


def sample_at(run, interval_s, phases):
    """Return a run of fine samples as it is seen at an interval, in each block from a share of it after every trial's zero on."""
    fine_s = run.manifest.interval_s
    per_sample = round(interval_s / fine_s)
    shifts = [int(phase * per_sample) for phase in phases]
    tick = (pl.col("t_s") / fine_s).round().cast(pl.Int64) + 1000 * per_sample

    def see(trial):
        shift = shifts[trial.record.repeat]
        seen = trial.samples.filter((tick - shift) % per_sample == 0)
        return replace(trial, samples=seen, record=replace(trial.record, phase_s=shift * fine_s))

    manifest = replace(run.manifest, interval_s=interval_s)
    return replace(run, manifest=manifest, trials=[see(t) for t in run.trials])

"""Draws what VMs of a kind use over time: levels at whole seconds, many VMs at once."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import ceil, log
from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.fleet import Case, Lognormal, Replay, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.forecast.fleet import Bytes, Distribution, Quantiles, Steps, VmKind, Whole

# VMs are drawn in lots: as many as have so many changes together, for memory, and no more than these, so that a node's
# few VMs do not cost those of a fleet.
LOT_CHANGES = 400_000
MOST_IN_LOT = 256
# A page cache grows in steps of so many seconds.
CACHE_STEP_S = 60


@dataclass(frozen=True, eq=False)
class UsedMemory:
    """The memory that VMs use over time: VM v uses bytes[v, j] from second at_s[v, j] until at_s[v, j + 1].

    Both have the shape (VMs, levels); at_s ascends and begins at 0. Those that begin at the same second are the same.
    """

    at_s: Whole
    bytes: Bytes


def draw_lots(
    kind: VmKind, seed: int, replicate: int, end_s: int, lot: int = 0
) -> Iterator[dict[Case, UsedMemory]]:
    """Yield lot after lot of VMs of a kind, from the given one on and without end: what they use until end_s, by case.

    The same arguments always give the same VMs, however many of them are taken.
    """
    size = count_in_lot(kind, end_s)
    name = zlib.crc32(kind.name.encode())
    while True:
        yield draw_levels(kind, np.random.default_rng([seed, replicate, name, lot]), size, end_s)
        lot += 1


def count_in_lot(kind: VmKind, end_s: int) -> int:
    """Return how many VMs of a kind are drawn at once."""
    return max(1, min(MOST_IN_LOT, int(LOT_CHANGES / _expect_changes(kind, end_s))))


def _expect_changes(kind: VmKind, end_s: int) -> float:
    demand = kind.demand
    if isinstance(demand, Schedule):
        return 2 * demand.processes * (end_s / demand.cycle_s + 1)
    if isinstance(demand, Replay):
        return float(demand.at_s.shape[1] * (end_s / _shortest_mean_s(demand) + 1))
    return end_s / demand.correlation_s + 1


def draw_levels(kind: VmKind, rng: np.random.Generator, vms: int, end_s: int) -> dict[Case, UsedMemory]:
    """Draw what so many VMs use until end_s: in each case before what FPR's passes, or their absence, make of it."""
    if isinstance(kind.demand, Replay):
        return _draw_replay(kind.demand, rng, vms, end_s)
    if isinstance(kind.demand, Schedule):
        at_s, change = _draw_schedule(kind.demand, rng, vms, end_s)
    else:
        at_s, change = _draw_distribution(kind.demand, rng, vms, end_s)
    levels = _add_up(kind, *_add_cache(kind, at_s, change, end_s))
    return dict.fromkeys(Case, levels)


def _draw_schedule(schedule: Schedule, rng: np.random.Generator, vms: int, end_s: int) -> tuple[Whole, Bytes]:
    """Return when blocks are allocated and freed, and their bytes. Each process begins at a random moment of its cycle."""
    shape = (vms, schedule.processes)
    now_s = -schedule.cycle_s * rng.random(shape)
    times: list[Bytes] = []
    changes: list[Bytes] = []
    while not times or now_s.min() < end_s:
        more = (*shape, ceil(end_s / schedule.cycle_s) + 2)
        hold_s, idle_s = _choose(schedule.hold_s, rng, more), _choose(schedule.idle_s, rng, more)
        size = np.rint(_choose(schedule.size_bytes, rng, more))
        ends_s = now_s[..., np.newaxis] + np.cumsum(hold_s + idle_s, axis=-1)
        frees_s = ends_s - idle_s
        times.append(np.stack([frees_s - hold_s, frees_s], axis=-1).reshape(*shape, -1))
        changes.append(np.stack([size, -size], axis=-1).reshape(*shape, -1))
        now_s = ends_s[..., -1]
    at_s, change = (np.concatenate(parts, axis=-1).reshape(vms, -1) for parts in (times, changes))
    return to_seconds(at_s, end_s), change


def _choose(steps: Steps, rng: np.random.Generator, shape: tuple[int, ...]) -> Bytes:
    if steps.count == 1:
        return np.full(shape, float(steps.minimum))
    return np.asarray(steps.minimum + steps.step * rng.integers(steps.count, size=shape), dtype=np.float64)


def _draw_distribution(
    distribution: Distribution, rng: np.random.Generator, vms: int, end_s: int
) -> tuple[Whole, Bytes]:
    """Return when memory is drawn anew (times of a Poisson process, the first at 0), and by how much it changes then."""
    mean = end_s / distribution.correlation_s
    gaps = np.zeros((vms, 0))
    while not gaps.shape[1] or gaps.sum(axis=1).min() < mean:
        gaps = np.concatenate([gaps, rng.standard_exponential((vms, ceil(mean + 6 * mean**0.5) + 1))], axis=1)
    at_s = distribution.correlation_s * np.cumsum(gaps, axis=1)
    at_s = np.concatenate([np.zeros((vms, 1)), at_s], axis=1)
    levels = np.rint(_draw_values(distribution.values, rng, at_s.shape))
    return to_seconds(at_s, end_s), np.diff(levels, axis=1, prepend=0.0)


def _draw_values(values: Lognormal | Quantiles, rng: np.random.Generator, shape: tuple[int, ...]) -> Bytes:
    if isinstance(values, Lognormal):
        return rng.lognormal(log(values.median_bytes), values.sigma, shape)
    probabilities = np.linspace(0.0, 1.0, len(values.bytes))
    return np.asarray(np.interp(rng.random(shape), probabilities, np.array(values.bytes)))


def _add_cache(kind: VmKind, at_s: Whole, change: Bytes, end_s: int) -> tuple[Whole, Bytes]:
    """Add the steps in which a page cache grows to the changes."""
    if not kind.cache_bytes or kind.cache_bytes_per_s is None:
        return at_s, change
    last = min(end_s // CACHE_STEP_S, ceil(kind.cache_bytes / (kind.cache_bytes_per_s * CACHE_STEP_S)))
    times = CACHE_STEP_S * np.arange(1, last + 1)
    grown = np.rint(np.minimum(kind.cache_bytes, kind.cache_bytes_per_s * times))
    shape = (len(at_s), last)
    steps = np.broadcast_to(np.diff(grown, prepend=0.0), shape)
    return (
        np.concatenate([at_s, np.broadcast_to(times, shape)], axis=1),
        np.concatenate([change, steps], axis=1),
    )


def _add_up(kind: VmKind, at_s: Whole, change: Bytes) -> UsedMemory:
    """Return the levels that changes in any order lead to, base included; a guest uses no more than its memory."""
    if (np.diff(at_s, axis=1) < 0).any():
        order = np.argsort(at_s, axis=1, kind="stable")
        at_s, change = np.take_along_axis(at_s, order, axis=1), np.take_along_axis(change, order, axis=1)
    used = np.minimum(kind.memory_bytes, kind.steady_bytes + np.cumsum(change, axis=1))
    start = np.zeros((len(at_s), 1))
    at_s = np.concatenate([start.astype(at_s.dtype), at_s], axis=1)
    return settle(at_s, np.concatenate([start + min(kind.steady_bytes, kind.memory_bytes), used], axis=1))


def _draw_replay(replay: Replay, rng: np.random.Generator, vms: int, end_s: int) -> dict[Case, UsedMemory]:
    """Return the levels of pieces one after the other, each VM's of one track, beginning within the first of them."""
    first, count = replay.tracks[rng.integers(len(replay.tracks), size=vms)].T[..., np.newaxis]
    chosen = np.zeros((vms, 0), np.int64)
    while not chosen.shape[1] or replay.lengths_s[chosen[:, 1:]].sum(axis=1).min() < end_s:
        shape = (vms, ceil(end_s / _shortest_mean_s(replay)) + 2)
        chosen = np.concatenate([chosen, first + (count * rng.random(shape)).astype(np.int64)], axis=1)
    lengths_s = replay.lengths_s[chosen]
    begun_s = (lengths_s[:, :1] * rng.random((vms, 1))).astype(np.int64)
    starts_s = np.cumsum(lengths_s, axis=1) - lengths_s - begun_s
    at_s = np.clip((starts_s[..., np.newaxis] + replay.at_s[chosen]).reshape(vms, -1), 0, end_s)
    return {case: settle(at_s, b[chosen].reshape(vms, -1)) for case, b in replay.levels.items()}


def _shortest_mean_s(replay: Replay) -> float:
    """Return the length of a piece of the track whose pieces are shortest, in the mean."""
    first, count = replay.tracks.T
    return float((np.add.reduceat(replay.lengths_s, first) / count).min())


def to_seconds(at_s: Bytes, end_s: int) -> Whole:
    """Return times as whole seconds within the time that is looked at."""
    return np.clip(np.rint(at_s), 0, end_s).astype(np.int64)


def settle(at_s: Whole, used: Bytes) -> UsedMemory:
    """Return levels of which those that begin at the same second are the same: the last of them, which stays."""
    width = at_s.shape[1]
    stays = np.concatenate([np.diff(at_s, axis=1) > 0, np.ones((len(at_s), 1), bool)], axis=1)
    last = np.where(stays, np.arange(width), width)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    return UsedMemory(at_s, np.take_along_axis(used, last, axis=1))

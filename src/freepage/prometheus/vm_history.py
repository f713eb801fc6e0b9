"""A history that has been fetched, read VM by VM: one series of each, through migrations and restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from freepage.prometheus.exporters import METRICS, Vm
from freepage.prometheus.pieces import read_piece
from freepage.prometheus.series import are_of_several_clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from freepage.prometheus.exporters import Array, Indices
    from freepage.prometheus.history_plan import HistoryPlan
    from freepage.prometheus.pieces import PieceData

    Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class VmHistory:
    """One VM at the times of a plan: values by METRICS, arrays of shape (n,), NaN where there is no number.

    t_s: seconds since the begin of the history. nodes: where it was, one after the other. moved, started: whether it came
    to another node, or its guest booted, since the last time at which that was known. shared: several clusters have a VM of
    this name, so that these numbers are not of one.
    """

    vm: Vm
    t_s: Array
    values: dict[str, Array]
    nodes: tuple[str, ...]
    moved: Bools
    started: Bools
    shared: bool


def read_histories(folder: Path, plan: HistoryPlan, warnings: list[str]) -> Iterator[VmHistory]:
    """Yield the VMs of a history in their order, with no more of it in memory than what is asked for of some at a time.

    What the server said beside its answers is appended to `warnings`.
    """
    t_s = np.arange(plan.count, dtype=np.float64) * plan.step_s
    for pieces in plan.batches():
        data = [read_piece(folder, piece) for piece in pieces]
        said = dict.fromkeys(word for each in data for word in each.warnings)
        warnings += [word for word in said if word not in warnings]
        for n, vm in enumerate(pieces[0].vms):
            yield _join(vm, t_s, data, n)


def _join(vm: Vm, t_s: Array, data: Sequence[PieceData], n: int) -> VmHistory:
    """Join the pieces of one VM, which is number `n` in each."""
    values = np.concatenate([each.values[n] for each in data], axis=1)
    by_metric = dict(zip(METRICS, values, strict=True))
    seen: list[dict[str, str]] = []
    places = np.concatenate([_number_places(each, n, seen) for each in data])
    moved = find_changes(places, places >= 0, np.not_equal)
    stays = [*np.flatnonzero(places >= 0)[:1], *np.flatnonzero(moved)]
    nodes = tuple(seen[places[at]]["node"] for at in stays)
    faults = by_metric["pgminfault"]
    started = find_changes(faults, ~np.isnan(faults), np.less)
    shared = any(each.shared[n] for each in data) or are_of_several_clusters(seen)
    return VmHistory(vm, t_s, by_metric, nodes, moved, started, shared)


def _number_places(data: PieceData, n: int, seen: list[dict[str, str]]) -> Indices:
    """Return where a VM was as numbers of `seen`, to which new places are appended; -1 where nothing is known."""
    places = data.places[n]
    for number in np.unique(places[places >= 0]):
        if data.labels[number] not in seen:
            seen.append(data.labels[number])
    numbers = [seen.index(place) if place in seen else -1 for place in data.labels]
    numbered: Indices = np.array([*numbers, -1])[places]
    return numbered


def find_changes(values: NDArray[Any], known: Bools, differ: Callable[..., Bools]) -> Bools:
    """Return where `differ(value, before)` is true of a known value and the known one before it; False for the first."""
    at = np.where(known, np.arange(len(known)), -1)
    before = np.concatenate(([-1], np.maximum.accumulate(at)[:-1]))
    return known & (before >= 0) & differ(values, values[before])

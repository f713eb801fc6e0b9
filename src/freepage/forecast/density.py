"""Finds how many more VMs of each kind fit a node at a risk: with FPR, without, and ideally; each by itself, and all at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import islice, repeat
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.counting import LEAST_STOP, Tally, find_fit, join_tallies
from freepage.forecast.demand import count_in_lot, draw_lots
from freepage.forecast.fleet import Case, FleetError
from freepage.forecast.holding import find_holding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from freepage.forecast.counting import Fit, RiskCurve
    from freepage.forecast.fleet import Bytes, Fleet, Node, VmKind, Window
    from freepage.forecast.holding import Changes

    # Bytes held for one VM at each second, by case.
    Vm = Callable[[Case], Bytes]

# No more VMs of a kind are tried on one node.
MOST_VMS = 10_000
USUAL_RISK = 0.001
USUAL_REPLICATES = 8


class Together(StrEnum):
    """Whether VMs use memory each by itself, or all of a kind the very same: the worst case of VMs whose peaks are alike."""

    INDEPENDENT = "independent"
    SYNCHRONISED = "synchronised"


Answer = tuple[Case, Together]
ANSWERS: tuple[Answer, ...] = tuple((case, together) for together in Together for case in Case)


@dataclass(frozen=True, eq=False)
class KindDensity:
    """The VMs of one kind that fit one node beside those there, by case and by whether they act together; unknown cases are not there.

    curves: what the fits come from. admitted: how many the scheduler admits; None where no overcommit is told.
    needed_overcommit: with which it admits as many as fit with FPR (1.5: 150 %); None where no overcommit does.
    """

    node: Node
    kind: VmKind
    fits: Mapping[Answer, Fit]
    curves: Mapping[Answer, RiskCurve]
    admitted: int | None
    needed_overcommit: float | None


@dataclass(frozen=True, eq=False)
class Density:
    """The density of a fleet; risk: the share of seconds that may be over a node's memory. replicates: seeds it was drawn with."""

    fleet: Fleet
    risk: float
    replicates: int
    kinds: tuple[KindDensity, ...]


def find_density(fleet: Fleet, risk: float = USUAL_RISK, replicates: int = USUAL_REPLICATES) -> Density:
    """Return how many more VMs of each kind fit each node of a fleet; FleetError where nothing is known of a kind."""
    for kind in fleet.kinds:
        if not kind.cases:
            raise FleetError(
                f"{kind.name}: neither what its VMs use nor what the host holds for them is known"
            )
    beside = [sum_fleet(fleet, replicate) for replicate in range(replicates)]
    every = [(node, kind) for node in fleet.nodes for kind in fleet.kinds]
    return Density(fleet, risk, replicates, tuple(_find_kind(fleet, *each, risk, beside) for each in every))


def sum_fleet(fleet: Fleet, replicate: int) -> dict[Answer, Bytes]:
    """Return the bytes held for all VMs that are on a node already, at each second, in the cases known of all of them."""
    there = [kind for kind in fleet.kinds if kind.count]
    cases = [case for case in Case if all(case in kind.cases for kind in there)]
    seconds = fleet.window.end_s - fleet.window.start_s
    held = {(case, together): np.zeros(seconds) for case, together in ANSWERS if case in cases}
    for kind in there:
        for case, vm in _first(fleet, kind, replicate, cases).items():
            held[case, Together.SYNCHRONISED] += kind.count * vm
        for lot in _sum_lots(fleet, kind, replicate, cases):
            for case, vms in lot.items():
                held[case, Together.INDEPENDENT] += vms
    return held


def _sum_lots(fleet: Fleet, kind: VmKind, replicate: int, cases: list[Case]) -> Iterator[dict[Case, Bytes]]:
    """Yield the bytes held for the VMs of a kind that are there already, lot by lot."""
    left, window = kind.count, fleet.window
    lots = draw_lots(kind, fleet.seed, replicate, window.end_s)
    while left > 0:
        levels, taken = next(lots), min(left, count_in_lot(kind, window.end_s))
        yield {case: find_holding(kind, levels, case).of(0, taken, window) for case in cases}
        left -= taken


def _find_kind(
    fleet: Fleet, node: Node, kind: VmKind, risk: float, beside: list[dict[Answer, Bytes]]
) -> KindDensity:
    stop = min(1.0, max(LEAST_STOP, 2 * risk * len(beside)))
    counted = [_count(fleet, node, kind, n, held, stop) for n, held in enumerate(beside)]
    curves = {answer: join_tallies([tallies[answer] for tallies in counted]) for answer in counted[0]}
    admitted = count_admitted(fleet, node, kind)
    fits = {answer: find_fit(curve, risk, admitted) for answer, curve in curves.items()}
    wanted = fits.get((Case.WITH, Together.INDEPENDENT))
    needed = None if wanted is None else find_overcommit(fleet, node, kind, wanted.vms)
    return KindDensity(node, kind, fits, curves, admitted, needed)


def _count(
    fleet: Fleet, node: Node, kind: VmKind, replicate: int, beside: Mapping[Answer, Bytes], stop: float
) -> dict[Answer, Tally]:
    """Add VMs of a kind to those that are there until no more are of interest, in every case that is known."""
    tallies = {answer: Tally(node, held, stop) for answer, held in beside.items() if answer[0] in kind.cases}
    cases = list(dict.fromkeys(case for case, _ in tallies))
    first = _first(fleet, kind, replicate, cases)
    more = _iterate(fleet, kind, replicate, cases, kind.count)
    for together, vms in ((Together.INDEPENDENT, more), (Together.SYNCHRONISED, repeat(first.__getitem__))):
        _fill({case: tallies[case, together] for case in cases}, vms)
    return tallies


def _fill(tallies: Mapping[Case, Tally], vms: Iterable[Vm]) -> None:
    for vm in islice(vms, MOST_VMS):
        unfilled = [(case, tally) for case, tally in tallies.items() if not tally.is_full]
        if not unfilled:
            return
        for case, tally in unfilled:
            tally.add(vm(case))


def _first(fleet: Fleet, kind: VmKind, replicate: int, cases: list[Case]) -> dict[Case, Bytes]:
    """Return the VM that all others of its kind follow where they act together."""
    vm = next(_iterate(fleet, kind, replicate, cases))
    return {case: vm(case) for case in cases}


def _iterate(fleet: Fleet, kind: VmKind, replicate: int, cases: list[Case], first: int = 0) -> Iterator[Vm]:
    """Yield one VM of a kind after the other, from that of a number on and without end."""
    size = count_in_lot(kind, fleet.window.end_s)
    lot, begin = divmod(first, size)
    for levels in draw_lots(kind, fleet.seed, replicate, fleet.window.end_s, lot):
        held = {case: find_holding(kind, levels, case) for case in cases}
        yield from (partial(_see, held, n, fleet.window) for n in range(begin, size))
        begin = 0


def _see(held: Mapping[Case, Changes], vm: int, window: Window, case: Case) -> Bytes:
    return held[case].of(vm, vm + 1, window)


def count_admitted(fleet: Fleet, node: Node, kind: VmKind) -> int | None:
    """Return how many more VMs of a kind the scheduler admits, by what their pods request; None without an overcommit."""
    if node.overcommit is None:
        return None
    requested = sum(k.count * _request_bytes(k, node.overcommit) for k in fleet.kinds)
    return max(0, floor((node.usable_bytes - requested) / _request_bytes(kind, node.overcommit)))


def _request_bytes(kind: VmKind, overcommit: float) -> float:
    """Return what a VM's pod requests, as KubeVirt computes it: guest memory / overcommit + overhead."""
    return kind.memory_bytes / overcommit + kind.overhead_bytes


def find_overcommit(fleet: Fleet, node: Node, kind: VmKind, vms: int) -> float | None:
    """Return the overcommit with which the scheduler admits so many VMs more; None where their overhead alone is too much."""
    counts = [(k, k.count + (vms if k is kind else 0)) for k in fleet.kinds]
    guests = sum(count * k.memory_bytes for k, count in counts)
    left = node.usable_bytes - sum(count * k.overhead_bytes for k, count in counts)
    return guests / left if left > 0 else None

"""Seconds in which a node's VMs hold more than it has, for each number of VMs; and how many fit, with the interval of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.stats import CONFIDENCE, LEAST_TRIALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.forecast.fleet import Bytes, Node, Whole

# Time is taken apart into so many blocks, which intervals are drawn from (with the replicates).
BLOCKS = 12
# VMs are added until at least this share of the seconds is over the node's memory: beyond, nothing is asked.
LEAST_STOP = 0.05
RESAMPLES = 1000


class Tally:
    """One node in one replicate, to which VMs are added one after the other.

    shares: for each number of VMs added, in each block of time the shares of seconds in which more is held than the
    node's limit (its memory and swap), and than its memory alone.
    """

    def __init__(self, node: Node, held: Bytes, stop: float) -> None:
        self._limits = (node.limit_bytes, node.usable_bytes)
        self._held = held.copy()
        self._stop = stop
        self._edges = np.linspace(0, len(held), min(BLOCKS, len(held)) + 1).astype(np.int64)
        self.shares = [self._measure()]

    def add(self, series: Bytes) -> None:
        """Add one VM, by what is held for it at each second."""
        self._held += series
        self.shares.append(self._measure())

    @property
    def is_full(self) -> bool:
        """Return whether so much of the time is over the limit that no more VMs are of interest."""
        return bool(self.shares[-1][0].mean() >= self._stop)

    def _measure(self) -> Bytes:
        return np.stack([self._measure_limit(limit) for limit in self._limits])

    def _measure_limit(self, limit: float) -> Bytes:
        over = np.add.reduceat((self._held > limit).view(np.int8), self._edges[:-1], dtype=np.int64)
        return np.asarray(over / np.diff(self._edges))


@dataclass(frozen=True, eq=False)
class RiskCurve:
    """The shares of seconds over a node's limit, and over its memory alone, by number of VMs added (from 0).

    Both of shape (numbers, replicates x blocks). is_complete: more VMs than the last number would be beyond any risk
    that is of interest; otherwise nobody counted on.
    """

    over: Bytes
    swapping: Bytes
    replicates: int
    is_complete: bool

    @property
    def risk(self) -> Bytes:
        """Return the mean share over the limit by number of VMs."""
        return np.asarray(self.over.mean(axis=1))


def join_tallies(tallies: Sequence[Tally]) -> RiskCurve:
    """Return one curve of all replicates; where one was full earlier, it stays as it was then."""
    width = max(len(t.shares) for t in tallies)
    every = [np.stack(t.shares + t.shares[-1:] * (width - len(t.shares))) for t in tallies]
    over, swapping = (np.concatenate([shares[:, n] for shares in every], axis=1) for n in (0, 1))
    return RiskCurve(over, swapping, len(tallies), all(t.is_full for t in tallies))


@dataclass(frozen=True)
class Fit:
    """The VMs that fit at a risk, with their 95 % interval over replicates and blocks of time, None with fewer than three replicates.

    risk, swapping: the share of seconds over the node's limit, and over its memory alone, with so many VMs. at_least: as
    many fit as were tried, and perhaps more. is_over: even without any of them the risk is exceeded.
    """

    vms: int
    low: int | None
    high: int | None
    risk: float
    swapping: float
    at_least: bool = False
    is_over: bool = False


def find_fit(curve: RiskCurve, risk: float, admitted: int | None = None) -> Fit:
    """Return the most VMs with which the mean share of seconds over the node's limit is no more than the risk.

    admitted: no more than these are counted, however many would fit.
    """
    most = _count_fitting(curve.risk, risk)
    last = len(curve.over) - 1 if admitted is None else min(admitted, len(curve.over) - 1)
    vms = min(max(0, most), last)
    low, high = _find_interval(curve, risk)
    return Fit(
        vms,
        None if low is None else min(low, last),
        None if high is None else min(high, last),
        float(curve.risk[vms]),
        float(curve.swapping[vms].mean()),
        at_least=not curve.is_complete and admitted is None and most == len(curve.over) - 1,
        is_over=most < 0,
    )


def _count_fitting(risks: Bytes, risk: float) -> int:
    """Return the last number whose risk is no more than wanted; risks never fall. -1: not even that of no VM."""
    return int(np.searchsorted(risks, risk + 1e-12, side="right")) - 1


def _find_interval(curve: RiskCurve, risk: float) -> tuple[int | None, int | None]:
    """Return the interval by a bootstrap: replicates drawn anew, and in each of them its blocks of time."""
    if curve.replicates < LEAST_TRIALS:
        return None, None
    weights = draw_weights(curve.replicates, curve.over.shape[1] // curve.replicates)
    found = [max(0, _count_fitting(risks, risk)) for risks in (curve.over @ weights).T]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail], method="inverted_cdf")
    return int(low), int(high)


def draw_weights(replicates: int, blocks: int) -> Bytes:
    """Return the weight of each block of each replicate in every resample, shape (replicates x blocks, resamples)."""
    rng = np.random.default_rng(replicates)
    drawn = rng.integers(replicates, size=(RESAMPLES, replicates, 1))
    cells: Whole = (drawn * blocks + rng.integers(blocks, size=(RESAMPLES, replicates, blocks))).reshape(
        RESAMPLES, -1
    )
    size = replicates * blocks
    offsets = size * np.arange(RESAMPLES)[:, np.newaxis]
    counts = np.bincount((cells + offsets).ravel(), minlength=size * RESAMPLES).reshape(RESAMPLES, size)
    return np.asarray(counts.T / size)

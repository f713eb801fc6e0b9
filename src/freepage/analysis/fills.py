"""Allocations of one trial as its host sees them: how long its memory grows while an instance takes what it did not hold."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import polars as pl

from freepage.analysis.estimates import Quantity
from freepage.analysis.releases import LEAST_SEEN, find_span
from freepage.analysis.series import clock_uncertainty_s, instances_of, resident_series
from freepage.records import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freepage.analysis.estimates import TrialValues
    from freepage.store import TrialData

# The share of the growth that counts as all of it: what comes last is lost in the noise of resident memory.
GROWN = 0.9


@dataclass(frozen=True)
class Fill:
    """One stretch in which an instance that held nothing allocated, until it first freed; times since the trial's zero.

    allocated_s: when the last of its allocations ended. bytes: all of them together.
    """

    instance: str
    iteration: int
    start_s: float
    allocated_s: float
    free_s: float
    bytes: float


def find_fills(trial: TrialData) -> Iterator[Fill]:
    """Yield every stretch from an instance's first allocation to its next free, where all allocations had ended by then."""
    rows = trial.events.filter(pl.col("ok") & (pl.col("action") != Action.RUN)).sort("t_s")
    for instance in instances_of(trial):
        mine = rows.filter(pl.col("instance") == instance)
        held = 0.0
        taken: list[tuple[float, float, float, int]] = []
        for action, *step in mine.select("action", "t_s", "end_s", "bytes", "iteration").iter_rows():
            start_s, end_s, size, iteration = step
            if action == Action.ALLOCATE:
                taken.append((start_s, end_s, size, iteration))
                held += size
                continue
            if taken and sum(size for _, _, size, _ in taken) == held:
                yield Fill(instance, taken[0][3], taken[0][0], max(t[1] for t in taken), start_s, held)
            taken = []
            held -= size


def measure_fills(trial: TrialData) -> TrialValues:
    """Return how long the host's memory grew, the first time and later; None where blocks differ in size, or nothing grew.

    A VM that has kept what it freed takes nothing of the host when it allocates again.
    """
    sizes = trial.events.filter((pl.col("action") == Action.ALLOCATE) & pl.col("ok"))["bytes"]
    spans = [(f.iteration, span) for f in find_fills(trial) if (span := _find_growth(trial, f)) is not None]
    if sizes.n_unique() != 1:
        spans = []
    first, rest = ([fmean(span) for n, span in spans if (n > 0) is later] for later in (False, True))
    widths = [end_s - start_s for _, (start_s, end_s) in spans]
    return {
        Quantity.HOST_ALLOC_FIRST: _mean(first),
        Quantity.HOST_ALLOC_REST: _mean(rest),
        Quantity.HOST_ALLOC_REST_SD: stdev(rest) if len(rest) > 1 else None,
        Quantity.HOST_ALLOC_RESOLUTION: _mean(widths),
    }


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _find_growth(trial: TrialData, fill: Fill) -> tuple[float, float] | None:
    """Return the span in which 90 % of a stretch's growth was there; None where the host's memory hardly grew, or was not seen."""
    margin_s = clock_uncertainty_s(trial, fill.instance)
    resident = resident_series(trial, fill.instance).known()
    before = resident.last_before(fill.start_s - margin_s)
    full = resident.last_between(fill.allocated_s + margin_s, fill.free_s - margin_s)
    if before is None or full is None or full - before < LEAST_SEEN * fill.bytes:
        return None
    during = resident.between(fill.start_s + margin_s, fill.free_s - margin_s)
    grown = (during.values - before) / (full - before)
    return find_span(
        list(zip((during.t_s - fill.start_s).tolist(), grown.tolist(), strict=True)), GROWN, margin_s
    )

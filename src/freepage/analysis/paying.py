"""Where FPR pays: a map measured, line by line. docs/map.md defines each number."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from freepage.analysis.break_even import estimate_break_even, find_prices, find_spans
from freepage.analysis.map_points import measure_points
from freepage.analysis.stats import estimate_mean
from freepage.fpr.mechanics import find_common_passes
from freepage.fpr.paying import saved_s
from freepage.records import Arm
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.analysis.estimates import TrialValues
    from freepage.analysis.experiments import Experiments
    from freepage.analysis.map_points import MeasuredPoint
    from freepage.analysis.stats import Estimate
    from freepage.fpr.mechanics import Passes
    from freepage.store import Run


@dataclass(frozen=True)
class PayingPoint:
    """One point: how long a block is left free, and what that brought, over pairs of trials.

    saved: of the block's GiB x s, held and free, what FPR saves. saved_of_idle: of those in which it is free, all of which a
    pod saves; predicted_of_idle: the same by the kernel's pace, None where the guests' passes are not known. wait: seconds by
    which allocating the block again takes longer; wait_per_gib, cpu_per_gib: that, and the CPU that FPR adds, in s/GiB.
    gain: GiB x s saved in one idle time less those waited for, per GiB, in seconds.
    """

    experiment: str
    idle_s: float
    saved: Estimate | None
    saved_of_idle: Estimate | None
    predicted_of_idle: float | None
    wait: Estimate | None
    wait_per_gib: Estimate | None
    cpu_per_gib: Estimate | None
    gain: Estimate | None


@dataclass(frozen=True)
class PayingLine:
    """The points of one block that is held equally long, in the order of their idle times.

    block_bytes: of one VM. held_s: from the start of an allocation to the free. price: seconds by which allocating a GiB
    that had left the host takes longer, over all points. break_even: the idle time from which on FPR pays; None where that is
    beyond the longest one. n: the pairs of trials that tell; without any nothing is known. first_pass_s: before it nothing comes back; None
    where the guests' passes are not known.
    """

    block_bytes: float
    held_s: float
    points: tuple[PayingPoint, ...]
    price: Estimate | None
    break_even: Estimate | None
    n: int
    first_pass_s: float | None

    @property
    def is_free(self) -> bool:
        """Return whether no price is to be seen: its interval does not lie above 0, and every pair pays once a pass has come.

        A wide interval alone says nothing: more pairs of trials might show a price.
        """
        if self.price is None or self.price.low is None or self.price.low > 0:
            return False
        reached_s = None if self.break_even is None else self.break_even.high
        after_s = [p.idle_s for p in self.points if p.idle_s > (self.first_pass_s or 0.0)]
        return reached_s is not None and bool(after_s) and reached_s <= after_s[0]


@dataclass(frozen=True)
class PayingMap:
    """A map measured: its lines by block, then by how long it is held. passes: those of the guests; None where not known."""

    lines: tuple[PayingLine, ...]
    passes: Passes | None


def build_paying(run: Run, values: Mapping[str, TrialValues], experiments: Experiments) -> PayingMap | None:
    """Return what a run's map shows, `values`: trials' numbers by their id; None where no point has a pair of trials."""
    points = sorted(measure_points(run, values, experiments), key=lambda p: (*_line_of(p), p.shape.idle_s))
    if not points:
        return None
    passes = _find_passes(run, points)
    lines = (list(line) for _, line in groupby(points, key=_line_of))
    return PayingMap(tuple(_build_line(line, passes) for line in lines), passes)


def _line_of(point: MeasuredPoint) -> tuple[float, float]:
    return point.shape.block_bytes, point.shape.held_s


def _find_passes(run: Run, points: Sequence[MeasuredPoint]) -> Passes | None:
    trials = [t for p in points for t in run.ok_trials(p.experiment, Arm.VM_FPR)]
    architecture = run.manifest.host.get("architecture")
    return find_common_passes(
        (e for t in trials for e in t.record.evidence), None if architecture is None else str(architecture)
    )


def _build_line(line: Sequence[MeasuredPoint], passes: Passes | None) -> PayingLine:
    return PayingLine(
        *_line_of(line[0]),
        tuple(_build_point(point, passes) for point in line),
        estimate_mean(list(find_prices(line, passes).values()), "s/GiB"),
        estimate_break_even(line, passes),
        len(find_spans(line, passes)),
        None if passes is None else passes.delay_s,
    )


def _build_point(point: MeasuredPoint, passes: Passes | None) -> PayingPoint:
    shape = point.shape
    saved = [gib_s / shape.total_gib for gib_s in point.saved_gib_s.values()]
    waited = list(point.wait_s.values())
    predicted_s = None if passes is None else saved_s(shape.idle_s, shape.block_bytes, passes)
    return PayingPoint(
        point.experiment,
        shape.idle_s,
        estimate_mean([s / shape.duration_s for s in saved], "fraction"),
        estimate_mean([s / shape.idle_total_s for s in saved], "fraction"),
        None if predicted_s is None else predicted_s / shape.idle_s,
        estimate_mean(waited, "s"),
        estimate_mean([s * GIB / shape.block_bytes for s in waited], "s/GiB"),
        point.cpu_per_gib,
        estimate_mean(list(point.gain_s.values()), "s"),
    )

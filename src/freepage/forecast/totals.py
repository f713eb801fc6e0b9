"""Forecasts summed up over time and over VMs: GiB x minutes now and with FPR, of what is known alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from freepage.analysis.arithmetic import add_all, divide, subtract
from freepage.forecast.curve import Curve, add_curves, draw_curve
from freepage.forecast.timeline import highest_so_far
from freepage.forecast.trace import LikelyRange
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from freepage.forecast.trace import Array
    from freepage.forecast.vm import VmForecast

HOUR_S = 3600.0


@dataclass(frozen=True)
class Held:
    """Memory that the host holds now, and what it would hold with FPR, in one unit; None where it is not known."""

    now: float | None
    with_fpr: LikelyRange

    @property
    def saved_fraction(self) -> LikelyRange:
        """The share by which it would be less with FPR, of now."""
        parts = (self.with_fpr.high, self.with_fpr.likely, self.with_fpr.low)
        return LikelyRange(*(divide(subtract(self.now, part), self.now) for part in parts))


@dataclass(frozen=True)
class VmSummary:
    """One VM's forecast in numbers.

    span_s: from its first sample to its last; known_s: the part of it in which both, now and with FPR, are known, over which
    gib_min (GiB x minutes) and means are taken. at_end: bytes at the last such sample. stranded_bytes, cached_bytes: means;
    dropping the page cache would add cached_bytes at most. reused_gib_per_hour: what would be taken again after it had been
    given back. notes: what was found in the trace.
    """

    name: str
    namespace: str
    node: str
    fpr_on: bool | None
    span_s: float
    known_s: float
    gib_min: Held
    at_end: Held
    stranded_bytes: float | None
    cached_bytes: float | None
    reused_gib_per_hour: float | None
    curve: Curve
    notes: tuple[str, ...]
    assumptions: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether anything is forecast."""
        return self.at_end.now is not None


@dataclass(frozen=True)
class Total:
    """All VMs that have a forecast and not FPR already, together; vms: how many those are. Other fields as of one VM."""

    vms: int
    span_s: float
    known_s: float
    gib_min: Held
    at_end: Held
    stranded_bytes: float | None
    cached_bytes: float | None
    reused_gib_per_hour: float | None
    curve: Curve


def gib_hours(t_s: Array, held_bytes: Array, gaps: Sequence[int] = ()) -> float | None:
    """Return GiB x hours by trapezoids between known neighbours, gaps left out; None where nothing is known."""
    spans = known_spans(t_s, held_bytes, gaps)
    if not spans.any():
        return None
    between = (held_bytes[1:] + held_bytes[:-1])[spans > 0] / 2
    return float(between @ spans[spans > 0]) / GIB / HOUR_S


def known_spans(t_s: Array, values: Array, gaps: Sequence[int] = ()) -> Array:
    """Return the seconds from each sample to the next, 0 where nothing is known between them."""
    spans = np.diff(t_s)
    spans[np.isnan(values[1:] + values[:-1])] = 0.0
    spans[list(gaps)] = 0.0
    return spans


def summarise(forecast: VmForecast) -> VmSummary:
    """Return one VM's forecast in numbers; its arrays are not kept."""
    trace, parts = forecast.trace, _known_parts(forecast)
    return VmSummary(
        trace.name,
        trace.namespace,
        trace.node,
        trace.fpr_on,
        float(trace.t_s[-1] - trace.t_s[0]) if len(trace) else 0.0,
        float(known_spans(trace.t_s, parts.low, trace.gaps).sum()),
        _hold(parts, lambda values: _times(gib_hours(trace.t_s, values, trace.gaps), 60.0)),
        _hold(parts, _last),
        _mean(forecast, forecast.stranded_bytes, parts),
        _mean(forecast, np.minimum(trace.cached_bytes, parts.now), parts),
        reused_gib_per_hour(trace.t_s, parts.likely, trace.gaps),
        draw_curve(trace.t_s, (parts.now, parts.low, parts.likely, parts.high), trace.gaps),
        trace.notes,
        forecast.assumptions,
        forecast.unknown,
    )


@dataclass(frozen=True)
class _Parts:
    """Bytes now and with FPR, each NaN wherever one of them is not known; likely is all NaN where it is not known of all."""

    now: Array
    low: Array
    likely: Array
    high: Array


def _known_parts(forecast: VmForecast) -> _Parts:
    now, low, high = forecast.trace.resident_bytes, forecast.low_bytes, forecast.high_bytes
    known = ~np.isnan(now + low + high)
    likely = np.where(known, forecast.likely_bytes, np.nan)
    if np.isnan(likely[known]).any():
        likely = np.full(len(now), np.nan)
    return _Parts(*(np.where(known, values, np.nan) for values in (now, low, likely, high)))


def _hold(parts: _Parts, number: Callable[[Array], float | None]) -> Held:
    return Held(number(parts.now), LikelyRange(number(parts.low), number(parts.likely), number(parts.high)))


def _last(values: Array) -> float | None:
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else None


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _mean(forecast: VmForecast, values: Array, parts: _Parts) -> float | None:
    """Return the mean over time where a forecast is known; that of the samples where there is no time between them."""
    trace, shown = forecast.trace, np.where(np.isnan(parts.now), np.nan, values)
    known_s = float(known_spans(trace.t_s, shown, trace.gaps).sum())
    whole = gib_hours(trace.t_s, shown, trace.gaps)
    return _last(shown) if whole is None else whole * GIB * HOUR_S / known_s


def reused_gib_per_hour(t_s: Array, held_bytes: Array, gaps: Sequence[int] = ()) -> float | None:
    """Return the GiB an hour by which a footprint rises again to where it was before; None where no hour is known.

    What comes and goes between two samples is not seen.
    """
    spans = known_spans(t_s, held_bytes, gaps)
    if not spans.any():
        return None
    highest = highest_so_far(held_bytes, gaps)[:-1]
    again = np.clip(np.minimum(held_bytes[1:], highest) - held_bytes[:-1], 0.0, None)
    return float(again[spans > 0].sum()) / GIB / (float(spans.sum()) / HOUR_S)


def add_up(vms: Sequence[VmSummary]) -> Total:
    """Return what all VMs together hold: of those that have a forecast, and not FPR already."""
    counted = [vm for vm in vms if vm.is_known and not vm.fpr_on]
    return Total(
        len(counted),
        sum(vm.span_s for vm in counted),
        sum(vm.known_s for vm in counted),
        _add_held([vm.gib_min for vm in counted]),
        _add_held([vm.at_end for vm in counted]),
        add_all(vm.stranded_bytes for vm in counted),
        add_all(vm.cached_bytes for vm in counted),
        add_all(vm.reused_gib_per_hour for vm in counted),
        add_curves([vm.curve for vm in counted]),
    )


def _add_held(parts: Sequence[Held]) -> Held:
    """Return the sum; what is not known of one is not known of all."""
    now = add_all(part.now for part in parts)
    ends = (add_all(getattr(part.with_fpr, end) for part in parts) for end in ("low", "likely", "high"))
    return Held(now, LikelyRange(*ends))

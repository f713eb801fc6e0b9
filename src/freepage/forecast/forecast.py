"""A whole forecast: every VM in numbers, all of them together, what it rests on and what could not be told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from freepage.forecast.price import price_per_hour
from freepage.forecast.totals import add_up, summarise
from freepage.forecast.vm import forecast_vm
from freepage.fpr.footprint import OVERHEAD_RANGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from freepage.forecast.price import Price
    from freepage.forecast.totals import Held, Total, VmSummary
    from freepage.forecast.trace import LikelyRange, VmTrace

FORECAST_SCHEMA = 1
NO_PRICE = "What FPR would cost: no run was named that measured it on such hardware (--price RUN)."

Overhead = tuple[float, float, float]
# A VM with what its VMM needs beside it (bytes: least, likely, most); None for what is published.
Source = tuple["VmTrace", Overhead | None]


@dataclass(frozen=True)
class Forecast:
    """The forecast of some VMs; total: of those that have not FPR already and of which something is known.

    source_assumptions, source_unknown: what forecasts from the source itself rest on, and what it could not tell.
    """

    vms: tuple[VmSummary, ...]
    total: Total
    price: Price | None = None
    source_assumptions: tuple[str, ...] = ()
    source_unknown: tuple[str, ...] = ()

    @property
    def shown(self) -> list[VmSummary]:
        """The VMs in the total, those that would give most back first."""
        known = [vm for vm in self.vms if vm.is_known and not vm.fpr_on]
        return sorted(known, key=lambda vm: -_saved(vm))

    @property
    def already_on(self) -> list[VmSummary]:
        """The VMs seen with FPR on: their forecast is of themselves."""
        return [vm for vm in self.vms if vm.is_known and vm.fpr_on]

    @property
    def left_out(self) -> list[VmSummary]:
        """The VMs of which nothing could be forecast."""
        return [vm for vm in self.vms if not vm.is_known]

    @property
    def assumptions(self) -> tuple[str, ...]:
        """All that the forecast rests on, each once."""
        return tuple(
            dict.fromkeys((*(a for vm in self.vms for a in vm.assumptions), *self.source_assumptions))
        )

    @property
    def unknown(self) -> tuple[str, ...]:
        """All that could not be told of some VM, with those of which it could not, and of the price."""
        reasons: dict[str, list[str]] = {}
        for vm in self.vms:
            for each in vm.unknown:
                reasons.setdefault(each, []).append(vm.name)
        priced = (NO_PRICE,) if self.price is None else self.price.unknown
        of_vms = (f"{each} ({name_some(names)})" for each, names in reasons.items())
        return (*of_vms, *self.source_unknown, *priced)

    @property
    def notes(self) -> tuple[str, ...]:
        """All that was found in the traces, with the VM it was found in."""
        return tuple(f"{vm.name}: {note}" for vm in self.vms for note in vm.notes)

    def as_json(self) -> dict[str, object]:
        """Return the forecast for programs; null where a number is not known."""
        return {
            "schema": FORECAST_SCHEMA,
            "vms": [self._vm_as_json(vm) for vm in self.vms],
            "total": self._total_as_json(),
            "price": None if self.price is None else asdict(self.price),
            "assumptions": list(self.assumptions),
            "unknown": list(self.unknown),
        }

    def _vm_as_json(self, vm: VmSummary) -> dict[str, object]:
        return {
            "name": vm.name,
            "namespace": vm.namespace,
            "node": vm.node,
            "fpr_on": vm.fpr_on,
            **self._numbers(vm),
            "notes": list(vm.notes),
            "assumptions": list(vm.assumptions),
            "unknown": list(vm.unknown),
        }

    def _total_as_json(self) -> dict[str, object]:
        counts = {
            "vms": self.total.vms,
            "vms_with_fpr": len(self.already_on),
            "vms_without_forecast": [vm.name for vm in self.left_out],
        }
        return counts | self._numbers(self.total)

    def _numbers(self, of: VmSummary | Total) -> dict[str, object]:
        price = self.price
        wait = price_per_hour(of.reused_gib_per_hour, price.wait_s_per_gib if price else None)
        cpu = price_per_hour(of.reused_gib_per_hour, price.cpu_s_per_gib if price else None)
        return {
            "span_s": of.span_s,
            "known_s": of.known_s,
            "gib_min": held_as_json(of.gib_min),
            "saved_fraction": asdict(of.gib_min.saved_fraction),
            "resident_bytes": held_as_json(of.at_end),
            "stranded_bytes": of.stranded_bytes,
            "cached_bytes": of.cached_bytes,
            "reused_gib_per_hour": of.reused_gib_per_hour,
            "wait_s_per_hour": asdict(wait),
            "cpu_s_per_hour": asdict(cpu),
        }


def forecast_all(
    sources: Iterable[Source],
    price: Price | None = None,
    assumptions: Iterable[str] = (),
    unknown: Iterable[str] = (),
) -> Forecast:
    """Return the forecast of VMs, one after the other: no more than one of their traces is held at a time.

    assumptions, unknown: what forecasts from such a source rest on, and what the source cannot tell, as known once all have come.
    """
    vms = tuple(
        summarise(forecast_vm(trace, overhead or OVERHEAD_RANGE_BYTES)) for trace, overhead in sources
    )
    return Forecast(vms, add_up(vms), price, tuple(assumptions), tuple(unknown))


def held_as_json(held: Held) -> dict[str, object]:
    """Return what is held now and with FPR for programs."""
    return {"now": held.now, "with_fpr": asdict(held.with_fpr)}


def name_some(names: Sequence[str], most: int = 3) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def middle(found: LikelyRange) -> float | None:
    """Return what is likely, or what lies halfway where only the ends are known."""
    if found.likely is not None or found.low is None or found.high is None:
        return found.likely
    return (found.low + found.high) / 2


def _saved(vm: VmSummary) -> float:
    held = vm.gib_min if vm.gib_min.now is not None else vm.at_end
    with_fpr = middle(held.with_fpr)
    return 0.0 if held.now is None or with_fpr is None else held.now - with_fpr

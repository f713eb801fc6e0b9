"""The answer of a forecast as a sentence, and its numbers as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.forecast.price import price_per_hour
from freepage.units import GIB, format_duration

if TYPE_CHECKING:
    from freepage.analysis.stats import Estimate
    from freepage.forecast.forecast import Forecast
    from freepage.forecast.price import Price
    from freepage.forecast.totals import Held
    from freepage.forecast.trace import LikelyRange

MISSING = "–"
# Beyond these GiB x seconds, and GiB x hours, are easier to read than GiB x minutes.
_LEAST_GIB_MIN, _MOST_GIB_MIN = 1.0, 6000.0
# Less than this share is nothing to speak of.
_LEAST_SAVED = 0.005


@dataclass(frozen=True)
class Unit:
    """The factor of a number to be shown, what stands behind it, and its decimals; None for as many as it needs."""

    factor: float
    name: str
    decimals: int | None = None

    def show(self, value: float | None) -> str:
        """Return "645 GiB·min"; "–" for what is not known."""
        return MISSING if value is None else f"{self.number(value)} {self.name}"

    def number(self, value: float | None) -> str:
        """Return a number with as many decimals as the unit has, else three digits or all before the point: 0.50, 12.4, 1645."""
        if value is None:
            return MISSING
        shown = value * self.factor
        few = 2 if abs(shown) < 10 else 1 if abs(shown) < 100 else 0
        text = f"{shown:.{few if self.decimals is None else self.decimals}f}"
        return text.replace("-", "−") if float(text) else text.removeprefix("-")


BYTES = Unit(1 / GIB, "GiB")
GIB_SECONDS = Unit(60.0, "GiB·s")
GIB_MINUTES = Unit(1.0, "GiB·min")
GIB_HOURS = Unit(1 / 60, "GiB·h")
PERCENT = Unit(100.0, "%", 0)


def choose_unit(gib_min: float | None) -> Unit:
    """Return the unit in which so many GiB x minutes, and all beside them, are shown."""
    if gib_min is None or _LEAST_GIB_MIN <= gib_min < _MOST_GIB_MIN:
        return GIB_MINUTES
    return GIB_SECONDS if gib_min < _LEAST_GIB_MIN else GIB_HOURS


def show_range(found: LikelyRange, unit: Unit) -> tuple[str, str]:
    """Return a forecast number and its range: ("10.7 GiB", "10.4 to 11.0"); the range alone where only that is known."""
    if found.low is None or found.high is None:
        return unit.show(found.likely), ""
    ends = f"{unit.number(found.low)} to {unit.number(found.high)}"
    return (unit.show(found.likely), ends) if found.likely is not None else (f"{ends} {unit.name}", "")


def show_saved(held: Held) -> tuple[str, str]:
    """Return how much less it is with FPR: ("14 %", "11 to 17"); the range alone where only that is known."""
    return show_range(held.saved_fraction, PERCENT)


def sum_up(forecast: Forecast) -> str:
    """Return the answer in one sentence."""
    total = forecast.total
    if not total.vms:
        return _say_nothing(forecast)
    over_time = total.gib_min.now is not None
    held = total.gib_min if over_time else total.at_end
    unit = choose_unit(total.gib_min.now) if over_time else BYTES
    start = f"With FPR {_name_vms(forecast)} would hold"
    now = f"instead of {unit.show(held.now)}{'' if over_time else ' now'}"
    value, _ = show_range(held.with_fpr, unit)
    if held.with_fpr.likely is None:
        return f"{start} {value} {now}: {show_saved(held)[0]} less. Where in between is not known."
    saved = held.saved_fraction
    if (saved.high or 0.0) < _LEAST_SAVED:
        return f"{start} {value} {now}: no less."
    share, range_ = show_saved(held)
    return f"{start} {value} {now}: {share} less ({range_} %)."


def _say_nothing(forecast: Forecast) -> str:
    """Return why nothing is forecast: all VMs have FPR already, or of none enough is known."""
    if forecast.already_on:
        count = len(forecast.already_on)
        return "FPR is on already in " + ("this VM." if count == 1 else f"all of these {count} VMs.")
    count = len(forecast.vms)
    which = "this VM" if count == 1 else f"any of these {count} VMs"
    return f"Nothing can be forecast of {which}: what is missing is said below."


def _name_vms(forecast: Forecast) -> str:
    known = forecast.total.vms
    every = known + len(forecast.left_out)
    if known == every:
        return "this VM" if known == 1 else f"these {known} VMs"
    return f"{known} of these {every} VMs"


def describe_price(forecast: Forecast) -> str:
    """Return what FPR would cost the VMs in all, by a run that measured it; "" where none was named."""
    price, reused = forecast.price, forecast.total.reused_gib_per_hour
    if price is None:
        return ""
    if reused is None:
        return f"The price by {price.run}: not known, since how often memory is taken again is not."
    often = f"{BYTES.number(reused * GIB)} GiB an hour would be taken again after it was given back"
    parts = filter(None, (_describe_part(reused, each, what) for each, what in _list_prices(price)))
    return (
        f"The price by {price.run} ({price.experiment}): {often}; "
        + (", ".join(parts) or "what that costs is not known")
        + "."
    )


def _list_prices(price: Price) -> tuple[tuple[Estimate | None, str], ...]:
    return ((price.wait_s_per_gib, "of waiting for it"), (price.cpu_s_per_gib, "of CPU"))


def _describe_part(reused: float, per_gib: Estimate | None, what: str) -> str:
    if per_gib is None:
        return ""
    found = price_per_hour(reused, per_gib)
    ends = (
        ""
        if found.low is None or found.high is None
        else f" ({_seconds(found.low)} to {_seconds(found.high)})"
    )
    return f"{_seconds(found.likely or 0.0)}{ends} {what} an hour"


def _seconds(value: float) -> str:
    return format_duration(value).replace("-", "−")


def describe_coverage(forecast: Forecast) -> str:
    """Return over how much of the time the numbers are taken; "" where it is all of it."""
    total = forecast.total
    if not total.span_s or total.known_s >= 0.995 * total.span_s:
        return ""
    return (
        f"The numbers are of {100 * total.known_s / total.span_s:.0f} % of the time from each VM's first sample to its last: in the rest "
        "nothing is known, and nothing is counted."
    )

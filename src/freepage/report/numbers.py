"""Numbers as they are shown: people's units, as many digits as the number carries, and the interval beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.units import GIB, format_bytes

if TYPE_CHECKING:
    from freepage.analysis.stats import Estimate

MISSING = "–"
SMALL = 0.1

# Unit in results.json: (factor, decimals, what stands behind the number).
_SHOWN = {
    "fraction": (100.0, 1, " %"),
    "bytes": (1 / GIB, 2, " GiB"),
    "s": (1.0, 2, " s"),
    "s/GiB": (1.0, 2, " s/GiB"),
    "GiB/s": (1.0, 2, " GiB/s"),
    "cores": (1.0, 2, " cores"),
    "cells": (1.0, 0, " cells"),
    "runs": (1.0, 1, " runs"),
    "ratio": (1.0, 2, "×"),
    "GiB x s": (1.0, 1, " GiB·s"),
}


def show_value(estimate: Estimate | None) -> str:
    """Return an estimate's value with its unit: "95.3 %", "1.20 GiB"."""
    if estimate is None:
        return MISSING
    if estimate.unit == "bytes/s":
        return f"{format_bytes(estimate.value)}/s"
    factor, _, unit = _SHOWN[estimate.unit]
    text = _number(estimate.value * factor, _decimals(estimate))
    return f"{text}{unit.removesuffix('s') if (text, unit) == ('1', ' cells') else unit}"


def show_interval(estimate: Estimate | None) -> str:
    """Return an estimate's interval: "94.1 to 96.4"; "" without one."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    if estimate.unit == "bytes/s":
        return f"{format_bytes(max(estimate.low, 0))} to {format_bytes(estimate.high)}"
    factor, decimals = _SHOWN[estimate.unit][0], _decimals(estimate)
    return f"{_number(estimate.low * factor, decimals)} to {_number(estimate.high * factor, decimals)}"


def _decimals(estimate: Estimate) -> int:
    """Return one more decimal for times and CPU that would hardly show otherwise, such as a skew of 11 ms."""
    decimals = _SHOWN[estimate.unit][1]
    sizes = [abs(v) for v in (estimate.value, estimate.low, estimate.high) if v is not None]
    return decimals + 1 if estimate.unit in {"s", "cores"} and 0 < max(sizes) < SMALL else decimals


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return "0" + text[2:] if text.startswith("-0") and float(text) == 0 else text.replace("-", "−")

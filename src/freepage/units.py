"""Sizes and durations as people write them, read into bytes and seconds, and shown."""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_SIZE_UNITS = {
    "": 1,
    "B": 1,
    "KiB": KIB,
    "MiB": MIB,
    "GiB": GIB,
    "TiB": TIB,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "K": KIB,
    "M": MIB,
    "G": GIB,
    "T": TIB,
}
_DURATION_UNITS = {"": 1.0, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """Return "512MiB" or "1.5GiB" in bytes; ValueError for text that is no size, with an example."""
    return round(_parse_quantity(text, _SIZE_UNITS, "a size such as 512MiB or 1.5GiB"))


def parse_duration(text: str) -> float:
    """Return "90s", "1.5min" or "250ms" in seconds; ValueError for text that is no duration, with an example."""
    return _parse_quantity(text, _DURATION_UNITS, "a duration such as 90s, 1.5min or 250ms")


def _parse_quantity(text: str, units: dict[str, int] | dict[str, float], wanted: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        raise ValueError(f"{text!r} is not {wanted}")
    return float(match[1]) * units[match[2]]


def format_bytes(count: float) -> str:
    """Return bytes with three significant digits in binary units: 1.50 GiB, 273 MiB."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(count) >= unit:
            return f"{_three_digits(count / unit)} {name}"
    return f"{count:.0f} B"


def format_duration(seconds: float) -> str:
    """Return seconds in the units of everyday use: 850 ms, 9.5 s, 4 min 20 s, 2 h 5 min."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _three_digits(value: float) -> str:
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"

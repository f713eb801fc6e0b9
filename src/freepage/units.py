"""Sizes, durations and shares as people write them, read into bytes, seconds and fractions, and shown: docs/units.md."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

# K, M, G and T are binary here, as in QEMU and fio; Kubernetes' own quantities (kube/quantities.py) take them as decimal.
_SIZE_UNITS: dict[str, float] = {"": 1, "B": 1, "kB": 10**3} | {
    name: factor
    for power, prefix in enumerate("KMGTPE", 1)
    for names, factor in (
        ((f"{prefix}iB", f"{prefix}i", prefix), 1024**power),
        ((f"{prefix}B",), 1000**power),
    )
    for name in names
}
_DURATION_UNITS: dict[str, float] = {
    name: factor
    for names, factor in (
        ("ms msec millisecond milliseconds", 1e-3),
        ("s sec secs second seconds", 1.0),
        ("m min mins minute minutes", 60.0),
        ("h hr hrs hour hours", 3600.0),
        ("d day days", 86400.0),
    )
    for name in names.split()
}
# Beyond these a number is a slip of the finger: no address space is as large, and no run as long.
MOST_BYTES = 2**63
MOST_SECONDS = 366 * 86400.0
_NUMBER = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_SIZE = re.compile(rf"({_NUMBER})\s*([A-Za-z]*)")
_DURATION = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)\s*")
_SHARE = re.compile(rf"({_NUMBER})\s*%?")
_COMMA = re.compile(r"[0-9],[0-9]")
_SIZE_WORDS = "a size such as 512MiB or 1.5GiB"
_DURATION_WORDS = "a duration such as 90s, 1m30s or 250ms"
_SHARE_WORDS = "a percentage such as 25%"


def parse_size(text: str) -> int:
    """Return "512MiB", "6Gi" or "1.5 GB" in bytes, a number alone as bytes; ValueError for text that is no size, with an example."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or found[2] not in _SIZE_UNITS:
        raise _refuse(text, _SIZE_WORDS, found and found[2], _SIZE_UNITS)
    size = float(found[1]) * _SIZE_UNITS[found[2]]
    if size >= MOST_BYTES:
        raise ValueError(f"{text!r} is larger than any memory; it must be {_SIZE_WORDS}")
    return round(size)


def parse_duration(text: str) -> float:
    """Return "90s", "1m30s", "2 minutes" or "250ms" in seconds, a number alone as seconds.

    Parts go from the largest unit to the smallest, each once. ValueError for text that is no duration, with an example.
    """
    word = text.strip()
    word = f"{word}s" if re.fullmatch(_NUMBER, word) else word
    parts = _DURATION.findall(word)
    if not parts or _DURATION.sub("", word):
        raise _refuse(text, _DURATION_WORDS)
    unknown = next((unit for _, unit in parts if unit not in _DURATION_UNITS), None)
    if unknown is not None:
        raise _refuse(text, _DURATION_WORDS, unknown, _DURATION_UNITS)
    factors = [_DURATION_UNITS[unit] for _, unit in parts]
    if factors != sorted(set(factors), reverse=True):
        raise ValueError(f"{text!r} is not {_DURATION_WORDS}: larger units come first, and each once")
    seconds = sum(float(number) * factor for (number, _), factor in zip(parts, factors, strict=True))
    if seconds > MOST_SECONDS:
        raise ValueError(f"{text!r} is longer than a year; it must be {_DURATION_WORDS}")
    return seconds


def parse_share(text: str) -> float:
    """Return "25%", "0.5 %" or "25" as a fraction; ValueError for text that is no percentage, with an example."""
    found = _SHARE.fullmatch(text.strip())
    if found is None:
        raise _refuse(text, _SHARE_WORDS)
    return float(found[1]) / 100


def _refuse(text: str, wanted: str, unit: str | None = None, units: Iterable[str] = ()) -> ValueError:
    """Return the error for text that is not what is wanted, with what was probably meant."""
    why = ""
    if _COMMA.search(text):
        why = "; decimals have a point: 0.5, not 0,5"
    elif unit:
        close = next((name for name in units if name.lower() == unit.lower()), None)
        why = f"; it has no unit {unit!r}" + (f", did you mean {close!r}?" if close else "")
    return ValueError(f"{text!r} is not {wanted}{why}")


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

"""Kubernetes' quantities ("16Gi", "500m") as numbers."""

from __future__ import annotations

import math
import re

_FACTORS = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
    "Ei": 2.0**60,
}


# A number with either an exponent or a suffix, never both: "128E" is 128 * 10^18, "128E-3" is 0.128, "1e3Ki" is none.
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([A-Za-z]{0,2}))")


def parse_quantity(text: object) -> float | None:
    """Read a quantity, from text or a number, as the API server does; None for what is none, and for one without bounds."""
    found = _QUANTITY.fullmatch(str(text).strip())
    if found is None or (found[3] or "") not in _FACTORS:
        return None
    value = float(found[1] + (found[2] or "")) * _FACTORS[found[3] or ""]
    return value if math.isfinite(value) else None

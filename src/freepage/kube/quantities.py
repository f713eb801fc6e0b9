"""Kubernetes' quantities ("16Gi", "500m") as numbers."""

from __future__ import annotations

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


def parse_quantity(text: object) -> float | None:
    """Read a quantity, from text or a number; None for what is none."""
    found = re.fullmatch(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([A-Za-z]{0,2})", str(text).strip())
    if found is None or found[2] not in _FACTORS:
        return None
    return float(found[1]) * _FACTORS[found[2]]

"""Every number freepage samples: its id, unit, kind, source and meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One sampled number. kind: "gauge" (a level) or "counter" (only grows; rates are computed later)."""

    id: str
    unit: str
    kind: str
    source: str
    meaning: str

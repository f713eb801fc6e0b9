"""What Prometheus has of a run, metric by metric: how often it should be new, how often it was, how far it is from ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freepage.report.numbers import MISSING
from freepage.report.tables import Cell, Results, Table
from freepage.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def prometheus_table(results: Results) -> Table:
    """Give every metric that something came for, or that was refused; the note names the others."""
    found = results["prometheus"]["metrics"] if results["prometheus"] else []
    shown = [metric for metric in found if metric["points"] or metric["error"]]
    return Table(
        "prometheus",
        "Metrics of Prometheus",
        _describe(found),
        ("metric", "source", "expected", "samples", "changes", "points", "difference from ours"),
        tuple(_row(metric) for metric in shown),
    )


def _describe(metrics: Sequence[Mapping[str, Any]]) -> str:
    reasons = dict.fromkeys(f"{m['refresh_why']}." for m in metrics if m["points"])
    silent = [m["id"] for m in metrics if not m["points"] and not m["error"]]
    return " ".join(
        (
            "Expected: how often there should be something new:",
            *reasons,
            "Samples: how far apart they are (an expression has none of its own). Changes: how far apart the value really changed;",
            "samples closer than that repeat it. Difference: Prometheus' samples less freepage's own at the same times, median and",
            "what the middle nine tenths span.",
            *([f"Nothing came for {', '.join(silent)}."] if silent else []),
        )
    )


def _row(metric: Mapping[str, Any]) -> tuple[Cell, ...]:
    evaluated = "" if metric["raw"] else f"evaluated every {metric['step_s']:g} s"
    series = f"{metric['entities']} series" if metric["entities"] > 1 else ""
    return (
        Cell(metric["id"], metric["error"] or ""),
        Cell(metric["source"]),
        Cell(f"{metric['refresh_s']:g} s", numeric=True),
        _seconds(metric["sampled_s"], evaluated),
        _seconds(metric["changed_s"]),
        Cell(str(metric["points"]), series, numeric=True),
        _difference(metric["difference"]),
    )


def _seconds(value: float | None, words: str = "") -> Cell:
    return Cell(MISSING if value is None else format_duration(value), words, numeric=True)


def _difference(found: Mapping[str, Any] | None) -> Cell:
    if found is None:
        return Cell(MISSING, numeric=True)
    low, value, high = (_show(found[key], found["unit"]) for key in ("low", "value", "high"))
    return Cell(value, f"{low} to {high}", numeric=True, estimate=found)


def _show(value: float, unit: str) -> str:
    text = format_bytes(value) if unit == "bytes" else f"{value:.2f} {unit}"
    return text.replace("-", "−")

"""fio's throughput in every cell, on a logarithmic scale, against the device itself (the article's figures 5 and 6)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from freepage.analysis.io import READS
from freepage.kinds import Subject, find_kind
from freepage.records import Arm
from freepage.report.io_tables import describe_cell
from freepage.units import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

ROW_HEIGHT = 18
LEAST_CELL_HEIGHT = 30
AXIS_HEIGHT = 50
CACHED = "from the page cache"
NOT_CACHED = "from the device"
NOT_KNOWN = "not known from where"
HOW = {True: CACHED, False: NOT_CACHED, None: NOT_KNOWN}


def throughput_spec(experiment: Mapping[str, Any], colours: Mapping[Arm, str]) -> dict[str, Any] | None:
    """Give a chart of an experiment's cells, a row per arm; None where no cell was measured."""
    import altair as alt

    rows = [row for cell in experiment["cells"] for row in _rows(cell)]
    if not rows:
        return None
    arms = [str(a) for a in Arm if any(r["arm"] == a for r in rows)]
    order = list(dict.fromkeys(r["cell"] for r in rows))
    colour = alt.Color(
        "arm:N", title=None, scale=alt.Scale(domain=arms, range=[colours[Arm(a)] for a in arms])
    )
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y("cell:N", title=None, sort=order, axis=alt.Axis(labelLimit=200)),
        yOffset=alt.YOffset("arm:N", sort=arms),
        color=colour,
    )
    powers = _powers_of_ten(rows)
    scale = alt.Scale(type="log", domain=[powers[0], powers[-1]])
    axis = alt.Axis(values=powers, format=",")
    x = alt.X("y:Q", title="throughput (MiB/s, logarithmic)", scale=scale, axis=axis)
    spans = base.mark_rule(strokeWidth=1.5, opacity=0.5).encode(
        x=alt.X("low:Q", title="throughput (MiB/s, logarithmic)"), x2="high:Q"
    )
    device = base.mark_tick(thickness=2, height=ROW_HEIGHT * 0.7, color="#8a8f98").encode(
        x=alt.X("device:Q"), color=alt.value("#8a8f98")
    )
    marks = base.mark_point(size=70, strokeWidth=2).encode(
        x=x,
        fill=alt.condition(alt.datum.how == CACHED, colour, alt.value("transparent")),
        tooltip=[
            alt.Tooltip("cell:N"),
            alt.Tooltip("arm:N"),
            alt.Tooltip("y:Q", title="MiB/s", format=",.0f"),
            alt.Tooltip("device:Q", title="device, MiB/s", format=",.0f"),
            alt.Tooltip("how:N", title="read"),
        ],
    )
    height = max(LEAST_CELL_HEIGHT, ROW_HEIGHT * len(arms)) * len(order) + AXIS_HEIGHT
    chart: dict[str, Any] = (
        alt.layer(device, spans, marks).properties(width="container", height=height).to_dict()
    )
    chart.pop("config", None)
    return chart


def _powers_of_ten(rows: list[dict[str, Any]]) -> list[float]:
    """Give the powers of ten that all values lie between; at least two."""
    values = [row[key] for row in rows for key in ("low", "high", "device") if row[key]]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**n for n in range(first, max(last, first + 1) + 1)]


def _rows(cell: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for arm, found in cell["arms"].items():
        speed, device = found["throughput"], found["device"]
        if speed is None:
            continue
        low = speed["value"] if speed["low"] is None else max(speed["low"], speed["value"] / 100)
        high = speed["value"] if speed["high"] is None else speed["high"]
        rows.append(
            {
                "cell": describe_cell(cell),
                "arm": str(arm),
                "y": _mib(speed["value"]),
                "low": _mib(low),
                "high": _mib(high),
                "device": _mib(device["value"]) if device else None,
                "how": HOW[found["cached"]],
            }
        )
    return rows


def throughput_title(experiment: Mapping[str, Any], name: str) -> str:
    """Say what the cells show: whether reads ran from the cache with FPR and without."""
    with_fpr, without = (
        [
            c["arms"][arm]["cached"]
            for c in experiment["cells"]
            if c["operation"] in READS and arm in c["arms"]
        ]
        for arm in (Arm.VM_FPR, Arm.VM)
    )
    if not with_fpr or not without or None in with_fpr or None in without:
        return f"Throughput of fio in {name}"
    words = _host_words if Subject.HOST_IO in find_kind(experiment["kind"]).measures else _guest_words
    return words(with_fpr, without).format(name=name)


def _host_words(with_fpr: list[bool], without: list[bool]) -> str:
    if all(with_fpr) and not any(without):
        return "Beside VMs with FPR the host reads from its page cache; without FPR it does not"
    if sum(with_fpr) > sum(without):
        return "Beside VMs with FPR the host reads more from its page cache"
    return "The host's page cache gains nothing from FPR here"


def _guest_words(with_fpr: list[bool], without: list[bool]) -> str:
    if not any(without):
        return "Reads did not run from the guest's page cache ({name})"
    if all(a or not b for a, b in zip(with_fpr, without, strict=True)):
        return "Guests keep their page cache with FPR ({name})"
    return "With FPR some reads no longer run from the guest's page cache ({name})"


def _mib(value: float) -> float:
    return round(value / MIB, 3)

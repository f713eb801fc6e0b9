"""The part on VMs before FPR is switched on: a table of what they hold and would hold, and that over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.words import BYTES, MISSING, PERCENT, choose_unit, show_saved
from freepage.records import Arm
from freepage.report.chart import Figure, Lines, draw_lines, rounded, without_validation
from freepage.report.table import Cell, Table
from freepage.units import GIB, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.forecast.curve import Curve
    from freepage.forecast.forecast import Forecast
    from freepage.forecast.totals import Total, VmSummary
    from freepage.forecast.trace import Array, LikelyRange
    from freepage.forecast.words import Unit
    from freepage.report.chart import Row

# The VMs that have a figure of their own: those that would give back most.
MOST_DRAWN = 12
_NOTE = (
    "Over the known time of each VM: what the host holds for it now and would hold with FPR, at least, most likely and at most. Stranded "
    "(mean): free in the guest, in blocks too small to be reported. Page cache (mean): what dropping it would add at most."
)
_ALREADY_NOTE = "FPR was on in these when they were seen. They are not in the total; their forecast is of themselves, and shows how far off it is."
_AXIS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))
_CAPTION = (
    "Resident memory as it was seen, and as FPR would leave it: the line is most likely, the band from least to most. Nothing is "
    "drawn where nothing is known; of several VMs together, those that were seen at a time."
)


def vm_table(forecast: Forecast) -> Table:
    """Return a row for each VM without FPR, and one for all of them where they are several."""
    rows: list[tuple[str, VmSummary | Total]] = [(vm.name, vm) for vm in forecast.shown]
    if len(rows) > 1:
        rows.insert(0, (f"all {len(rows)}", forecast.total))
    return _build_table("vms", "The VMs", _NOTE, rows, forecast.total.gib_min.now)


def already_table(forecast: Forecast) -> Table:
    """Return a row for each VM that has FPR already, whose forecast is of itself and so shows how good forecasts are."""
    rows = [(vm.name, vm) for vm in forecast.already_on]
    most = max((vm.gib_min.now or 0.0 for _, vm in rows), default=None)
    return _build_table("vms-with-fpr", "VMs with FPR", _ALREADY_NOTE, rows, most)


def _build_table(
    id_: str, title: str, note: str, rows: Sequence[tuple[str, VmSummary | Total]], most_gib_min: float | None
) -> Table:
    unit = choose_unit(most_gib_min)
    headings = (
        "VM",
        f"now ({unit.name})",
        f"with FPR ({unit.name})",
        "less (%)",
        "stranded (GiB)",
        "page cache (GiB)",
    )
    return Table(id_, title, note, headings, tuple(_row(name, of, unit) for name, of in rows))


def _row(name: str, of: VmSummary | Total, unit: Unit) -> tuple[Cell, ...]:
    """Return a VM's cells; without any time between its samples what is held at the last one, in GiB."""
    held, shown = (of.gib_min, unit) if of.gib_min.now is not None else (of.at_end, BYTES)
    saved = held.saved_fraction
    return (
        Cell(name),
        Cell(shown.number(held.now), shown.name if shown is not unit else "", numeric=True),
        Cell(*_ends(held.with_fpr, shown), numeric=True),
        Cell(*_ends(saved, PERCENT), numeric=True),
        Cell(BYTES.number(of.stranded_bytes), numeric=True),
        Cell(BYTES.number(of.cached_bytes), numeric=True),
    )


def _ends(found: LikelyRange, unit: Unit) -> tuple[str, str]:
    """Return what is likely, with the range below it."""
    if found.low is None or found.high is None:
        return MISSING, ""
    return unit.number(found.likely), f"{unit.number(found.low)} to {unit.number(found.high)}"


def left_out_table(forecast: Forecast) -> Table:
    """Return a row for each VM of which nothing could be forecast, with the reason."""
    rows = tuple((Cell(vm.name), Cell(" ".join(vm.unknown) or MISSING)) for vm in forecast.left_out)
    return Table("left-out", "Not forecast", "", ("VM", "why"), rows)


def draw_footprints(forecast: Forecast) -> list[Figure]:
    """Draw all VMs together, then those that would give back most, each; `experiment` of a figure is its VM."""
    if not forecast.total.vms:
        return []
    with without_validation():
        vms = forecast.shown[:MOST_DRAWN] if forecast.total.vms > 1 else []
        of_vms = [_draw(f"vm-{n}", vm.name, vm, vm.name) for n, vm in enumerate(vms, 1)]
        name = "all VMs together" if forecast.total.vms > 1 else forecast.shown[0].name
        drawn = [_draw("total", name, forecast.total), *of_vms]
    return [figure for figure in drawn if figure is not None]


def _draw(id_: str, name: str, of: VmSummary | Total, section: str = "") -> Figure | None:
    curve = of.curve
    if len(curve.t_s) < 2:
        return None
    factor, word = _choose_axis(float(curve.t_s[-1] - curve.t_s[0]))
    rows = _curve_rows(curve, factor)
    lines = Lines(rows, (Arm.VM, Arm.VM_FPR), f"{word} since the first sample", "resident memory (GiB)")
    title = _find_out(of) if section else f"{name}: {_find_out(of)}"
    arms = tuple(str(arm) for arm in lines.shown)
    return Figure(
        id_, title, _CAPTION, f"{title}. {_CAPTION}", draw_lines(lines), arms=arms, experiment=section
    )


def _choose_axis(span_s: float) -> tuple[float, str]:
    """Return the seconds of the unit in which a time axis reads best, and its name."""
    return next(((size, word) for size, word in _AXIS if span_s >= 2 * size), (1.0, "seconds"))


def _find_out(of: VmSummary | Total) -> str:
    """Return what a figure shows: how much less would be held, over what time."""
    less, ends = show_saved(of.gib_min)
    if less == MISSING:
        return "what FPR would leave on the host"
    return f"{less} less{f' ({ends} %)' if ends else ''} over {format_duration(of.curve.t_s[-1] - of.curve.t_s[0])}"


def _curve_rows(curve: Curve, factor: float) -> list[Row]:
    """Return a row per point of now, and one of what FPR would leave."""
    t = (curve.t_s - curve.t_s[0]) / factor
    rows: list[Row] = []
    for arm, (y, low, high) in {
        Arm.VM: (curve.now, None, None),
        Arm.VM_FPR: (curve.likely, curve.low, curve.high),
    }.items():
        for n in range(len(t)):
            row: Row = {"t": rounded(t[n]), "arm": str(arm), "y": _gib(y, n)}
            rows.append(row | {"low": _gib(low, n), "high": _gib(high, n)})
    return rows


def _gib(values: Array | None, n: int) -> float | None:
    return None if values is None or np.isnan(values[n]) else rounded(float(values[n]) / GIB)

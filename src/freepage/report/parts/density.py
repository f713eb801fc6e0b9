"""The part on density: how many VMs fit a node, as a table, and the risk by their number, as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from freepage.forecast.density import Together
from freepage.forecast.density_words import show_fit, show_percent
from freepage.forecast.fleet import Case
from freepage.records import Arm
from freepage.report.arms import ARM_STYLES
from freepage.report.chart import Figure, arm_colour, build_spec, rounded, without_validation
from freepage.report.numbers import MISSING
from freepage.report.table import Cell, Table
from freepage.units import format_bytes

if TYPE_CHECKING:
    from freepage.forecast.counting import Fit, RiskCurve
    from freepage.forecast.density import Density, KindDensity
    from freepage.report.chart import Row, Spec

# Each case has the looks of the arm that shows it; ideally VMs hold what pods would.
ARM_OF = {Case.WITHOUT: Arm.VM, Case.WITH: Arm.VM_FPR, Case.IDEAL: Arm.POD}
_MARGIN_VMS = 2


def list_tables(density: Density) -> list[Table]:
    """Return the table of what fits, and that of what VMs are there and what the scheduler admits."""
    return [_fit_table(density), _scheduler_table(density)]


def _fit_table(density: Density) -> Table:
    rows = tuple(
        (
            Cell(found.node.name),
            Cell(found.kind.name),
            Cell(together),
            *(fit_cell(found.fits.get((case, together))) for case in Case),
        )
        for found in density.kinds
        for together in Together
    )
    note = (
        f"The most VMs of one kind, beside those that are there already, with at most {show_percent(density.risk)} of the seconds "
        "over the node's memory. Below each number: its 95 % interval over seeds and blocks of time, and the share of seconds over."
    )
    return Table(
        "fits",
        "How many VMs fit",
        note,
        ("node", "VMs", "use memory", "without FPR", "with FPR", "ideally"),
        rows,
    )


def fit_cell(fit: Fit | None) -> Cell:
    """Return how many fit, with the interval and the risk below."""
    if fit is None:
        return Cell(MISSING, "not known", numeric=True)
    interval = "" if fit.low is None else f"{fit.low} to {fit.high}\n"
    swapping = "" if fit.swapping <= fit.risk else f", {show_percent(fit.swapping)} in swap"
    over = "over already" if fit.is_over else f"{show_percent(fit.risk)} over{swapping}"
    return Cell(f"at least {fit.vms}" if fit.at_least else str(fit.vms), f"{interval}{over}", numeric=True)


def _scheduler_table(density: Density) -> Table:
    rows = tuple(
        (
            Cell(found.node.name),
            Cell(format_bytes(found.node.usable_bytes), numeric=True),
            Cell(found.kind.name),
            Cell(format_bytes(found.kind.memory_bytes), numeric=True),
            Cell(str(found.kind.count), numeric=True),
            Cell(MISSING if found.admitted is None else str(found.admitted), numeric=True),
            Cell(show_overcommit(found), numeric=True),
        )
        for found in density.kinds
    )
    note = "The overcommit is the least percentage with which a scheduler admits as many more VMs as fit with FPR."
    columns = (
        "node",
        "memory for VMs",
        "VMs",
        "guest memory",
        "there already",
        "scheduler admits",
        "overcommit needed",
    )
    return Table("scheduler", "Nodes, VMs and the scheduler", note, columns, rows)


def show_overcommit(found: KindDensity) -> str:
    """Return the overcommit that as many VMs as fit with FPR need, as a percentage."""
    return MISSING if found.needed_overcommit is None else f"{100 * found.needed_overcommit:.0f} %"


def draw_risks(density: Density) -> list[Figure]:
    """Draw the risk over the number of VMs of each kind on each node."""
    with without_validation():
        return [_draw(density, number, found) for number, found in enumerate(density.kinds, 1)]


def _draw(density: Density, number: int, found: KindDensity) -> Figure:
    curves = {case: c for (case, together), c in found.curves.items() if together is Together.INDEPENDENT}
    arms = [arm for case, arm in ARM_OF.items() if case in curves]
    with_fpr, without = (found.fits.get((case, Together.INDEPENDENT)) for case in (Case.WITH, Case.WITHOUT))
    title = (
        f"{found.kind.name} on {found.node.name}: {show_fit(with_fpr)} with FPR, {show_fit(without)} without"
    )
    caption = (
        "The share of seconds over the node's memory, by how many VMs are added, each using memory by itself; pod: ideally. "
        "The axis is linear below the risk and logarithmic above."
    )
    reference = f"risk: {show_percent(density.risk)}"
    rows = [row for case, curve in curves.items() for row in _list_rows(case, curve, _find_first(curves))]
    spec = _build(rows, arms, 100 * density.risk)
    words = tuple(map(str, arms))
    return Figure(f"risk-{number}", title, caption, f"{title}. {caption}", spec, reference, arms=words)


def _find_first(curves: dict[Case, RiskCurve]) -> int:
    """Return the number of VMs at which the axis begins: a little before anything is over."""
    return max(0, min(int((c.risk <= 0).sum()) for c in curves.values()) - _MARGIN_VMS)


def _list_rows(case: Case, curve: RiskCurve, first: int) -> list[Row]:
    arm = str(ARM_OF[case])
    return [
        {"vms": float(n), "arm": arm, "risk": rounded(100 * risk)}
        for n, risk in enumerate(curve.risk.tolist())
        if n >= first
    ]


def _build(rows: list[Row], arms: list[Arm], risk_percent: float) -> Spec:
    """Return a line for each case, and a thin line at the risk."""
    scale = alt.Scale(type="symlog", constant=risk_percent, nice=False)
    x = alt.X("vms:Q", title="VMs added", scale=alt.Scale(zero=False, nice=False))
    y = alt.Y("risk:Q", title="seconds over the node's memory (%)", scale=scale)
    dashes = alt.Scale(domain=list(map(str, arms)), range=[list(ARM_STYLES[a].dash) for a in arms])
    tooltip = [
        alt.Tooltip("arm:N"),
        alt.Tooltip("vms:Q", title="VMs added"),
        alt.Tooltip("risk:Q", title="%"),
    ]
    lines = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeWidth=2.25, interpolate="step-after")
        .encode(
            x=x,
            y=y,
            color=arm_colour(arms),
            strokeDash=alt.StrokeDash("arm:N", title=None, scale=dashes),
            tooltip=tooltip,
        )
    )
    limit = alt.Chart(alt.InlineData(values=[{"risk": rounded(risk_percent)}]))
    return build_spec(limit.mark_rule(color="#8a8f98", strokeWidth=1).encode(y=y), lines)

"""The part on I/O: fio's throughput in every cell against the device itself (the article's figures 5 and 6), and memory meanwhile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import altair as alt

from freepage.analysis.definition import Area
from freepage.analysis.estimates import Quantity
from freepage.analysis.fio import READS
from freepage.analysis.stats import LEAST_TRIALS
from freepage.kinds import FigureName, Subject
from freepage.records import Arm
from freepage.report.arms import REFERENCE_COLOUR
from freepage.report.article import find_article_figure
from freepage.report.chart import Figure, arm_colour, arms_in, build_spec
from freepage.report.numbers import MISSING, show_basis, show_value
from freepage.report.table import Cell, Table, build_arm_table, estimate_cell
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.analysis.experiments import ExperimentResults
    from freepage.analysis.io import ArmCell, CellResult
    from freepage.analysis.results import Results
    from freepage.report.chart import Row, Spec
    from freepage.store import Run

OPERATION_WORDS = {
    "read": "sequential read",
    "randread": "random read",
    "write": "sequential write",
    "randwrite": "random write",
}
DEVICE = "the device itself"
THROUGHPUT_WORDS = "throughput (MiB/s, logarithmic)"
ROW_HEIGHT = 18
LEAST_CELL_HEIGHT = 30
AXIS_HEIGHT = 50
CACHED = "from the page cache"
NOT_CACHED = "from the device"
NOT_KNOWN = "not known from where"
HOW = {True: CACHED, False: NOT_CACHED, None: NOT_KNOWN}


def draw_throughput(run: Run, results: Results, experiment: str) -> Figure | None:
    """Draw what fio measured in every cell, against the device itself."""
    del run
    found = results.experiments[experiment]
    spec = build_throughput_spec(found)
    if spec is None:
        return None
    title = _write_title(found, experiment)
    caption = (
        f"Experiment {experiment}: bytes per second that fio moved, mean over repeats with its interval. Filled: from the page "
        "cache; hollow: from the device, or not known; the grey tick is what the device itself gave, by direct I/O."
    )
    article = find_article_figure(found.kind, FigureName.THROUGHPUT)
    caption += article.describe(drawn=False) if article else ""
    in_guests = Subject.GUEST_IO in found.traits.measures
    doubts = results.doubts_touching(Area.TIME, experiment) if in_guests else ()
    return Figure(
        f"throughput-{experiment}",
        title,
        caption,
        f"{title}. {caption}",
        spec,
        DEVICE,
        tuple(d.id for d in doubts),
    )


def build_throughput_spec(experiment: ExperimentResults) -> Spec | None:
    """Return a chart of an experiment's cells, a row per arm; None where no cell was measured."""
    rows = [row for cell in experiment.cells for row in _rows(cell)]
    if not rows:
        return None
    arms, order = arms_in(rows), list(dict.fromkeys(str(row["cell"]) for row in rows))
    colour, powers = arm_colour(arms), _powers_of_ten(rows)
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y("cell:N", title=None, sort=order, axis=alt.Axis(labelLimit=200)),
        yOffset=alt.YOffset("arm:N", sort=[str(a) for a in arms]),
        color=colour,
    )
    spans = base.mark_rule(strokeWidth=1.5, opacity=0.5).encode(
        x=alt.X("low:Q", title=THROUGHPUT_WORDS), x2="high:Q"
    )
    device = base.mark_tick(thickness=2, height=ROW_HEIGHT * 0.7, color=REFERENCE_COLOUR).encode(
        x=alt.X("device:Q"), color=alt.value(REFERENCE_COLOUR)
    )
    marks = base.mark_point(size=70, strokeWidth=2).encode(
        x=alt.X(
            "y:Q",
            title=THROUGHPUT_WORDS,
            scale=alt.Scale(type="log", domain=[powers[0], powers[-1]]),
            axis=alt.Axis(values=powers, format=","),
        ),
        fill=alt.condition(alt.datum.how == CACHED, colour, alt.value("transparent")),
        tooltip=_tooltip(),
    )
    height = max(LEAST_CELL_HEIGHT, ROW_HEIGHT * len(arms)) * len(order) + AXIS_HEIGHT
    return build_spec(device, spans, marks, height=height)


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("cell:N"),
        alt.Tooltip("arm:N"),
        alt.Tooltip("y:Q", title="MiB/s", format=",.0f"),
        alt.Tooltip("device:Q", title="device, MiB/s", format=",.0f"),
        alt.Tooltip("how:N", title="read"),
    ]


def _powers_of_ten(rows: list[Row]) -> list[float]:
    """Return the powers of ten that all values lie between; at least two."""
    values = [float(value) for row in rows for key in ("low", "high", "device") if (value := row[key])]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**n for n in range(first, max(last, first + 1) + 1)]


def _rows(cell: CellResult) -> list[Row]:
    measured = ((arm, found, found.throughput) for arm, found in cell.arms.items())
    return [
        {
            "cell": describe_cell(cell),
            "arm": str(arm),
            "y": _mib(speed.value),
            "low": _mib(speed.value if speed.low is None else max(speed.low, speed.value / 100)),
            "high": _mib(speed.value if speed.high is None else speed.high),
            "device": _mib(found.device.value) if found.device else None,
            "how": HOW[found.cached],
        }
        for arm, found, speed in measured
        if speed is not None
    ]


def _write_title(experiment: ExperimentResults, name: str) -> str:
    """Return what the cells show: whether reads ran from the cache with FPR and without."""
    with_fpr, without = (
        [c.arms[arm].cached for c in experiment.cells if c.operation in READS and arm in c.arms]
        for arm in (Arm.VM_FPR, Arm.VM)
    )
    known, known_without = ([bool(c) for c in cached if c is not None] for cached in (with_fpr, without))
    speeds = [c.arms[a].throughput for c in experiment.cells for a in (Arm.VM_FPR, Arm.VM) if a in c.arms]
    if any(speed is None or speed.n < LEAST_TRIALS for speed in speeds):
        return f"Throughput of fio in {name}"
    if not with_fpr or not without or len(known + known_without) < len(with_fpr + without):
        return f"Throughput of fio in {name}"
    words = _host_words if Subject.HOST_IO in experiment.traits.measures else _guest_words
    return words(known, known_without).format(name=name)


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


def guest_io_table(results: Results) -> Table:
    """Return what fio measured in guests and pods, which shows whether guests keep their page cache."""
    note = (
        "Bytes per second through the page cache, which was kept; below, what the device itself gave (direct I/O) in the same "
        "instance. “Cached”: at most 5 % of what was read came from a block device; for writes, at least 1.5 times "
        "as fast as the device. The ratio is FPR against no FPR, by repeat."
    )
    return _build_table(results, Subject.GUEST_IO, "I/O in the guest", note)


def host_io_table(results: Results) -> Table:
    """Return what fio measured in a pod on the host, beside VMs and alone."""
    note = (
        "fio in a pod on a file that fits the node's page cache only if VMs give memory back; by what runs beside it. Below, "
        "what the device itself gave. “Cached”: as for I/O in the guest."
    )
    return _build_table(results, Subject.HOST_IO, "I/O on the host", note)


def io_memory_table(results: Results) -> Table:
    """Return node memory and working set while fio ran, mean and peak."""
    return build_arm_table(
        results,
        "io-memory",
        "Memory while fio runs",
        "Node memory in use above the baseline, and the working set (usage − inactive page cache) of the VM or pod fio runs in.",
        (Quantity.NODE_MEAN, Quantity.NODE_MAX, Quantity.WORKING_SET_MEAN, Quantity.WORKING_SET_MAX),
        lambda arm: arm[Quantity.CACHED_READS] is not None,
    )


def _build_table(results: Results, subject: Subject, title: str, note: str) -> Table:
    """Return the cells of all experiments about one kind of I/O."""
    mine = {n: e for n, e in results.experiments.items() if subject in e.traits.measures and e.cells}
    arms = [a for a in Arm if any(a in e.arms for e in mine.values())]
    rows = tuple(
        (
            Cell(name),
            Cell(describe_cell(cell)),
            *(_arm_cell(cell.arms.get(arm)) for arm in arms),
            estimate_cell(cell.ratio),
        )
        for name, experiment in mine.items()
        for cell in experiment.cells
    )
    return Table(str(subject), title, note, ("experiment", "fio", *arms, "ratio"), rows)


def describe_cell(cell: CellResult) -> str:
    """Return what a cell is: "random read, 7 streams"."""
    return f"{OPERATION_WORDS[cell.operation]}, {cell.streams} stream{'s' if cell.streams > 1 else ''}"


def _arm_cell(found: ArmCell | None) -> Cell:
    if found is None:
        return Cell(MISSING, numeric=True)
    if found.throughput is None:
        return Cell(MISSING, str(found.reason), numeric=True)
    interval = show_basis(found.throughput)
    device = f"device {show_value(found.device)}" if found.device else "device not measured"
    return Cell(
        f"{show_value(found.throughput)}{' · cached' if found.cached else ''}",
        "\n".join(filter(None, (interval, device))),
        numeric=True,
        estimate=found.throughput,
    )

"""The tables of fio: throughput in every cell (the article's figure 5), and memory while it ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freepage.kinds import Subject, find_kind
from freepage.records import Arm
from freepage.report.numbers import MISSING, show_interval, show_value
from freepage.report.tables import Cell, Results, Table, estimate_cell, rows_by_arm

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATION_WORDS = {
    "read": "sequential read",
    "randread": "random read",
    "write": "sequential write",
    "randwrite": "random write",
}


def guest_io_table(results: Results) -> Table:
    """Give what fio measured in guests and pods, which shows whether guests keep their page cache."""
    return _throughput(
        results,
        Subject.GUEST_IO,
        "guest-io",
        "I/O in the guest",
        "Bytes per second through the page cache, which was kept; below, what the device itself gave (direct I/O) in the same "
        "instance. “Cached”: at most 5 % of what was read came from a block device; for writes, at least 1.5 times "
        "as fast as the device. The ratio is FPR against no FPR, by repeat.",
    )


def host_io_table(results: Results) -> Table:
    """Give what fio measured in a pod on the host, beside VMs and alone."""
    return _throughput(
        results,
        Subject.HOST_IO,
        "host-io",
        "I/O on the host",
        "fio in a pod on a file that fits the node's page cache only if VMs give memory back; by what runs beside it. Below, "
        "what the device itself gave. “Cached”: as for I/O in the guest.",
    )


def io_memory_table(results: Results) -> Table:
    """Give node memory and working set while fio ran, mean and peak."""
    keys = (
        "node_in_use_mean_bytes",
        "node_in_use_max_bytes",
        "working_set_mean_bytes",
        "working_set_max_bytes",
    )
    return Table(
        "io-memory",
        "Memory while fio runs",
        "Node memory in use above the baseline, and the working set (usage − inactive page cache) of the VM or pod fio runs in.",
        ("experiment", "arm", "node mean", "node peak", "working set mean", "working set peak"),
        rows_by_arm(results, keys, lambda e: e["cached_read_fraction"] is not None),
    )


def _throughput(results: Results, subject: Subject, name: str, title: str, note: str) -> Table:
    mine = {
        experiment: e
        for experiment, e in results["experiments"].items()
        if subject in find_kind(e["kind"]).measures and e["cells"]
    }
    arms = [a for a in Arm if any(a in e["arms"] for e in mine.values())]
    rows = tuple(
        (
            Cell(experiment),
            Cell(describe_cell(cell)),
            *(_arm_cell(cell["arms"].get(arm)) for arm in arms),
            estimate_cell(cell["ratio"]),
        )
        for experiment, e in mine.items()
        for cell in e["cells"]
    )
    return Table(name, title, note, ("experiment", "fio", *map(str, arms), "ratio"), rows)


def describe_cell(cell: Mapping[str, Any]) -> str:
    """Say what a cell is: "random read, 7 streams"."""
    streams = cell["streams"]
    return f"{OPERATION_WORDS[cell['operation']]}, {streams} stream{'s' if streams > 1 else ''}"


def _arm_cell(found: Mapping[str, Any] | None) -> Cell:
    if found is None:
        return Cell(MISSING, numeric=True)
    throughput = found["throughput"]
    if throughput is None:
        return Cell(MISSING, str(found["reason"]), numeric=True)
    interval = show_interval(throughput)
    device = f"device {show_value(found['device'])}" if found["device"] else "device not measured"
    return Cell(
        f"{show_value(throughput)}{' · cached' if found['cached'] else ''}",
        "\n".join(filter(None, (interval, device))),
        numeric=True,
        estimate=throughput,
    )

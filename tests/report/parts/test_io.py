"""How fio's cells are shown."""

from __future__ import annotations

from freepage.analysis.results import build_results
from freepage.records import Arm
from freepage.report.headlines import find_headlines
from freepage.report.parts.io import build_throughput_spec
from helpers.fio_run import CACHED, GUEST_IO, write_io_run


def test_a_run_of_fio_alone_puts_its_own_numbers_on_top(tmp_path):
    run = write_io_run(tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED})
    numbers = {n.label: n.value for n in find_headlines(build_results(run))}
    assert numbers["fio with FPR"] == "1.00×"
    assert numbers["Reads from the cache"] == "100.0 %"
    assert numbers["Cached cells lost"] == "0 cells"


def test_a_write_whose_device_was_not_measured_is_not_said_to_come_from_it(tmp_path):
    run = write_io_run(
        tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED},
        failing=[(Arm.VM, "device/write/1")],
    )  # fmt: skip
    (rows,) = build_throughput_spec(build_results(run).experiments["guest-io"])["datasets"].values()
    said = {(row["cell"], row["arm"]): row["how"] for row in rows}
    assert said["sequential write, 1 stream", "vm"] == "not known from where"
    assert said["sequential write, 1 stream", "vm-fpr"] == "from the page cache"

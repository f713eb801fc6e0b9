"""fio's cells over the trials of an experiment, from results to tables and figures."""

from __future__ import annotations

import json

import pytest

from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity
from freepage.analysis.results import build_results
from freepage.records import Arm
from freepage.report.figures import draw_figures
from freepage.report.tables import build_tables
from freepage.units import MIB
from helpers.fio_run import CACHED, DEVICE, GUEST_IO, HOST_IO, UNCACHED, write_io_run


def test_guests_that_keep_their_cache_lose_no_cell_and_the_ratio_has_an_interval(tmp_path):
    run = write_io_run(
        tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: (810.0 * MIB, 0.0)}
    )
    found = build_results(run).experiments["guest-io"]
    assert [c.id for c in found.cells] == ["read-1", "write-1", "read-2", "write-2"]
    cell = found.cells[0]
    assert cell.arms[Arm.VM_FPR].cached is True
    assert cell.arms[Arm.VM_FPR].device.value == pytest.approx(DEVICE)
    assert cell.arms[Arm.VM_FPR].throughput.n == 5
    assert found.compared(Comparison.IO_RATIO).value == pytest.approx(0.9, rel=0.001)
    assert found.compared(Comparison.IO_RATIO).low is not None
    assert found.compared(Comparison.CACHED_LOST).value == 0
    assert found.estimate(Arm.VM, Quantity.CACHED_READS).value == 1
    assert found.estimate(Arm.VM, Quantity.WORKING_SET_MEAN).value == pytest.approx(300 * MIB, rel=0.01)
    assert found.estimate(Arm.VM, Quantity.HELD_NEEDLESSLY) is None


def test_a_cell_that_is_no_longer_cached_with_fpr_is_counted_as_lost(tmp_path):
    run = write_io_run(tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: UNCACHED})
    results = build_results(run)
    found = results.experiments["guest-io"]
    assert found.compared(Comparison.CACHED_LOST).value == 4
    decisions = {c.id: c.decision for c in results.claims}
    assert decisions["no-cached-case-lost"] == "contradicted"
    title = next(f.title for f in draw_figures(run, results) if f.id.startswith("throughput"))
    assert title == "With FPR some reads no longer run from the guest's page cache (guest-io)"


def test_a_fio_that_fails_leaves_its_cell_empty_with_the_reason_and_the_rest_stands(tmp_path):
    run = write_io_run(
        tmp_path / "run",
        GUEST_IO,
        {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED},
        failing=[(Arm.VM_FPR, "cell/read/2")],
    )
    results = build_results(run)
    cells = {c.id: c for c in results.experiments["guest-io"].cells}
    empty = cells["read-2"].arms[Arm.VM_FPR]
    assert (empty.throughput, empty.cached) == (None, None)
    assert empty.reason == "fio ended with status 1: fio: no space"
    assert cells["read-2"].ratio is None
    assert cells["read-1"].ratio.value == pytest.approx(1.0)
    compared = results.experiments["guest-io"].compared
    assert compared(Comparison.IO_RATIO) is None, "the other cells alone are another mixture"
    assert compared(Comparison.CACHED_LOST).value == 0
    table = next(t for t in build_tables(results, run.manifest) if t.id == "guest-io")
    assert any("no space" in cell.interval for row in table.rows for cell in row)


def test_an_arm_that_was_skipped_says_why_in_every_cell(tmp_path):
    speeds = {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED}
    run = write_io_run(tmp_path / "run", GUEST_IO, speeds, skipped=(Arm.POD,))
    results = build_results(run)
    reasons = {c.arms[Arm.POD].reason for c in results.experiments["guest-io"].cells}
    assert reasons == {"fio is not installed"}
    doubt = next(d for d in results.doubts if d.id == "skipped-trials")
    assert "guest-io on pod" in doubt.text


def test_the_host_reads_from_its_cache_only_beside_vms_with_fpr(tmp_path):
    run = write_io_run(
        tmp_path / "run", HOST_IO, {Arm.BASELINE: CACHED, Arm.VM: UNCACHED, Arm.VM_FPR: CACHED}
    )
    results = build_results(run)
    decisions = {c.id: c.decision for c in results.claims}
    assert decisions["host-reads-cached"] == "confirmed"
    assert decisions["host-reads-not-cached-without"] == "confirmed"
    figure = next(f for f in draw_figures(run, results) if f.id == "throughput-host-io")
    assert figure.title == "Beside VMs with FPR the host reads from its page cache; without FPR it does not"
    assert set(figure.arms) == {"vm", "vm-fpr", "baseline"}
    assert '"log"' in json.dumps(figure.spec)
    memory = next(f for f in draw_figures(run, results) if f.id == "node-memory-host-io")
    assert "of the cgroup that plays the node" in memory.caption

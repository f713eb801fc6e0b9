"""Whether fio's file fits on a node beside VMs without FPR, where claims about the page cache tell nothing of FPR."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from freepage.analysis.estimates import Quantity
from freepage.analysis.room import find_roomy
from freepage.records import NODE, Arm
from freepage.units import GIB
from helpers.fio_run import CACHED, HOST_IO, write_io_run

HELD_BYTES = 4 * GIB


def size_node(trial, node_bytes):
    """Return the trial on a node that is a cgroup of so many bytes."""
    row = {"t_s": 0.0, "entity": NODE, "metric": "node_cgroup_limit_bytes", "value": float(node_bytes)}
    return replace(trial, samples=pl.concat([trial.samples, pl.DataFrame([row])]))


def find_in(run, *sizes, used_bytes=HELD_BYTES):
    """Return what is said of a run whose trials of VMs without FPR had nodes of these sizes, in turn."""
    mine = run.ok_trials(arm=Arm.VM)
    trials = [size_node(trial, sizes[n % len(sizes)]) for n, trial in enumerate(mine)]
    values = {t.record.id: {Quantity.NODE_ABSOLUTE_MAX: used_bytes} for t in trials}
    return find_roomy(replace(run, trials=trials), values)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    speeds = dict.fromkeys((Arm.VM, Arm.VM_FPR, Arm.BASELINE), CACHED)
    return write_io_run(tmp_path_factory.mktemp("io") / "run", HOST_IO, speeds)


def test_a_file_that_fits_beside_vms_without_fpr_is_told_with_the_node_that_would_do(run):
    (sentence,) = find_in(run, 64 * GIB).values()
    assert "fits beside VMs without FPR too, which leave 60.0 GiB of 64.0 GiB" in sentence
    assert "--node-memory of less than" in sentence


def test_a_node_that_it_does_not_fit_on_says_nothing(run):
    assert not find_in(run, HELD_BYTES + 1)


def test_one_trial_in_which_it_does_not_fit_says_nothing(run):
    assert not find_in(run, 64 * GIB, HELD_BYTES + 1)


def test_where_memory_in_use_is_not_known_nothing_is_said(run):
    assert not find_in(run, 64 * GIB, used_bytes=None)

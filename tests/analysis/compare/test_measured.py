"""One number of a run by block: which blocks have it, and which should have had it."""

from __future__ import annotations

import math

import polars as pl
import pytest

from freepage.analysis.compare.measured import BlockValues, MeasuredRun
from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity
from freepage.analysis.paths import EstimatePath
from freepage.records import Arm
from freepage.store import load_run
from freepage.units import MIB
from helpers.changed_run import change_samples
from helpers.modelled_run import CYCLE_ONLY, Truth, find_trial_ids, write_run

LATER = EstimatePath(Quantity.ALLOC_REST, Arm.VM_FPR)
PENALTY = EstimatePath(Comparison.REALLOCATION)


def measured(folder, failed=()):
    truth = Truth(repeats=3)
    if failed:
        write_run(folder / "whole", truth, study=CYCLE_ONLY)
        ids = find_trial_ids(folder / "whole", "cycle", Arm.VM)[:1]
        failed = dict.fromkeys(ids, "it broke")
    write_run(folder / "run", truth, study=CYCLE_ONLY, failed=dict(failed))
    return MeasuredRun(load_run(folder / "run"))


def test_each_block_has_the_ratio_of_its_own_arms(tmp_path):
    run = measured(tmp_path)
    own = run.find("cycle", LATER).values
    without = run.find("cycle", EstimatePath(Quantity.ALLOC_REST, Arm.VM)).values
    by_block = {t.record.repeat: {} for t in run.run.trials}
    for trial in run.run.trials:
        by_block[trial.record.repeat][trial.record.arm] = run.values[trial.record.id][Quantity.ALLOC_REST]
    ratios = [by_block[n][Arm.VM_FPR] / by_block[n][Arm.VM] for n in sorted(by_block)]
    assert run.find("cycle", PENALTY) == BlockValues(tuple(pytest.approx(r) for r in ratios))
    assert len(own) == len(without) == 3


def test_a_block_with_a_failed_trial_has_no_comparison_and_is_not_missing(tmp_path):
    run = measured(tmp_path, failed=(1,))
    assert len(run.find("cycle", PENALTY).values) == 2
    assert run.find("cycle", PENALTY).missing == 0
    assert len(run.find("cycle", LATER).values) == 3


@pytest.mark.parametrize("value", [None, math.inf])
def test_a_good_trial_without_the_number_is_missing_and_so_is_a_time_that_was_not_reached(tmp_path, value):
    run = measured(tmp_path)
    first = run.run.ok_trials("cycle", Arm.VM_FPR)[0].record.id
    run.values[first][Quantity.ALLOC_REST] = value
    found = run.find("cycle", LATER)
    assert (len(found.values), found.missing) == (2, 1)


def test_shares_that_the_runs_own_pods_show_to_be_wrong_are_not_there(tmp_path):
    """The report leaves them out; a gate on what VMs give back once passed by them."""
    write_run(tmp_path / "run", Truth(repeats=3), study=CYCLE_ONLY)
    change_samples(
        tmp_path / "run", Arm.POD, "rss_bytes", lambda t, v: pl.when(t > 3).then(300.0 * MIB).otherwise(v)
    )
    run = MeasuredRun(load_run(tmp_path / "run"))
    given_back = EstimatePath(Quantity.GIVEN_BACK, Arm.VM_FPR)
    assert run.find("cycle", given_back) == BlockValues()
    assert given_back.find(run.results["cycle"]) is None
    assert len(run.find("cycle", LATER).values) == 3

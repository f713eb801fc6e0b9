"""The VMs of stored runs as traces: of one whose truth is known, and of recorded ones."""

from __future__ import annotations

import numpy as np
import pytest

from freepage.forecast.forecast import forecast_all
from freepage.forecast.run_price import later_s_per_gib, price_of_run
from freepage.forecast.run_traces import measure_overhead, read_sizes, traces_of_run
from freepage.records import Arm
from freepage.store import load_run
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run
from helpers.recorded_runs import RUNS

TRUTH = Truth(repeats=3)


@pytest.fixture(scope="module")
def modelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "modelled"
    write_run(folder, TRUTH, study=CYCLE_ONLY)
    return load_run(folder)


@pytest.fixture(scope="module")
def recorded():
    return load_run(RUNS / "0.1-quick")


def test_every_vm_of_every_trial_is_a_trace_of_its_own_from_zero_to_the_end(modelled):
    traces = traces_of_run(modelled)
    assert len(traces) == len({t.name for t in traces}) == 6
    assert sorted(t.fpr_on for t in traces) == [False] * 3 + [True] * 3
    assert all(0 <= t.t_s[0] < 1 for t in traces)
    assert set(read_sizes(modelled).values()) == set(np.unique(traces[0].total_bytes))


def test_a_run_whose_guests_do_not_show_their_free_memory_says_so(modelled):
    forecast = forecast_all([(trace, None) for trace in traces_of_run(modelled)])
    assert forecast.total.vms == 0
    assert len(forecast.left_out) == 6
    assert "is free is not known" in forecast.unknown[0]
    assert measure_overhead(modelled) is None


def test_the_price_is_what_the_run_was_made_with(modelled):
    price = price_of_run(modelled)
    wait = price.wait_s_per_gib
    truth = TRUTH.rest_s_per_gib[Arm.VM_FPR] - TRUTH.rest_s_per_gib[Arm.VM]
    assert price.experiment == "cycle"
    assert wait.low < truth < wait.high
    assert not price.emulated


def test_allocations_that_are_each_process_first_are_no_price(modelled):
    trial = modelled.ok_trials(arm=Arm.VM)[0]
    assert later_s_per_gib(trial) == pytest.approx(TRUTH.rest_s_per_gib[Arm.VM], rel=2 * TRUTH.trial_spread)


def test_vms_of_a_recorded_run_without_fpr_forecast_those_with_it(recorded):
    overhead = measure_overhead(recorded)
    vms = forecast_all([(trace, overhead) for trace in traces_of_run(recorded)]).vms
    cycle = [vm for vm in vms if "-cycle-" in vm.name]
    forecast = np.mean([vm.gib_min.with_fpr.likely for vm in cycle if not vm.fpr_on])
    measured = np.mean([vm.gib_min.now for vm in cycle if vm.fpr_on])
    assert forecast == pytest.approx(measured, rel=0.05)

"""Recorded VMs and runs as kinds of a fleet."""

from __future__ import annotations

import numpy as np
import pytest

from freepage.errors import FreepageError
from freepage.forecast.fleet import Case
from freepage.forecast.replay import STEP_S, replay_forecasts
from freepage.forecast.replay_run import kinds_of_run
from freepage.forecast.trace import VmTrace
from freepage.forecast.vm import VmForecast
from freepage.store import load_run
from freepage.units import GIB, MIB
from helpers.modelled_run import Truth, write_run

OVERHEAD = 100.0 * MIB


def forecast(t_s, resident, free, likely=None, *, name="vm", gaps=(), fpr_on=False, high=None):
    """Make the forecast of a VM of 8 GiB, all in GiB."""
    t_s = np.array(t_s, float)
    resident, free = (np.broadcast_to(np.array(a, float), t_s.shape) * GIB for a in (resident, free))
    nothing = np.full(t_s.shape, np.nan)
    with_fpr = nothing if likely is None else np.broadcast_to(np.array(likely, float), t_s.shape) * GIB
    most = with_fpr if high is None else np.full(t_s.shape, high * GIB)
    total = np.full(t_s.shape, 8.0 * GIB)
    trace = VmTrace(name, t_s, resident, total, free, nothing, nothing, fpr_on=fpr_on, gaps=gaps)
    return VmForecast(trace, with_fpr, with_fpr, most, nothing, (), ())


def test_levels_are_resident_likely_and_used_without_the_overhead():
    kind, notes = replay_forecasts("vm", [forecast(range(0, 100, 10), 6, 5, 4)], OVERHEAD)
    levels = {case: float(found.max()) for case, found in kind.demand.levels.items()}
    assert levels[Case.WITHOUT] == pytest.approx(6 * GIB - OVERHEAD, abs=1)
    assert levels[Case.WITH] == pytest.approx(4 * GIB - OVERHEAD, abs=1)
    assert levels[Case.IDEAL] == 3 * GIB
    assert (kind.memory_bytes, kind.overhead_bytes, kind.passes, notes) == (8 * GIB, OVERHEAD, None, ())


def test_pieces_are_of_one_length_and_cover_what_is_known():
    kind, _ = replay_forecasts("vm", [forecast(range(0, 4001, 10), 6, 5, 4)], OVERHEAD)
    assert kind.demand.lengths_s.tolist() == [1000] * 4
    assert kind.demand.tracks.tolist() == [[0, 4]]


def test_no_piece_is_longer_than_an_hour():
    kind, _ = replay_forecasts("vm", [forecast(range(0, 40_001, 100), 6, 5, 4)], OVERHEAD)
    assert kind.demand.lengths_s.max() <= 3700
    assert kind.demand.lengths_s.sum() == 40_000


def test_samples_close_together_count_by_the_highest():
    resident = np.tile([1.0, 1.0, 3.0, 1.0, 1.0], 20)
    kind, _ = replay_forecasts("vm", [forecast(range(0, 200, 2), resident, 5, 1)], OVERHEAD)
    assert kind.demand.levels[Case.WITHOUT].min() == pytest.approx(3 * GIB - OVERHEAD, abs=1)
    assert kind.demand.at_s.shape == (4, 50 // STEP_S + 1)


def test_no_piece_goes_across_a_gap_or_a_missing_value():
    free = np.full(100, 5.0)
    free[40:50] = np.nan
    kind, _ = replay_forecasts("vm", [forecast(range(0, 1000, 10), 6, free, 4, gaps=(79,))], OVERHEAD)
    assert kind.demand.lengths_s.sum() == 390 + 290 + 190


def test_each_recorded_vm_is_a_track_of_its_own():
    two = [forecast(range(0, 100, 10), size, 5, 1, name=str(size)) for size in (2, 6)]
    kind, _ = replay_forecasts("vms", two, OVERHEAD)
    first, second = kind.demand.tracks
    assert first.tolist() == [0, second[0]]
    assert kind.demand.levels[Case.WITHOUT][second[0] :].min() == pytest.approx(6 * GIB - OVERHEAD, abs=1)


def test_without_free_blocks_the_most_that_may_be_held_is_taken_and_said():
    kind, notes = replay_forecasts("vm", [forecast(range(0, 100, 10), 6, 5, high=5)], OVERHEAD)
    assert kind.demand.levels[Case.WITH].max() == pytest.approx(5 * GIB - OVERHEAD, abs=1)
    assert notes == ("vm has no free blocks: with FPR the most is taken that its VMs may hold.",)


def test_of_a_vm_recorded_with_fpr_on_what_was_held_is_that_with_it():
    kind, notes = replay_forecasts("vm", [forecast(range(0, 100, 10), 6, 5, 4, fpr_on=True)], OVERHEAD)
    assert kind.demand.levels[Case.WITH].max() == pytest.approx(6 * GIB - OVERHEAD, abs=1)
    assert "recorded with FPR on" in notes[0]


def test_what_the_guest_uses_may_not_be_known():
    kind, _ = replay_forecasts("vm", [forecast(range(0, 100, 10), 6, np.nan, 4)], OVERHEAD)
    assert kind.cases == (Case.WITHOUT, Case.WITH)


@pytest.mark.parametrize("t_s", [[0], [0, 10]])
def test_a_vm_of_which_no_two_samples_are_known_is_refused(t_s):
    with pytest.raises(FreepageError, match="vm: nothing is known of it for two samples in a row"):
        replay_forecasts("vm", [forecast(t_s, 6, 5, 4, gaps=(0,))], OVERHEAD)


@pytest.fixture(scope="module")
def of_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    write_run(folder, Truth())
    return kinds_of_run(load_run(folder), OVERHEAD)


@pytest.mark.long
def test_a_run_gives_its_schedules_on_its_measured_idle_footprint(of_run):
    kinds, notes = of_run
    assert [kind.name for kind in kinds] == ["cycle", "random"]
    assert notes == ()
    levels = kinds[0].demand.levels[Case.IDEAL]
    idle = Truth().vm_idle_bytes - OVERHEAD
    assert (levels.min(), levels.max()) == (
        pytest.approx(idle, rel=0.01),
        pytest.approx(idle + 512 * MIB, rel=0.01),
    )


@pytest.mark.long
def test_what_vms_of_a_run_did_not_give_back_stays_stranded(of_run):
    assert of_run[0][0].stranded_fraction == pytest.approx(1 - Truth().given_back, abs=0.01)

"""How long an allocation takes as the host sees it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from freepage.analysis.fills import find_fills, measure_fills
from freepage.analysis.trial_values import measure_trial
from freepage.records import Arm
from freepage.units import MIB
from helpers.hand_made import block, make_trial, resident_of, ticks


def trial_of(blocks, *, interval_s=0.1, keeps=0.0, arm=Arm.POD, process_of=None):
    """Blocks of one instance by their iteration, sampled often; `keeps`: of what is freed stays on the host."""
    events = []
    for iteration, (start_s, touched_s, free_s) in enumerate(blocks):
        process = process_of(iteration) if process_of else 0
        events += [
            replace(e, iteration=iteration) for e in block(start_s, touched_s, free_s, process=process)
        ]
    times = ticks(-1.0, 60.0, interval_s)
    resident = np.minimum(resident_of(events, times, keeps=keeps, idle=40 * MIB), (40 + 512) * MIB)
    return make_trial({("a", "rss_bytes"): (times, resident)}, events, arm=arm, duration_s=60.0)


def test_the_first_and_the_later_times_are_those_in_which_the_hosts_memory_grows_by_nine_tenths():
    values = measure_fills(trial_of([(0.0, 4.0, 8.0), (20.0, 22.0, 28.0), (40.0, 42.0, 48.0)]))
    assert values["host_alloc_first_s"] == pytest.approx(3.6, abs=0.1)
    assert values["host_alloc_rest_s"] == pytest.approx(1.8, abs=0.1)
    assert values["host_alloc_rest_sd_s"] == pytest.approx(0.0, abs=0.05)
    assert 0.1 < values["host_alloc_resolution_s"] < 0.2


def test_a_vm_that_kept_what_it_freed_takes_nothing_of_the_host_again_and_has_no_time():
    values = measure_fills(trial_of([(0.0, 4.0, 8.0), (20.0, 22.0, 28.0)], keeps=1.0, arm=Arm.VM))
    assert values["host_alloc_first_s"] == pytest.approx(3.6, abs=0.1)
    assert values["host_alloc_rest_s"] is None


def test_a_block_that_was_freed_before_a_sample_saw_it_whole_has_no_time():
    values = measure_fills(trial_of([(0.2, 2.9, 2.95)], interval_s=1.0))
    assert values["host_alloc_first_s"] is None
    assert values["host_alloc_resolution_s"] is None


def test_blocks_that_an_instance_takes_together_are_one_stretch_and_those_beside_a_held_one_none():
    together = trial_of([(0.0, 4.0, 8.0), (1.0, 5.0, 9.0)], process_of=lambda n: n)
    (fill,) = find_fills(together)
    assert (fill.start_s, fill.allocated_s, fill.free_s, fill.bytes) == (0.0, 5.0, 8.0, 1024 * MIB)
    beside = trial_of([(0.0, 4.0, 30.0), (2.0, 6.0, 8.0), (10.0, 14.0, 18.0)], process_of=lambda n: n)
    assert [f.start_s for f in find_fills(beside)] == [0.0]


def test_frees_have_a_first_and_later_times_as_the_process_sees_them():
    trial = trial_of([(0.0, 4.0, 8.0), (20.0, 22.0, 28.0), (40.0, 42.0, 48.0)])
    values = measure_trial(trial)
    assert values["free_first_s"] == pytest.approx(0.04)
    assert values["free_rest_s"] == pytest.approx(0.04)
    assert values["free_rest_sd_s"] == pytest.approx(0.0, abs=1e-9)
    different = trial.events.with_columns(bytes=trial.events["bytes"] + trial.events["iteration"])
    assert measure_trial(replace(trial, events=different))["free_first_s"] is None


def test_what_falls_at_once_falls_within_half_an_interval_and_what_never_comes_back_has_no_time():
    values = measure_trial(trial_of([(0.0, 4.0, 8.0)], interval_s=1.0))
    assert values["release_fall_s"] == pytest.approx(0.5, abs=0.05)
    kept = measure_trial(trial_of([(0.0, 4.0, 8.0)], keeps=1.0, arm=Arm.VM))
    assert kept["release_fall_s"] is None

"""The books of a trial: memory and CPU of the node less those of its instances."""

from __future__ import annotations

import numpy as np
import pytest

from freepage.analysis.closure import (
    cpu_closure,
    find_excursions,
    measure_closure,
    memory_closure,
    memory_limit,
)
from freepage.analysis.series import Series
from freepage.records import Action, Arm, Step
from freepage.units import GIB, MIB
from helpers.hand_made import make_trial, ticks

TIMES = ticks(-5, 10, 0.5)


def trial_with(other_bytes=0.0, other_cores=0.0, arm=Arm.VM, names="rss_anon_bytes", **options):
    """A node of 8 GiB with 1 GiB in use; from zero on an instance takes 300 MiB and a core, and others what they take."""
    during = TIMES >= 0
    mine = np.where(during, 300.0 * MIB, 0.0)
    used = GIB + mine + np.where(during, other_bytes, 0.0)
    seconds = np.clip(TIMES, 0, None)
    levels = {
        ("node", "mem_total_bytes"): 8.0 * GIB + 0 * TIMES,
        ("node", "mem_free_bytes"): 7.0 * GIB - used,
        ("node", "mem_cached_bytes"): GIB + 0 * TIMES,
        ("node", "cpu_user_s"): seconds * (1 + other_cores),
        ("a", names): mine,
        ("a", "cpu_total_s"): seconds,
    }
    zeros = [
        "mem_buffers_bytes",
        "mem_sreclaimable_bytes",
        *(f"cpu_{s}_s" for s in ("nice", "system", "irq", "softirq")),
    ]
    levels |= {("node", name): 0 * TIMES for name in zeros} | options.pop("more", {})
    with_times = {
        key: (TIMES if key[0] == "node" else TIMES[TIMES >= -2], v if key[0] == "node" else v[TIMES >= -2])
        for key, v in levels.items()
    }
    return make_trial(with_times, [], arm=arm, duration_s=10.0, **options)


def test_books_of_a_quiet_host_close():
    trial = trial_with()
    assert memory_closure(trial).values == pytest.approx(0.0, abs=1)
    assert cpu_closure(trial).values == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("names", ["rss_anon_bytes", "rss_bytes"])
def test_memory_of_others_is_what_is_left(names):
    closure = memory_closure(trial_with(other_bytes=145 * MIB, names=names))
    assert closure.median() == pytest.approx(145 * MIB)
    found = find_excursions(closure, 16 * MIB)
    assert (found[0].start_s, found[0].end_s, found[0].worst) == (0.0, 10.0, pytest.approx(145 * MIB))


def test_cpu_of_others_is_what_is_left_when_the_sampler_is_taken_off_too():
    trial = trial_with(other_cores=0.55, sampler_cpu_s=0.5, sampler_wall_s=10.0)
    assert cpu_closure(trial).median() == pytest.approx(0.5)


def test_a_spike_of_two_ticks_is_a_step_that_fell_between_two_readings():
    values = np.array([0, 187.0, 187.0, 0, 0, 20.0, 20.0, -30.0, 0])
    found = find_excursions(Series(np.arange(9.0), values), 16)
    assert [(e.start_s, e.end_s, e.worst) for e in found] == [(5.0, 7.0, -30.0)]


def test_nothing_is_said_of_nodes_that_were_not_read_with_their_instances():
    ages = {("node", "node_sample_age_s"): 0.1 + 0 * TIMES}
    trial = trial_with(more=ages)
    assert memory_closure(trial) is None
    assert cpu_closure(trial) is None
    assert set(measure_closure(trial).values()) == {None}


def test_nothing_is_said_of_programs_in_containers_whose_memory_is_not_in_the_workers():
    program = Step(0.0, Action.RUN, 0, 0, argv=("fio",))
    assert memory_closure(trial_with(arm=Arm.POD, programs=[program])) is None
    in_a_vm = trial_with(arm=Arm.VM, programs=[program])
    assert memory_closure(in_a_vm) is not None
    assert cpu_closure(in_a_vm) is None


def test_page_tables_of_large_guests_are_no_other_work():
    small, large = trial_with(), trial_with(more={("a", "rss_bytes"): 64.0 * GIB + 0 * TIMES})
    assert memory_limit(small, 0.0) == 16 * MIB
    assert memory_limit(small, -2 * GIB) == pytest.approx(0.05 * 2 * GIB)
    assert memory_limit(large, 0.0) == 256 * MIB

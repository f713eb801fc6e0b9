"""Steps that wait for each other: how long, and how far apart they start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.analysis.together import find_barrier_waits, measure_together
from freepage.records import Action, Arm, ProcessSchedule, Step
from freepage.units import MIB
from helpers.hand_made import block, make_trial


def trial_of(*, barrier, kind="cycle"):
    """Two processes that allocate at 0 and free at 5; the second one's allocation lasts until 9, so the first waits to free."""
    steps = (
        Step(0.0, Action.ALLOCATE, 512 * MIB, 0, barrier=barrier),
        Step(5.0, Action.FREE, 512 * MIB, 0, barrier=barrier),
    )
    events = []
    for process, (late_s, touched_s) in enumerate([(0.01, 2.0), (0.03, 9.0)]):
        taken, freed = block(0.25 + late_s, touched_s, 9.25 + late_s, process=process)
        events += [
            replace(taken, index=0, planned_s=0.25, late_s=late_s),
            replace(freed, index=1, planned_s=9.25, late_s=late_s),
        ]
    trial = make_trial({}, events, arm=Arm.VM, kind=kind)
    return replace(trial, schedules={"a": [ProcessSchedule(n, steps) for n in range(2)]})


def test_a_process_waits_from_its_own_time_or_the_end_of_its_last_step_until_all_go():
    waits = find_barrier_waits(trial_of(barrier=True))
    assert waits == pytest.approx([0.25, 4.25, 0.25, 0.25])


def test_time_in_barriers_and_skew_are_told_of_every_kind_whose_steps_wait_for_each_other():
    values = measure_together(trial_of(barrier=True, kind="random"))
    assert values["barrier_wait_mean_s"] == pytest.approx(1.25)
    assert values["barrier_wait_max_s"] == pytest.approx(4.25)
    assert values["start_skew_max_s"] == pytest.approx(0.02)


def test_without_a_barrier_nothing_is_waited_for():
    values = measure_together(trial_of(barrier=False))
    assert set(values.values()) == {None}
    burst = measure_together(trial_of(barrier=False, kind="burst"))
    assert burst["barrier_wait_mean_s"] is None
    assert burst["start_skew_max_s"] == pytest.approx(0.02)

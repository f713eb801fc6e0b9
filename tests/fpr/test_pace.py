"""What instances move together, from their schedules."""

from __future__ import annotations

import pytest

from freepage.fpr.pace import find_schedule_pace
from freepage.records import Action, ProcessSchedule, Step
from freepage.units import GIB


def schedule(*times_s):
    """Return a process that allocates 1 GiB and frees it, at these times in turn."""
    actions = (Action.ALLOCATE, Action.FREE)
    return ProcessSchedule(0, tuple(Step(t, actions[n % 2], GIB, n // 2) for n, t in enumerate(times_s)))


def test_what_instances_allocate_is_a_mean_over_the_trial_and_what_they_free_is_their_common_peak():
    pace = find_schedule_pace({"a": [schedule(0, 10)], "b": [schedule(5, 15)]}, 20.0)
    assert (pace.allocated_gib_s, pace.freed_gib_s) == (0.1, 0.2)


@pytest.mark.parametrize(("second", "room"), [(schedule(0, 10), 0.0), (schedule(10, 20), 0.5)])
def test_instances_that_never_peak_together_leave_room_to_save(second, room):
    assert find_schedule_pace({"a": [schedule(0, 10)], "b": [second]}, 20.0).peak_room == room


def test_instances_that_do_nothing_leave_nothing_to_save():
    pace = find_schedule_pace({"a": [ProcessSchedule(0, ())]}, 20.0)
    assert (pace.allocated_gib_s, pace.freed_gib_s, pace.peak_room, pace.saved_in_time) == (0, 0, 0, 1)

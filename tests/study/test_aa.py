"""The A/A study: the same arm under two names."""

from __future__ import annotations

import pytest

from freepage.errors import StudyError
from freepage.records import Arm
from freepage.study.plan import plan_trials, planned_duration_s
from freepage.study.request import RunRequest, plan_run
from helpers.studies import HOST, scaled


def test_the_control_is_the_same_vm_with_the_same_schedules():
    trials = plan_trials(scaled("aa", 1.0))
    assert [t.arm for t in trials].count(Arm.VM) == [t.arm for t in trials].count(Arm.CONTROL) == 5
    assert {i.carrier for t in trials for i in t.instances} == {Arm.VM}
    for repeat in range(5):
        one, other = (t for t in trials if t.repeat == repeat)
        assert one.instances == other.instances


def test_any_arm_can_be_run_twice_but_only_one():
    study = plan_run(RunRequest("aa", arms=(Arm.VM_FPR,)), "tcg", HOST)
    assert {i.carrier for t in study.trials for i in t.instances} == {Arm.VM_FPR}
    with pytest.raises(StudyError, match="runs one arm twice") as caught:
        plan_run(RunRequest("aa", arms=(Arm.VM, Arm.VM_FPR)), "tcg", HOST)
    assert "--arms vm" in str(caught.value.hint)


def test_it_takes_about_as_long_as_quick():
    assert planned_duration_s(plan_run(RunRequest("aa"), "tcg", HOST).trials, "tcg") <= 330

"""The warm-up of a run."""

from __future__ import annotations

import pytest

from freepage.records import Action
from freepage.study.plan import plan_trials, planned_duration_s
from freepage.study.read import builtin_studies, parse_study
from freepage.study.request import RunRequest, plan_run
from freepage.study.scaling.study import scale_study
from freepage.study.warmup import WARMUP_S, plan_run_trials, plan_warmup, warmup_duration_s
from helpers.studies import HOST, SMALL, scaled


def steps_of(trial):
    return [s for i in trial.instances for p in i.schedules for s in p.steps]


@pytest.mark.parametrize("name", builtin_studies())
def test_a_run_begins_with_one_short_trial_of_each_arm_of_its_first_experiment(name):
    study = scaled(name, 0.05)
    warmup = plan_warmup(study)
    first = study.experiments[0]
    assert {t.arm for t in warmup} == set(first.arms)
    assert len(warmup) == len(first.arms)
    assert all(t.warmup and t.duration_s == WARMUP_S for t in warmup)
    assert all(steps_of(t) for t in warmup)
    trials = plan_run_trials(study)
    assert [t.order for t in trials] == list(range(len(trials)))
    assert len({t.id for t in trials}) == len(trials)
    assert [t.warmup for t in trials] == [True] * len(warmup) + [False] * (len(trials) - len(warmup))


@pytest.mark.parametrize("name", builtin_studies())
def test_a_warm_up_starts_at_once_and_frees_all_it_allocates_by_its_end(name):
    for trial in plan_warmup(scaled(name, 0.05)):
        steps = steps_of(trial)
        assert min(s.at_s for s in steps) == 0.0
        assert max(s.at_s for s in steps) <= WARMUP_S
        held = sum(s.bytes * (1 if s.action is Action.ALLOCATE else -1) for s in steps)
        assert held == 0


def test_a_program_is_ended_with_the_warm_up_however_long_it_would_run():
    """One of ten minutes once held up the first trial of each arm until that failed."""
    own = """
name = "own"
[[experiment]]
kind = "command"
command = ["/bin/sleep", "600"]
timeout = "15min"
"""
    study = scale_study(parse_study(own, "own.toml"), 1.0, SMALL)
    for trial in (*plan_warmup(study), *plan_warmup(scaled("guest-io", 0.2))):
        runs = [s for s in steps_of(trial) if s.action is Action.RUN]
        assert runs
        assert all(0 < s.timeout_s <= WARMUP_S for s in runs)
    assert all(s.timeout_s == 900 for t in plan_trials(study) for s in steps_of(t))


def test_a_smoke_run_has_no_warm_up():
    assert plan_warmup(plan_run(RunRequest("quick", smoke=True), "tcg", HOST).study) == []


def test_the_planned_time_holds_the_warm_up():
    study = scaled("quick", 1.0)
    more_s = planned_duration_s(plan_run_trials(study), "tcg") - planned_duration_s(plan_trials(study), "tcg")
    assert more_s == pytest.approx(warmup_duration_s(study.experiments[0], "tcg"))
    assert 15 <= more_s <= 40

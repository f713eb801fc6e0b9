from __future__ import annotations

import pytest

from freepage.study.plan import planned_duration_s
from freepage.study.read import builtin_studies
from freepage.study.request import RunRequest, plan_run
from helpers.studies import HOST


@pytest.mark.parametrize("name", [n for n in builtin_studies() if n not in {"quick", "article"}])
def test_a_smoke_run_of_any_experiment_takes_about_a_minute(name):
    trials = plan_run(RunRequest(name, scale=0.01), "tcg", HOST).trials
    assert planned_duration_s(trials, "tcg") <= 60
    assert len(trials) <= 3


def test_a_smoke_run_keeps_the_first_experiment_of_each_kind_and_names_the_others():
    smoke = plan_run(RunRequest("guest-io", scale=0.01), "tcg", HOST)
    assert {t.experiment.name for t in smoke.trials} == {"guest-io-ext4"}
    assert smoke.left_out == ("guest-io-xfs",)
    assert plan_run(RunRequest("guest-io", scale=0.02), "tcg", HOST).left_out == ()
    assert plan_run(RunRequest("article", scale=0.01), "tcg", HOST).left_out == ("guest-io-xfs",)

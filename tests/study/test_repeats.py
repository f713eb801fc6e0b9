"""How many repeats decide, and what they can see."""

from __future__ import annotations

import random
from statistics import fmean, stdev

import pytest

from freepage.study.plan import planned_duration_s
from freepage.study.read import builtin_studies, parse_study
from freepage.study.repeats import ENOUGH_REPEATS, describe_repeats, detectable_ratio
from freepage.study.request import RunRequest, plan_run
from helpers.studies import HOST

MINIMAL = '[[experiment]]\nkind = "cycle"\nsize = "8MiB"\nhold = "1s"\nidle = "4s"\niterations = 1\n'


@pytest.mark.parametrize(
    ("repeats", "variation", "percent"),
    [(3, 0.02, 9.2), (5, 0.02, 4.8), (10, 0.02, 2.9), (5, 0.05, 12.5), (10, 0.05, 7.3)],
)
def test_the_detectable_ratio_is_that_of_a_paired_t_test_on_logarithms(repeats, variation, percent):
    assert (detectable_ratio(repeats, variation) - 1) * 100 == pytest.approx(percent, abs=0.06)


def test_a_difference_of_that_size_is_seen_in_about_four_of_five_experiments():
    chance, repeats, variation = random.Random(5), 5, 0.02
    effect = detectable_ratio(repeats, variation)
    seen = 0
    for _ in range(2000):
        logs = [chance.gauss(effect - 1, variation) - chance.gauss(0, variation) for _ in range(repeats)]
        seen += abs(fmean(logs)) > 2.776 * stdev(logs) / repeats**0.5
    assert 0.76 < seen / 2000 < 0.86


def test_one_pair_shows_no_difference_of_any_size():
    assert detectable_ratio(1, 0.02) is None


@pytest.mark.parametrize(
    ("repeats", "words"),
    [
        (1, "1 repeat decides nothing; 5 do"),
        (2, "2 repeats decide nothing; 5 do"),
        (3, "3 repeats can show differences from 9.2 % where trials vary by 2 %, from 24.5 % where trials vary by 5 %"),
        (5, "5 repeats can show differences from 4.8 % where trials vary by 2 %, from 12.5 % where trials vary by 5 %"),
    ],
)  # fmt: skip
def test_a_plan_says_what_so_many_repeats_can_decide(repeats, words):
    assert describe_repeats(repeats).startswith(words)
    assert ("confirm nothing, 5 do" in describe_repeats(repeats)) == (repeats in {3, 4})


def test_a_study_repeats_five_times_where_it_says_nothing():
    assert parse_study(f'name = "s"\n{MINIMAL}', "s.toml").repeats == ENOUGH_REPEATS == 5


@pytest.mark.parametrize("name", [n for n in builtin_studies() if n not in {"quick", "article"}])
def test_a_built_in_study_of_one_question_repeats_often_enough_to_decide_it(name):
    study = plan_run(RunRequest(name), "tcg", HOST).study
    assert not study.smoke
    assert {e.repeats for e in study.experiments} == {5}


@pytest.mark.parametrize(
    ("name", "minutes"),
    [("quick", 5), ("cycle", 40), ("article", 90), ("churn", 15), ("random", 35), ("burst", 25)],
)
@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_built_in_studies_keep_to_their_time_with_all_repeats_and_the_warm_up(name, minutes, accelerator):
    plan = plan_run(RunRequest(name), accelerator, HOST)
    assert planned_duration_s(plan.trials, accelerator) <= minutes * 60
    assert plan.trials[0].warmup

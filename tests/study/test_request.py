from __future__ import annotations

import pytest

from freepage.errors import CapacityError, StudyError
from freepage.study.plan import planned_duration_s
from freepage.study.read import builtin_studies
from freepage.study.request import RunRequest, plan_run
from helpers.studies import HOST


@pytest.mark.parametrize("name", [n for n in builtin_studies() if n not in {"quick", "article"}])
def test_a_smoke_run_of_any_experiment_takes_about_a_minute(name):
    trials = plan_run(RunRequest(name, smoke=True), "tcg", HOST).trials
    assert planned_duration_s(trials, "tcg") <= 60
    assert len(trials) <= 4


def test_a_smoke_run_keeps_the_first_experiment_of_each_kind_and_names_the_others():
    smoke = plan_run(RunRequest("guest-io", smoke=True), "tcg", HOST)
    assert {t.experiment.name for t in smoke.trials} == {"guest-io-ext4"}
    assert smoke.left_out == ("guest-io-xfs",)
    assert plan_run(RunRequest("guest-io", scale=0.02), "tcg", HOST).left_out == ()
    assert plan_run(RunRequest("article", smoke=True), "tcg", HOST).left_out == ("guest-io-xfs",)


def test_a_smoke_run_of_the_whole_article_takes_five_minutes():
    assert plan_run(RunRequest("article", smoke=True), "tcg", HOST).planned_duration_s <= 300


def test_no_scale_is_a_smoke_run():
    assert not plan_run(RunRequest("cycle", scale=0.002), "tcg", HOST).study.smoke


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 0.1, "memory_bytes": 8 << 30}, "--scale fixes the sizes that --memory would choose"),
        ({"smoke": True, "scale": 1.0}, "--scale has no part in it"),
        ({"smoke": True, "time_s": 60.0}, "--time has no part in it"),
        ({"smoke": True, "memory_bytes": 8 << 30}, "--memory has no part in it"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, words):
    with pytest.raises(StudyError, match=words):
        plan_run(RunRequest("cycle", **options), "tcg", HOST)


def test_at_a_given_scale_a_time_takes_repeats_before_allocations_and_no_sizes():
    whole = plan_run(RunRequest("cycle", scale=0.01), "tcg", HOST).study.experiments[0]
    found = []
    for seconds in (900.0, 500.0):
        short = plan_run(RunRequest("cycle", scale=0.01, time_s=seconds), "tcg", HOST)
        (cycle,) = short.study.experiments
        assert short.planned_duration_s <= seconds
        assert cycle.groups[0].size == whole.groups[0].size
        found.append((cycle.repeats, cycle.groups[0].iterations))
    assert found[0] == (1, 11)
    assert found[1][0] == 1
    assert 5 <= found[1][1] < 11


# A machine of 192 GiB has less than that, and less than that is available.
NODE = {"memory_total_bytes": 188 << 30, "memory_available_bytes": 184 << 30, "cpus_logical": 80}


def test_the_article_runs_at_its_own_size_on_its_own_node():
    run_plan = plan_run(RunRequest("article", scale=1.0), "kvm", NODE)
    assert {words.split("; ")[0] for words in run_plan.sizes.values()} == {"at its own size"}
    host_io = run_plan.study.experiments[-1]
    memory, fio = host_io.groups
    assert host_io.node_memory_bytes == 184 << 30
    assert (fio.job.file_bytes, memory.instances, memory.processes) == (90 << 30, 17, 8)
    with pytest.raises(CapacityError, match="host-io needs"):
        plan_run(RunRequest("host-io", scale=1.0), "kvm", NODE | {"memory_available_bytes": 170 << 30})


def test_at_its_own_size_the_article_takes_eleven_hours_to_which_repeats_give_way_and_no_count():
    run_plan = plan_run(RunRequest("article", scale=1.0), "kvm", NODE)
    study = run_plan.study
    assert 9 * 3600 < run_plan.planned_duration_s <= 11 * 3600
    assert [e.repeats for e in study.experiments] == [3, 1, 1, 1, 1, 1, 1]
    assert study.experiments[0].groups[0].iterations == 11
    assert run_plan.sizes["random"] == "at its own size; 1 of 5 repeats, since there is no more time"


def test_repeats_that_are_given_take_as_long_as_they_take_at_a_given_scale():
    """Five of everything are 34 hours at the article's own size, and one is 7."""
    hours = {}
    for repeats in (1, 5):
        run_plan = plan_run(RunRequest("article", scale=1.0, repeats=repeats), "kvm", NODE)
        assert {e.repeats for e in run_plan.study.experiments} == {repeats}
        assert run_plan.sizes == {}
        hours[repeats] = run_plan.planned_duration_s / 3600
    assert hours == pytest.approx({1: 6.8, 5: 34}, rel=0.03)


def test_at_a_given_scale_a_study_without_a_time_for_it_has_all_its_repeats():
    run_plan = plan_run(RunRequest("cycle", scale=1.0), "kvm", NODE)
    assert (run_plan.study.experiments[0].repeats, run_plan.budget) == (5, None)


def test_a_plan_says_what_runs_instead_of_what():
    sizes = plan_run(RunRequest("random", time_s=1200.0), "tcg", HOST).sizes["random"]
    assert sizes.startswith("10 VMs of ")
    assert "instead of 10 VMs of 8.00 GiB for 30 min" in sizes
    assert "3 of 5 repeats, since there is no more time" in sizes
    assert "quick" not in plan_run(RunRequest("quick"), "tcg", HOST).sizes

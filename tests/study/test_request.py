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


def test_at_a_given_scale_a_time_takes_repeats_and_allocations_but_no_sizes():
    whole = plan_run(RunRequest("cycle", scale=0.01), "tcg", HOST).study.experiments[0]
    short = plan_run(RunRequest("cycle", scale=0.01, time_s=900.0), "tcg", HOST)
    (cycle,) = short.study.experiments
    assert short.planned_duration_s <= 900
    assert cycle.groups[0].size == whole.groups[0].size
    assert (cycle.repeats, cycle.groups[0].iterations) < (whole.repeats, whole.groups[0].iterations)


def test_the_article_runs_at_its_own_size_on_its_own_node():
    """A machine of 192 GiB has less than that, and less than that is available."""
    node = {"memory_total_bytes": 188 << 30, "memory_available_bytes": 184 << 30, "cpus_logical": 80}
    run_plan = plan_run(RunRequest("article", scale=1.0), "kvm", node)
    assert run_plan.sizes == {}
    host_io = run_plan.study.experiments[-1]
    memory, fio = host_io.groups
    assert host_io.node_memory_bytes == 184 << 30
    assert (fio.job.file_bytes, memory.instances, memory.processes) == (90 << 30, 17, 8)
    with pytest.raises(CapacityError, match="host-io needs"):
        plan_run(RunRequest("host-io", scale=1.0), "kvm", node | {"memory_available_bytes": 170 << 30})


def test_a_plan_says_what_runs_instead_of_what():
    sizes = plan_run(RunRequest("random", time_s=1500.0), "tcg", HOST).sizes["random"]
    assert sizes.startswith("10 VMs of ")
    assert "instead of 10 VMs of 8.00 GiB for 30 min" in sizes
    assert "3 of 5 repeats, since there is no more time" in sizes
    assert "quick" not in plan_run(RunRequest("quick"), "tcg", HOST).sizes

"""The largest study that a budget allows: what gives way, in which order, and that nothing exceeds the budget."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freepage.errors import CapacityError
from freepage.study.demand import find_demand_bytes, find_duration_s
from freepage.study.fitting import find_way, fit_study
from freepage.study.plan import plan_trials, planned_duration_s
from freepage.study.read import builtin_studies, parse_study
from freepage.study.request import RunRequest, plan_run
from freepage.study.scaling.scale import LEAST_FACTOR
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions, MemoryGroup
from freepage.study.warmup import plan_run_trials, warmup_duration_s
from freepage.units import GIB, MIB
from helpers.studies import ARTICLE, HOST, SMALL, read

MINUTE_S = 60.0
ARTICLES_COUNTS = {"cycle": 1, "random": 10, "churn": 10, "burst": 32, "host-io": 17}


def host(memory, cores=2, available=0.92):
    return {
        "memory_total_bytes": memory * GIB,
        "memory_available_bytes": round(available * memory * GIB),
        "cpus_logical": cores,
    }


def instances_of(study):
    return {
        e.name: sum(g.instances for g in e.groups if isinstance(g, MemoryGroup))
        for e in study.experiments
        if e.name in ARTICLES_COUNTS
    }


def allocations_of(study):
    return next(e.groups[0].iterations for e in study.experiments if e.name == "cycle")


def fit(name, memory_bytes, seconds, conditions=SMALL, *, fixed=False):
    """Return the sizings of a study in a budget, in the study's order."""
    way = find_way(read(name), conditions, memory_bytes, fixed=fixed)
    return list(fit_study(way, seconds).values())


@pytest.mark.parametrize(
    ("accelerator", "memory", "cores", "minutes"), [("tcg", 24, 2, 90), ("kvm", 32, 8, 40)]
)
def test_the_whole_article_runs_in_its_time_with_the_articles_numbers_of_vms(
    accelerator, memory, cores, minutes
):
    run_plan = plan_run(RunRequest("article"), accelerator, host(memory, cores))
    assert run_plan.planned_duration_s <= minutes * MINUTE_S
    assert instances_of(run_plan.study) == ARTICLES_COUNTS
    processes = {e.name: e.groups[0].processes for e in run_plan.study.experiments}
    assert (processes["random"], processes["churn"], processes["host-io"]) == (4, 4, 8)


def test_on_a_laptop_with_kvm_half_of_the_articles_allocations_stay_and_memory_has_the_repeats_that_show_something():
    study = plan_run(RunRequest("article"), "kvm", host(32, cores=8)).study
    assert allocations_of(study) >= 5
    repeats = {e.name: e.repeats for e in study.experiments}
    assert repeats["cycle"] == repeats["random"] == repeats["burst"] == 3


def test_on_two_cores_under_emulation_the_article_has_all_allocations_and_its_headline_the_repeats_that_decide():
    study = plan_run(RunRequest("article"), "tcg", host(24)).study
    assert allocations_of(study) == 11
    assert study.experiments[0].repeats == 5
    assert min(e.repeats for e in study.experiments) == 3


@pytest.mark.long
@pytest.mark.parametrize("name", builtin_studies())
@settings(max_examples=8, deadline=None)
@given(
    memory=st.integers(3, 256),
    cores=st.sampled_from([1, 2, 8, 80]),
    accelerator=st.sampled_from(["kvm", "tcg"]),
    minutes=st.sampled_from([15, 30, 60, 90, 240]),
)
def test_nothing_that_is_planned_exceeds_its_budget(name, memory, cores, accelerator, minutes):
    conditions = Conditions(memory * GIB, cores, accelerator, available_bytes=round(0.92 * memory * GIB))
    file, budget_bytes = read(name), 0.75 * conditions.available_bytes
    with suppress(CapacityError):
        way = find_way(file, conditions, budget_bytes, fixed=False)
        study = scale_study(file, fit_study(way, minutes * MINUTE_S), conditions)
        durations = [e.repeats * find_duration_s(e, accelerator) for e in study.experiments]
        warmup_s = warmup_duration_s(study.experiments[0], accelerator)
        assert sum(durations) + warmup_s <= minutes * MINUTE_S + 1e-6
        assert max(find_demand_bytes(e) for e in study.experiments) <= budget_bytes


@pytest.mark.long
@pytest.mark.parametrize("name", ["article", "random", "cycle", "guest-io"])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_with_more_time_nothing_gets_less(name, data):
    less_s = data.draw(st.floats(30 * MINUTE_S, 300 * MINUTE_S))
    more_s = data.draw(st.floats(less_s, 400 * MINUTE_S))
    for less, more in zip(fit(name, 16 * GIB, less_s), fit(name, 16 * GIB, more_s), strict=True):
        assert more.repeats >= less.repeats
        assert more.iterations >= less.iterations
        assert more.instances == less.instances
        assert more.factor >= less.factor * 0.999


@pytest.mark.parametrize("name", ["article", "burst", "host-io"])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_with_more_memory_there_are_no_fewer_instances_and_no_smaller_sizes_of_as_many(name, data):
    less_bytes = data.draw(st.integers(2 * GIB, 30 * GIB))
    more_bytes = data.draw(st.integers(less_bytes, 60 * GIB))
    ample_s = 1e6
    for less, more in zip(fit(name, less_bytes, ample_s), fit(name, more_bytes, ample_s), strict=True):
        assert more.instances >= less.instances
        assert more.compact <= less.compact
        if (more.instances, more.compact) == (less.instances, less.compact):
            assert more.factor >= less.factor * 0.999


def test_sizes_give_way_first_then_repeats_beyond_three_then_allocations_and_the_last_repeats_at_the_end():
    def found(minutes):
        sizings = fit("article", 16 * GIB, minutes * MINUTE_S)
        cycle = sizings[0]
        return cycle.factor > LEAST_FACTOR * 2, {s.repeats for s in sizings}, cycle.iterations

    assert found(400) == (True, {5}, 1.0)
    assert found(140) == (False, {5}, 1.0)
    assert found(85) == (False, {3}, 1.0) or found(85) == (False, {3, 5}, 1.0)
    assert found(72)[1] == {3}
    assert found(72)[2] < 1.0
    assert found(40) == (False, {1, 3}, 5 / 11)


def test_instances_give_way_only_where_the_smallest_guests_do_not_fit():
    (burst,) = fit("burst", 12 * GIB, 1e6)
    assert (burst.instances, burst.compact) == (1.0, True)
    (burst,) = fit("burst", 4 * GIB, 1e6)
    assert 2 / 32 < burst.instances < 1.0
    assert burst.factor < 2 * 0.0146
    (burst,) = fit("burst", 100 * GIB, 1e6, ARTICLE)
    assert (burst.instances, burst.compact, burst.factor) == (1.0, False, 1.0)


def test_repeats_that_are_given_do_not_give_way():
    (cycle,) = fit("cycle", 16 * GIB, 20 * MINUTE_S, fixed=True)
    assert cycle.repeats == 5
    assert cycle.iterations < 1.0


def test_a_time_too_short_for_the_least_study_is_refused_with_one_that_works():
    with pytest.raises(CapacityError, match=r"takes .* at least, and may take 2 min") as caught:
        fit("article", 16 * GIB, 120.0)
    minutes = float(str(caught.value.hint).split()[1].removesuffix("min"))
    assert {s.repeats for s in fit("article", 16 * GIB, minutes * MINUTE_S)} == {1}


def test_a_memory_too_small_for_the_least_study_is_refused_with_one_that_works():
    with pytest.raises(
        CapacityError, match=r"random needs .* at its smallest, and may take 300 MiB"
    ) as caught:
        fit("random", 300 * MIB, 1e6)
    enough = float(str(caught.value.hint).split()[1].removesuffix("MiB"))
    assert fit("random", enough * MIB, 1e6)[0].instances == 0.2


def test_a_node_smaller_than_its_guests_when_idle_is_refused():
    request = RunRequest("host-io", node_memory_bytes=256 * MIB)
    with pytest.raises(CapacityError, match="at its smallest"):
        plan_run(request, "tcg", HOST)


def test_time_and_memory_are_known_without_schedules():
    study = scale_study(read("article", "repeats=2"), 0.02, SMALL)
    demands = {t.experiment.name: t.demand_bytes for t in plan_trials(study)}
    assert all(demands[e.name] <= find_demand_bytes(e) for e in study.experiments)
    seconds = sum(e.repeats * find_duration_s(e, "tcg") for e in study.experiments)
    seconds += warmup_duration_s(study.experiments[0], "tcg")
    assert planned_duration_s(plan_run_trials(study), "tcg") == pytest.approx(seconds)


def test_guests_get_no_smaller_than_one_that_boots():
    (burst,) = scale_study(
        read("burst"), {"burst": fit("burst", 12 * GIB, 1e6)[0]}, Conditions(24 * GIB, 2, "tcg")
    ).experiments
    assert burst.groups[0].vm_memory_bytes >= 192 * MIB + burst.groups[0].size.maximum


def test_where_the_studys_own_time_does_not_suffice_the_least_is_run_all_the_same():
    """On nodes that cannot be made smaller the file of host-io fills what is left of them."""
    nodes = {"memory_total_bytes": 400 * GIB, "memory_available_bytes": 380 * GIB, "cpus_logical": 96}
    run_plan = plan_run(RunRequest("article"), "kvm", nodes, nodes_are_given=True)
    assert {e.repeats for e in run_plan.study.experiments} == {1}
    assert run_plan.planned_duration_s > run_plan.budget.duration_s
    with pytest.raises(CapacityError, match="at least"):
        plan_run(RunRequest("article", time_s=2400.0), "kvm", nodes, nodes_are_given=True)


def test_no_more_memory_is_advised_than_there_is():
    little = {"memory_total_bytes": 2 * GIB, "memory_available_bytes": 300 * MIB, "cpus_logical": 1}
    with pytest.raises(CapacityError, match="at its smallest") as caught:
        plan_run(RunRequest("quick"), "tcg", little)
    assert caught.value.hint == "free some memory"


def test_programs_of_a_user_keep_their_size_and_give_way_in_number():
    file = parse_study(COMMAND, "own.toml")
    way = find_way(file, SMALL, 8 * GIB, fixed=False)
    (experiment,) = scale_study(file, fit_study(way, 1e6), SMALL).experiments
    assert (experiment.groups[0].instances, experiment.groups[0].vm_memory_bytes) == (3, 2 * GIB)


COMMAND = """name = "own"
[[experiment]]
kind = "command"
instances = 20
vm_memory = "2GiB"
command = ["/bin/true"]
"""

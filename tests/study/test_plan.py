from __future__ import annotations

from itertools import groupby

import pytest

from freepage.errors import CapacityError, StudyError
from freepage.records import CARRIERS
from freepage.study.file import MEMORY, parse_study
from freepage.study.plan import check_capacity, fit_scale, plan_trials
from freepage.study.scaling import scale_study, scale_time
from freepage.study.study import Conditions, builtin_studies, read_study
from freepage.units import GIB, MIB

SMALL = Conditions(node_memory_bytes=24 * GIB, cores=2, accelerator="tcg")
ARTICLE = Conditions(node_memory_bytes=192 * GIB, cores=80, accelerator="kvm")


def read(name, *overrides):
    return read_study(name, overrides)[0]


def test_every_repeat_of_an_experiment_runs_every_arm_before_the_next_repeat():
    trials = plan_trials(scale_study(read("quick"), 1.0, SMALL))
    blocks = [
        (key, {t.arm for t in group})
        for key, group in groupby(trials, lambda t: (t.experiment.name, t.repeat))
    ]
    assert [key for key, _ in blocks] == [("cycle", 0), ("random", 0), ("cycle", 1), ("cycle", 2)]
    assert all(arms == set(CARRIERS) for _, arms in blocks)
    assert [t.order for t in trials] == list(range(len(trials)))


def test_the_order_of_arms_differs_between_blocks_and_follows_the_seed():
    def orders(seed):
        trials = plan_trials(scale_study(read("cycle", f"seed={seed}", "repeats=12"), 0.01, SMALL))
        return [tuple(t.arm for t in group) for _, group in groupby(trials, lambda t: t.repeat)]

    assert len(set(orders(1))) > 1
    assert orders(1) == orders(1)
    assert orders(1) != orders(2)


def test_all_arms_of_a_block_have_the_same_schedules_and_names():
    trials = plan_trials(scale_study(read("random"), 0.05, SMALL))
    pod, vm, fpr = (next(t for t in trials if t.arm is arm) for arm in CARRIERS)
    assert [(i.name, i.schedules) for i in pod.instances] == [(i.name, i.schedules) for i in vm.instances]
    assert [(i.name, i.schedules) for i in vm.instances] == [(i.name, i.schedules) for i in fpr.instances]


def test_scale_one_is_the_articles_own_size():
    cycle = scale_study(read("cycle"), 1.0, ARTICLE).experiments[0].groups[0]
    assert (cycle.size.maximum, cycle.hold.maximum, cycle.idle.maximum, cycle.iterations) == (
        60 * GIB,
        60,
        60,
        11,
    )
    random = scale_study(read("random"), 1.0, ARTICLE).experiments[0].groups[0]
    assert (random.instances, random.hold.mean, random.idle.mean) == (10, 120, 60)


def test_the_default_scale_fits_a_small_machine_and_the_articles_machine_gets_all():
    for name in ("cycle", "random"):
        file = read(name, "fit.duration=45min")
        scale = fit_scale(file, SMALL, 22 * GIB)
        study = scale_study(file, scale, SMALL)
        assert max(t.demand_bytes for t in plan_trials(study)) <= 0.6 * 22 * GIB
        assert fit_scale(read(name, "fit.duration=9h"), ARTICLE, 190 * GIB) == 1.0


@pytest.mark.parametrize("name", builtin_studies())
def test_no_built_in_study_takes_more_than_its_share_of_little_memory_by_default(name):
    file = read(name)
    available_bytes = 4 * GIB
    tight = Conditions(node_memory_bytes=5 * GIB, cores=2, accelerator="tcg")
    study = scale_study(file, fit_scale(file, tight, available_bytes), tight)
    assert max(t.demand_bytes for t in plan_trials(study)) <= 0.6 * available_bytes
    with pytest.raises(CapacityError, match="at its smallest scale") as caught:
        fit_scale(file, tight, GIB)
    assert "60 %" in caught.value.message or "50 %" in caught.value.message
    assert "--scale" in str(caught.value.hint)


def test_quick_runs_at_its_own_size_where_there_is_memory_for_it():
    assert fit_scale(read("quick", "repeats=40"), SMALL, 22 * GIB) == 1.0


def test_a_study_too_large_is_refused_with_sizes_and_a_scale_that_fits():
    file = read("cycle")
    with pytest.raises(CapacityError) as caught:
        check_capacity(file, scale_study(file, 1.0, SMALL), SMALL, 22 * GIB)
    assert "64.0 GiB" in caught.value.message or "GiB" in caught.value.message
    fitting = float(str(caught.value.hint).split()[1])
    check_capacity(file, scale_study(file, fitting, SMALL), SMALL, 22 * GIB)
    with pytest.raises(CapacityError):
        check_capacity(file, scale_study(file, 1.5 * fitting, SMALL), SMALL, 22 * GIB)


def test_times_are_never_scaled_below_what_a_block_needs_to_come_back():
    file = read("cycle")
    for scale in (0.001, 0.01, 0.1, 0.5):
        experiment = scale_study(file, scale, SMALL).experiments[0].groups[0]
        assert experiment.idle.maximum == pytest.approx(60 * scale_time(scale, experiment.size.maximum, 60))
        assert experiment.idle.maximum >= min(60, 4)
        assert experiment.hold.maximum <= experiment.idle.maximum
    assert scale_time(0.01, 60 * GIB, 60) == pytest.approx(34 / 60)
    assert scale_time(2.0, 8 * GIB, 60) == 1.0


def test_a_guest_is_larger_than_what_its_processes_allocate():
    for name in builtin_studies():
        for scale in (0.01, 0.1, 1.0):
            for experiment in scale_study(read(name), scale, ARTICLE).experiments:
                for group in (g for g in experiment.groups if g.kind in MEMORY):
                    assert group.vm_memory_bytes >= group.peak_demand_bytes * 1.06 + 256 * MIB
                    assert group.vm_memory_bytes % (128 * MIB) == 0


def test_a_guest_given_too_little_memory_is_refused():
    file = read("cycle", "cycle.vm_memory='61GiB'", "cycle.size=61GiB")
    with pytest.raises(StudyError, match="vm_memory is smaller"):
        scale_study(file, 1.0, ARTICLE)


def test_a_share_of_the_node_follows_the_node_not_the_scale():
    file = parse_study(
        'name = "s"\n[[experiment]]\nkind = "cycle"\nsize = "10%"\nhold = "1s"\nidle = "6s"\niterations = 1\n',
        "s.toml",
    )
    assert scale_study(file, 0.5, SMALL).experiments[0].groups[0].size.maximum == pytest.approx(
        2.4 * GIB, rel=0.01
    )


def test_an_unknown_study_is_refused_with_what_is_built_in():
    with pytest.raises(StudyError, match=r"cycle, guest-io, host-io, quick, random"):
        read("quik")

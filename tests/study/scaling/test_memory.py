from __future__ import annotations

import pytest

from freepage.analysis.reach import explain_too_slow
from freepage.errors import StudyError
from freepage.fpr.pace import find_schedule_pace
from freepage.study.read import builtin_studies, parse_study
from freepage.study.scaling.memory import PLANNED_TOUCH_RATE, scale_time
from freepage.study.scaling.study import scale_study
from freepage.study.schedule import build_schedule
from freepage.study.study import MemoryGroup
from freepage.units import GIB, MIB
from helpers.studies import ARTICLE, SMALL, peak_demand_bytes, read, scaled


def test_times_are_never_scaled_below_what_a_block_needs_to_come_back():
    file = read("cycle")
    for scale in (0.001, 0.01, 0.1, 0.5):
        experiment = scale_study(file, scale, SMALL).experiments[0].groups[0]
        assert experiment.idle.maximum == pytest.approx(
            60 * scale_time(scale, experiment.size.maximum, 60 / 2.5)
        )
        assert experiment.idle.maximum >= min(60, 4)
        assert experiment.hold.maximum <= experiment.idle.maximum
    assert scale_time(0.01, 60 * GIB, 60) == pytest.approx(34 / 60)
    assert scale_time(2.0, 8 * GIB, 60) == 1.0


def test_a_guest_is_larger_than_what_its_processes_allocate():
    for name in builtin_studies():
        for scale in (0.01, 0.1, 1.0):
            for experiment in scale_study(read(name), scale, ARTICLE).experiments:
                for group in (g for g in experiment.groups if isinstance(g, MemoryGroup)):
                    assert group.vm_memory_bytes >= peak_demand_bytes(group) * 1.06 + 256 * MIB
                    assert group.vm_memory_bytes % MIB == 0


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


@pytest.mark.parametrize("name", ["random", "burst"])
def test_the_memory_of_a_whole_experiment_follows_the_scale(name):
    (whole,), (small,) = (scaled(name, s).experiments[0].groups for s in (1.0, 0.05))
    assert (small.instances, small.processes) == (whole.instances, whole.processes)
    share = small.instances * peak_demand_bytes(small) / (whole.instances * peak_demand_bytes(whole))
    assert share == pytest.approx(0.05, rel=0.1)


def test_the_times_of_churn_stay_short():
    (group,) = scaled("churn", 0.05).experiments[0].groups
    assert (group.hold.minimum, group.hold.maximum) == (0.5, 1.5)


def test_a_process_starts_held_with_the_probability_given():
    (group,) = scaled("random", 0.1, SMALL, "random.start=0.25").experiments[0].groups
    held = [build_schedule(group, 1, f"random-{n}", 0).steps[0].at_s == 0 for n in range(400)]
    assert 0.18 < sum(held) / 400 < 0.32


def test_a_schedule_that_begins_later_ends_within_the_trial():
    (experiment,) = scaled("cycle", 1.0, SMALL, "cycle.after=90s").experiments
    steps = build_schedule(experiment.groups[0], 1, "cycle-0", 0).steps
    assert steps[0].at_s == 90.0
    assert steps[-1].at_s < experiment.duration_s


@pytest.mark.parametrize("name", ["cycle", "random"])
@pytest.mark.parametrize("scale", [1 / 256, 0.02, 0.1])
def test_however_small_memory_is_freed_so_long_that_most_of_it_can_be_saved(name, scale):
    """The claim about tracking a pod needs 66 % with FPR's delay and passes alone."""
    (experiment,) = scaled(name, scale).experiments
    (group,) = experiment.groups
    schedules = [
        build_schedule(group, 1, f"{name}-{n}", p) for n in range(10) for p in range(group.processes)
    ]
    pace = find_schedule_pace({"all": schedules}, experiment.duration_s)
    assert pace.saved_in_time >= (0.78 if name == "cycle" else 0.5)


@pytest.mark.parametrize("conditions", [SMALL, ARTICLE])
@pytest.mark.parametrize("name", ["random", "churn"])
@pytest.mark.parametrize("scale", [0.01, 0.05, 0.3, 0.99])
def test_drawn_blocks_are_no_larger_than_the_cores_can_touch_in_time(name, scale, conditions):
    (group,) = scaled(name, scale, conditions).experiments[0].groups
    blocks_per_s = group.instances * group.processes / (group.hold.mean + group.idle.mean)
    rate = PLANNED_TOUCH_RATE[conditions.accelerator] * conditions.cores
    assert blocks_per_s * group.size.mean <= 0.75 * rate


def test_under_emulation_on_two_cores_churn_is_still_so_fast_that_its_claim_can_fail():
    (experiment,) = scaled("churn", 0.1).experiments
    (group,) = experiment.groups
    schedules = [build_schedule(group, 1, f"churn-{n}", p) for n in range(10) for p in range(4)]
    pace = find_schedule_pace({"all": schedules}, experiment.duration_s)
    assert explain_too_slow(pace.allocated_gib_s, 0.2, 0.1) == ""

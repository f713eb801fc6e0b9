from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.kinds import WORKLOADS
from freepage.records import Action
from freepage.study.schedule import SCHEDULES, ProcessSeed, build_schedule
from freepage.study.study import Range
from freepage.units import MIB
from helpers.studies import group_of


def random_experiment(**changes):
    fields = {
        "kind": "random",
        "size": "64MiB,192MiB,32MiB",
        "hold": "4s,12s,1s",
        "idle": "4s,8s,1s",
        "duration": "120s",
        "instances": 2,
        "processes": 3,
    }
    return group_of(1.0, **(fields | changes))


def cycle_experiment(**changes):
    fields = {"kind": "cycle", "size": "256MiB", "slot": "2s", "hold": "2s", "idle": "6s", "iterations": 3}
    return group_of(1.0, **(fields | changes))


def test_every_workload_of_memory_has_a_schedule_and_every_schedule_a_workload():
    assert {w.schedule for w in WORKLOADS.values() if w.uses_memory} == set(SCHEDULES)
    assert {w.schedule for w in WORKLOADS.values() if not w.uses_memory} == {""}


def test_a_cycle_allocates_holds_frees_and_idles_at_fixed_times():
    steps = build_schedule(cycle_experiment(), 1, "cycle-0", 0).steps
    assert [(s.action, s.at_s, s.iteration) for s in steps] == [
        (Action.ALLOCATE, 0, 0),
        (Action.FREE, 4, 0),
        (Action.ALLOCATE, 10, 1),
        (Action.FREE, 14, 1),
        (Action.ALLOCATE, 20, 2),
        (Action.FREE, 24, 2),
    ]
    assert {s.bytes for s in steps} == {256 * MIB}


def test_the_same_seed_and_names_give_the_same_schedule():
    experiment = random_experiment()
    assert build_schedule(experiment, 7, "random-1", 2) == build_schedule(experiment, 7, "random-1", 2)


@pytest.mark.parametrize("other", [(8, "random-1", 2), (7, "random-0", 2), (7, "random-1", 1)])
def test_another_seed_instance_or_process_gives_another_schedule(other):
    experiment = random_experiment()
    assert build_schedule(experiment, 7, "random-1", 2).steps != build_schedule(experiment, *other).steps


def test_the_draws_are_the_same_on_every_python_and_every_day():
    stream = ProcessSeed(1, "random-0", 0).open_stream()
    assert [round(stream.fraction(), 6) for _ in range(3)] == [0.869476, 0.258981, 0.704971]


@given(seed=st.integers(0, 10_000))
def test_a_random_schedule_alternates_and_stays_within_its_ranges(seed):
    experiment = random_experiment()
    steps = build_schedule(experiment, seed, "random-0", 0).steps
    pairs = list(zip(steps[::2], steps[1::2], strict=True))
    last_s = experiment.duration_s - experiment.tail_s
    for allocate, free in pairs:
        assert (allocate.action, free.action) == (Action.ALLOCATE, Action.FREE)
        assert 4 <= free.at_s - allocate.at_s <= 12 or free.at_s == pytest.approx(last_s)
        assert allocate.bytes % (32 * MIB) == 0
        assert 64 * MIB <= allocate.bytes <= 192 * MIB
    for (_, free), (allocate, _) in itertools.pairwise(pairs):
        assert 4 <= allocate.at_s - free.at_s <= 8
    assert all(s.at_s <= last_s for s in steps)


def test_the_draws_do_not_depend_on_how_a_process_starts():
    held = build_schedule(random_experiment(start="held"), 3, "random-0", 0).steps
    idle = build_schedule(random_experiment(start="idle"), 3, "random-0", 0).steps
    assert held[0].at_s == 0
    assert idle[0].at_s >= 4
    both = min(len(held), len(idle)) - 2
    assert [s.bytes for s in held[:both]] == [s.bytes for s in idle[:both]]


def test_processes_start_held_as_often_as_the_duty_cycle_says():
    experiment = random_experiment(hold="30s", idle="10s")
    starts = [build_schedule(experiment, 1, f"random-{n}", 0).steps[0].at_s == 0 for n in range(400)]
    assert sum(starts) / len(starts) == pytest.approx(0.75, abs=0.07)


def test_draws_reach_both_ends_of_their_range_and_nothing_beyond():
    values = {ProcessSeed(n, "a", 0).open_stream().choose(Range(4, 12, 4)) for n in range(100)}
    assert values == {4, 8, 12}

"""What a host holds for VMs: by hand, against the kernel's staircase, and against a model in steps of a second."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freepage.forecast.demand import UsedMemory, draw_levels, settle
from freepage.forecast.fleet import Case, Distribution, Lognormal, Quantiles, Schedule, Steps, VmKind, Window
from freepage.forecast.holding import find_holding
from freepage.fpr.mechanics import Passes
from freepage.fpr.release import predicted_release
from freepage.units import GIB, MIB
from helpers.fleet_in_steps import step_fleet

END_S = 120
WHOLE = Window(0, END_S)


def kind(**changes):
    anything = Distribution(Quantiles((0.0, GIB)), 10.0)
    return VmKind(
        **({"name": "vm", "memory_bytes": 64 * GIB, "demand": anything, "overhead_bytes": 0.0} | changes)
    )


def levels(*steps):
    """Make the levels of one VM of (second, MiB)."""
    at_s, mib = zip(*steps, strict=True)
    return settle(np.array([at_s]), np.array([mib], float) * MIB)


def hold(used, case, window=WHOLE, **changes):
    """Return the MiB held at each second for all VMs."""
    changes = find_holding(kind(**changes), dict.fromkeys(Case, used), case)
    return changes.of(0, len(changes), window) / MIB


def test_freed_memory_leaves_by_the_kernels_passes():
    held = hold(levels((0, 1024), (10, 0), (40, 1024)), Case.WITH)
    assert [held[s] for s in (0, 9, 10, 11, 12, 13, 14, 16, 17, 18, 39, 40)] == [
        1024, 1024, 1024, 1024, 768, 768, 512, 256, 256, 0, 0, 1024,
    ]  # fmt: skip


def test_what_is_allocated_before_it_was_reported_is_taken_from_it():
    held = hold(levels((0, 1024), (10, 0), (15, 512), (30, 900)), Case.WITH)
    assert [held[s] for s in (12, 14, 15, 20, 29, 30)] == [768, 512, 512, 512, 512, 900]


def test_passes_go_on_at_their_pace_while_more_is_freed():
    held = hold(levels((0, 1024), (10, 512), (13, 0)), Case.WITH)
    assert [held[s] for s in (11, 12, 13, 14, 16, 18)] == [1024, 768, 768, 512, 256, 0]


def test_without_fpr_a_host_holds_all_that_was_touched():
    held = hold(levels((0, 100), (5, 700), (10, 0), (20, 300)), Case.WITHOUT)
    assert [held[s] for s in (0, 4, 5, 119)] == [100, 100, 700, 700]


def test_ideally_it_holds_what_is_used_and_no_overhead():
    used = levels((0, 100), (5, 700), (10, 0))
    assert hold(used, Case.IDEAL, overhead_bytes=50.0 * MIB)[[0, 5, 10]].tolist() == [100, 700, 0]
    assert hold(used, Case.WITHOUT, overhead_bytes=50.0 * MIB)[10] == 750


def test_a_level_of_no_length_was_never_there():
    assert hold(levels((0, 100), (5, 9000), (5, 200), (9, 100)), Case.WITHOUT)[119] == 200


def test_only_a_window_is_counted_and_it_begins_with_what_is_held_then():
    used = levels((0, 1024), (10, 0))
    assert hold(used, Case.WITH, Window(14, 20)).tolist() == [512, 512, 256, 256, 0, 0]


@pytest.mark.parametrize("stranded", [0.25, 1.0])
def test_a_share_of_what_is_freed_can_stay(stranded):
    used = levels((0, 1024), (10, 0))
    assert hold(used, Case.WITH, stranded_fraction=stranded)[60] == pytest.approx(1024 * stranded)


def test_vms_can_be_added_up_in_part():
    both = settle(np.array([[0, 10], [0, 10]]), np.array([[1.0, 2.0], [30.0, 10.0]]) * MIB)
    changes = find_holding(kind(overhead_bytes=5.0 * MIB), dict.fromkeys(Case, both), Case.WITHOUT)
    assert changes.of(1, 2, WHOLE)[[0, 10]].tolist() == [35 * MIB, 35 * MIB]
    assert changes.of(0, 2, WHOLE)[[0, 10]].tolist() == [41 * MIB, 42 * MIB]


@pytest.mark.parametrize("freed_mib", [4, 128, 1000, 2048, 5000, 40_000])
def test_one_free_is_the_staircase_of_the_mechanics(freed_mib):
    held = hold(levels((0, freed_mib), (10, 0)), Case.WITH)
    for after_s, share in predicted_release(freed_mib * MIB):
        assert held[10 + int(after_s)] == pytest.approx(freed_mib * (1 - share), abs=1e-6)


@st.composite
def fleets(draw):
    """Draw levels of several VMs, in whole MiB."""
    vms, steps = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    times = [
        sorted(draw(st.lists(st.integers(0, END_S), min_size=steps, max_size=steps))) for _ in range(vms)
    ]
    sizes = st.lists(st.integers(0, 6000), min_size=steps, max_size=steps)
    used = [draw(sizes) for _ in range(vms)]
    at_s = np.array([[0, *each[1:]] for each in times])
    return settle(at_s, np.array(used, float) * MIB)


@given(fleets())
@settings(max_examples=60, deadline=None)
def test_with_fpr_a_host_never_holds_less_than_is_used_nor_more_than_was_touched(used):
    ideal, held, touched = (hold(used, case) for case in (Case.IDEAL, Case.WITH, Case.WITHOUT))
    assert (ideal <= held).all()
    assert (held <= touched).all()


@given(fleets(), st.integers(1, 5), st.sampled_from([2 * MIB, 4 * MIB, 32 * MIB]))
@settings(max_examples=40, deadline=None)
def test_a_model_in_steps_of_a_second_holds_exactly_the_same(used, delay_s, block_bytes):
    assert_like_in_steps(used, Passes(float(delay_s), block_bytes), END_S)


DEMANDS = {
    "schedule": Schedule(Steps(256 * MIB, 2 * GIB, 128 * MIB), Steps(10, 60, 5), Steps(5, 90, 5), 3),
    "distribution": Distribution(Lognormal(GIB, 0.6), 45.0),
}


@pytest.mark.parametrize("demand", DEMANDS.values(), ids=DEMANDS)
def test_drawn_vms_are_held_exactly_as_in_steps_too(demand):
    drawn = kind(demand=demand, base_bytes=300.0 * MIB, cache_bytes=1.0 * GIB, cache_bytes_per_s=2.0 * MIB)
    found = draw_levels(drawn, np.random.default_rng(3), 5, 900)[Case.WITH]
    assert_like_in_steps(found, Passes(), 900)


def assert_like_in_steps(used: UsedMemory, passes, end_s):
    window = Window(0, end_s)
    ours = [hold(used, case, window, passes=passes) for case in (Case.IDEAL, Case.WITH, Case.WITHOUT)]
    np.testing.assert_array_equal(np.array(ours) * MIB, step_fleet(used, passes, end_s))

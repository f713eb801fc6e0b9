"""From which idle time on FPR pays, by points whose numbers are known."""

from __future__ import annotations

import pytest

from freepage.analysis.break_even import estimate_break_even, find_prices, find_spans
from freepage.analysis.map_points import MeasuredPoint, PointShape
from freepage.fpr.mechanics import USUAL_PASSES
from freepage.fpr.paying import saved_s, share_back
from freepage.units import GIB

CYCLES = 3


def point(idle_s, saved_s_, wait_s, block_gib=1.0):
    """Return a point of one VM, by what each idle time saved of a GiB and how much longer each wait was, repeat by repeat."""
    shape = PointShape(
        block_bytes=block_gib * GIB,
        total_gib=block_gib,
        held_s=4.0,
        idle_s=idle_s,
        idle_total_s=CYCLES * idle_s,
        duration_s=CYCLES * (4.0 + idle_s),
        cycles=CYCLES,
    )
    saved = {n: s * block_gib * CYCLES for n, s in enumerate(saved_s_)}
    return MeasuredPoint(f"map-{idle_s:g}", shape, saved, dict(enumerate(wait_s)), None)


def by_model(*idles, price, repeats=5, wobble=0.0):
    """Return a line of 1 GiB as the kernel's pace and a price have it; each repeat waits a little longer than the one before."""
    return [
        point(
            idle_s,
            [saved_s(idle_s, GIB)] * repeats,
            [(price + wobble * n) * share_back(idle_s, GIB) for n in range(repeats)],
        )
        for idle_s in idles
    ]


def test_what_is_gained_is_saved_less_waited_for_of_one_idle_time_and_gib():
    assert point(6.0, [2.0, 2.5], [0.5, 3.0], block_gib=0.25).gain_s == pytest.approx({0: 1.5, 1: -0.5})


def test_a_repeat_without_both_numbers_gains_nothing_that_is_known():
    assert set(point(6.0, [2.0, 2.5], [0.5]).gain_s) == {0}


def test_a_break_even_lies_between_the_points_on_either_side_at_the_place_of_pace_and_price():
    line = by_model(3.0, 6.5, 9.0, 12.0, price=3.0)
    assert find_prices(line, USUAL_PASSES) == pytest.approx(dict.fromkeys(range(5), 3.0))
    assert set(find_spans(line, USUAL_PASSES).values()) == {(6.5, 9.0)}
    found = estimate_break_even(line, USUAL_PASSES)
    assert (found.value, found.low, found.high, found.n) == (pytest.approx(8.0), 6.5, 9.0, 5)


def test_repeats_that_differ_widen_the_interval_to_all_their_points():
    found = estimate_break_even(by_model(3.0, 5.0, 7.0, 9.0, 12.0, price=1.5, wobble=0.7), USUAL_PASSES)
    assert (found.low, found.high) == (3.0, 12.0)


def test_before_the_first_pass_nothing_pays_whatever_noise_says():
    line = [point(1.0, [0.01] * 3, [-0.02] * 3), *by_model(3.0, 6.0, price=0.0, repeats=3)]
    found = estimate_break_even(line, USUAL_PASSES)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 3.0)


def test_only_from_where_all_longer_idle_times_pay_as_well_fpr_pays():
    line = [point(3.0, [0.5], [0.1]), point(5.0, [1.0], [1.2]), point(8.0, [4.0], [1.2])]
    assert find_spans(line, USUAL_PASSES) == {0: (5.0, 8.0)}


def test_where_waiting_always_outweighs_there_is_no_break_even_and_where_some_do_it_is_open_above():
    assert estimate_break_even(by_model(3.0, 6.0, price=20.0), USUAL_PASSES) is None
    some = [point(6.0, [2.0] * 5, [1.0, 1.0, 1.0, 2.5, 2.5])]
    found = estimate_break_even(some, USUAL_PASSES)
    assert (found.low, found.high) == (2.0, None)
    most = [point(6.0, [2.0] * 5, [1.0, 1.0, 2.5, 2.5, 2.5])]
    assert estimate_break_even(most, USUAL_PASSES) is None


def test_fewer_than_three_repeats_have_no_interval():
    found = estimate_break_even(by_model(3.0, 6.0, price=0.2, repeats=2), USUAL_PASSES)
    assert (found.low, found.high, found.n) == (None, None, 2)


def test_where_the_passes_are_not_known_it_is_the_middle_between_points_and_has_no_price():
    line = [point(3.0, [0.5] * 3, [0.9] * 3), point(6.0, [2.0] * 3, [0.9] * 3)]
    assert find_prices(line, None) == {}
    assert estimate_break_even(line, None).value == 4.5


def test_points_without_a_pair_of_trials_tell_nothing():
    assert estimate_break_even([point(6.0, [], [])], USUAL_PASSES) is None

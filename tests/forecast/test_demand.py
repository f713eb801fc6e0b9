"""What VMs use, as it is drawn: that it is what was asked for, and always the same."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from freepage.forecast.demand import count_in_lot, draw_levels, draw_lots, settle
from freepage.forecast.fleet import (
    Case,
    Distribution,
    Lognormal,
    Quantiles,
    Replay,
    Schedule,
    Steps,
    VmKind,
    Window,
)
from freepage.forecast.holding import find_holding
from freepage.units import GIB, MIB

ONE = Steps(1.0 * GIB, 1.0 * GIB, 1.0 * GIB)
CYCLE = Schedule(ONE, Steps(30, 30, 30), Steps(90, 90, 90), 1)


def kind(demand, **changes):
    return VmKind(
        **({"name": "vm", "memory_bytes": 64.0 * GIB, "demand": demand, "overhead_bytes": 0.0} | changes)
    )


def used(of, vms=200, end_s=3600, seed=1):
    """Return the GiB used by each VM at each second."""
    found = draw_levels(of, np.random.default_rng(seed), vms, end_s)
    changes = find_holding(of, found, Case.IDEAL)
    return np.array([changes.of(v, v + 1, Window(0, end_s)) for v in range(vms)]) / GIB


def test_the_values_of_a_range_are_from_to_and_step():
    assert (Steps(1, 10, 3).count, Steps(1, 10, 3).mean) == (4, 5.5)
    assert (Steps(5, 5, 1).count, Steps(5, 5, 0).mean) == (1, 5)


def test_a_process_holds_its_block_for_its_hold_and_idles_for_its_idle():
    held = used(kind(CYCLE))
    assert set(np.unique(held)) == {0.0, 1.0}
    assert held.mean(axis=1) == pytest.approx(0.25, abs=0.01)
    rises = np.diff(held, axis=1) > 0
    assert all(set(np.diff(np.flatnonzero(row))) == {120} for row in rises)


def test_vms_are_out_of_phase():
    assert used(kind(CYCLE)).mean(axis=0) == pytest.approx(0.25, abs=0.15)


def test_sizes_and_times_come_from_their_ranges():
    schedule = Schedule(Steps(256 * MIB, GIB, 256 * MIB), Steps(10, 20, 5), Steps(40, 60, 10), 1)
    held = used(kind(schedule))
    assert set(np.unique(held)) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert held.mean() == pytest.approx(0.625 * 15 / 65, rel=0.05)


def test_processes_of_one_vm_add_up_to_no_more_than_its_memory():
    four = Schedule(ONE, Steps(30, 30, 30), Steps(90, 90, 90), 4)
    assert used(kind(four)).mean() == pytest.approx(1.0, rel=0.05)
    assert used(kind(four, memory_bytes=1.5 * GIB, base_bytes=0.25 * GIB)).max() == 1.5


@pytest.mark.parametrize(
    ("values", "median", "p95"),
    [
        (Lognormal(1.0 * GIB, 0.5), 1.0, np.exp(0.5 * 1.645)),
        (Quantiles((0.0, 2.0 * GIB)), 1.0, 1.9),
        (Quantiles((0.0, 0.5 * GIB, 3.0 * GIB)), 0.5, 2.75),
    ],
    ids=["lognormal", "uniform", "quantiles"],
)
def test_memory_is_distributed_as_asked_for(values, median, p95):
    held = used(kind(Distribution(values, 20.0)), vms=100)
    assert np.quantile(held, [0.5, 0.95]) == pytest.approx([median, p95], rel=0.08)


def test_its_autocorrelation_falls_to_a_third_within_the_correlation_time():
    held = used(kind(Distribution(Quantiles((0.0, GIB)), 60.0)), vms=100)
    here, later = held[:, :-60].ravel(), held[:, 60:].ravel()
    assert np.corrcoef(here, later)[0, 1] == pytest.approx(np.exp(-1), abs=0.05)


def test_a_page_cache_grows_to_its_size_or_is_there_from_the_start():
    nothing = Distribution(Quantiles((0.0, 0.0)), 1e6)
    growing = used(kind(nothing, cache_bytes=0.5 * GIB, cache_bytes_per_s=0.5 * GIB / 1800), vms=1)[0]
    assert growing[[0, 59, 900, 1800, 3599]] == pytest.approx([0, 0, 0.25, 0.5, 0.5])
    assert used(kind(nothing, cache_bytes=0.5 * GIB), vms=1)[0][0] == 0.5


def test_the_same_arguments_draw_the_same_vms_and_another_seed_others():
    first, again, other = (
        [lot[Case.IDEAL].at_s for lot in islice(draw_lots(kind(CYCLE), seed, 0, 3600), 2)]
        for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[1])


def test_lots_are_smaller_where_much_happens():
    busy = Schedule(ONE, Steps(1, 1, 1), Steps(1, 1, 1), 8)
    assert count_in_lot(kind(CYCLE), 3600) == 256
    assert count_in_lot(kind(busy), 86_400) == 1


def test_levels_of_the_same_second_are_what_stays_of_them():
    found = settle(np.array([[0, 5, 5, 5, 9]]), np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    assert found.bytes.tolist() == [[1, 4, 4, 4, 5]]


@pytest.fixture
def replay():
    """Two VMs: one of two pieces with 1 and 2 GiB, one of a piece with 3 GiB and then 4."""
    levels = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 4.0]]) * GIB
    at_s = np.array([[0, 50], [0, 50], [0, 20]])
    return Replay(at_s, {Case.IDEAL: levels}, np.array([50, 50, 40]), np.array([[0, 2], [2, 1]]))


def test_a_short_piece_among_long_ones_does_not_multiply_what_is_drawn():
    width = 360
    at_s = np.tile(10 * np.arange(width), (25, 1))
    at_s[0, 1:] = 10
    levels = {Case.IDEAL: np.full((25, width), 1.0 * GIB)}
    of = kind(Replay(at_s, levels, np.array([10] + [3600] * 24), np.array([[0, 25]])))
    end_s = 90_000
    drawn = draw_levels(of, np.random.default_rng(1), 20, end_s)[Case.IDEAL]
    assert drawn.at_s.max(axis=1).min() == end_s
    assert drawn.at_s.shape[1] <= 2 * width * (end_s / 3600 + 3)


def test_lots_are_as_small_as_the_vm_with_the_shortest_pieces_needs(replay):
    assert count_in_lot(kind(replay), 86_400) == int(400_000 / (2 * (86_400 / 40 + 1)))


def test_a_vm_keeps_to_one_recorded_vm_and_shuffles_its_pieces(replay):
    held = used(kind(replay))
    seen = [set(np.unique(row)) for row in held]
    assert {frozenset(s) for s in seen} == {frozenset({1.0, 2.0}), frozenset({3.0, 4.0})}
    assert held.mean() == pytest.approx(2.5, abs=0.25)
    of_first = held[[s == {1.0, 2.0} for s in seen]]
    assert of_first.mean() == pytest.approx(1.5, abs=0.05)


def test_pieces_follow_each_other_without_a_gap(replay):
    row = next(row for row in used(kind(replay)) if row.max() == 4.0)
    changes = np.flatnonzero(np.diff(row))
    assert set(np.diff(changes)) == {20}

from __future__ import annotations

import math

import pytest

from freepage.study.scaling.scale import NO_LIMITS, Scale
from freepage.study.study import Sizing
from freepage.study.values import Share
from freepage.units import GIB, MIB
from helpers.studies import SMALL


def test_only_a_smoke_run_is_cut_however_small_the_scale():
    assert Scale(Sizing(0.001), SMALL).limits is NO_LIMITS
    smoke = Scale(Sizing(), SMALL, smoke=True)
    assert smoke.limits.duration_s < math.inf
    assert smoke.limits.shortest_hold_s < NO_LIMITS.shortest_hold_s


@pytest.mark.parametrize("factor", [0.001, 0.5, 1.0, 3.0])
def test_counts_stay_at_any_scale(factor):
    scale = Scale(Sizing(factor), SMALL)
    assert (scale.count_instances(32), scale.count_processes(8), scale.count_iterations(11)) == (32, 8, 11)


@pytest.mark.parametrize(
    ("count", "share", "kept"), [(10, 0.1, 2), (32, 0.5, 16), (1, 0.1, 1), (17, 0.99, 16)]
)
def test_of_instances_that_give_way_several_stay_several(count, share, kept):
    assert Scale(Sizing(instances=share), SMALL).count_instances(count) == kept


@pytest.mark.parametrize(("count", "share", "kept"), [(11, 0.1, 5), (11, 7 / 11, 7), (2, 0.1, 2)])
def test_of_allocations_that_give_way_the_first_and_four_later_ones_stay(count, share, kept):
    assert Scale(Sizing(iterations=share), SMALL).count_iterations(count) == kept


def test_a_size_follows_the_scale_and_a_share_the_node():
    scale = Scale(Sizing(0.5), SMALL)
    assert scale.scaled_bytes(4 * MIB) == 2 * MIB
    assert scale.scaled_bytes(Share(0.5)) == 12 * GIB
    assert scale.in_bytes(4 * MIB) == 4 * MIB

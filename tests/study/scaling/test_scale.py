from __future__ import annotations

import math

import pytest

from freepage.study.scaling.scale import NO_LIMITS, SMOKE_SCALE, Scale
from freepage.study.values import Share
from freepage.units import GIB, MIB
from helpers.studies import SMALL


def test_only_a_run_below_the_smoke_scale_is_cut():
    assert Scale(SMOKE_SCALE, SMALL).limits is NO_LIMITS
    smoke = Scale(SMOKE_SCALE * 0.99, SMALL)
    assert smoke.smoke
    assert smoke.limits.duration_s < math.inf
    assert smoke.limits.shortest_hold_s < NO_LIMITS.shortest_hold_s


@pytest.mark.parametrize(
    ("count", "factor", "scaled"), [(10, 0.01, 2), (32, 0.25, 16), (1, 0.01, 1), (7, 3, 7)]
)
def test_counts_shrink_by_the_root_and_several_stay_several(count, factor, scaled):
    assert Scale(factor, SMALL).count(count) == scaled


def test_a_size_follows_the_scale_and_a_share_the_node():
    scale = Scale(0.5, SMALL)
    assert scale.scaled_bytes(4 * MIB) == 2 * MIB
    assert scale.scaled_bytes(Share(0.5)) == 12 * GIB
    assert scale.in_bytes(4 * MIB) == 4 * MIB

from __future__ import annotations

import pytest

from freepage.kinds import RANDOM
from freepage.study.scaling.levels import BlockLevels, Levels, expected_levels
from freepage.study.study import MemoryGroup, Range
from freepage.units import MIB


def test_expected_levels_are_what_is_held_within_two_passes_and_what_ever_was():
    group = MemoryGroup(
        name="m",
        workload=RANDOM,
        carrier=None,
        instances=1,
        cpus=1,
        vm_memory_bytes=0,
        duration_s=100.0,
        size=Range(MIB, MIB, 1),
        hold=Range(2, 2, 1),
        idle=Range(18, 18, 1),
        start="held",
    )
    levels = expected_levels("x", (group,), 1, 20.0, 80.0)
    assert levels.without_bytes == pytest.approx(MIB)
    assert levels.with_fpr_bytes == pytest.approx(MIB * 6 / 20, rel=0.1)


def test_what_is_sized_for_all_blocks_lies_between_the_levels_of_each():
    levels = BlockLevels((Levels(2.0, 10.0), Levels(4.0, 8.0), Levels(3.0, 12.0)))
    assert levels.most_without_bytes == 12.0
    assert levels.middle_bytes == 6.0

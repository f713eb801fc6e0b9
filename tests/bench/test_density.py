"""The measurement of density's speed, in its short form."""

from __future__ import annotations

import pytest

from density import measure_here, measure_steps

pytestmark = pytest.mark.long


def test_a_fleet_is_measured_here_and_in_simpys_steps():
    assert measure_here(64, 1).cpu_s_per_vm_second > 0
    assert measure_steps() > 0

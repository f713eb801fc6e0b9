"""The measurement of density's speed, in its short form."""

from __future__ import annotations

import pytest

from density import GOAL_RATIO, measure_here, measure_steps

pytestmark = pytest.mark.long


def test_a_fleet_is_computed_a_thousand_times_as_fast_as_step_by_step():
    """Measured side by side, by CPU time; half of the goal, since others may share the caches."""
    pytest.importorskip("simpy", reason="SimPy, which the reference model needs, is not installed")
    measure_here(256, 24)
    assert measure_steps() / measure_here(1024, 24).cpu_s_per_vm_second > GOAL_RATIO / 2

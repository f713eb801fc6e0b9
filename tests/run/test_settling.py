"""When memory counts as steady."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from freepage.records import NODE, SampleLine
from freepage.run.sampler import find_zero
from freepage.run.settling import (
    QUIET_DEADLINE_S,
    QUIET_SPAN_S,
    SteadyWaiter,
    are_instances_steady,
    are_reports_over,
    is_node_steady,
)
from freepage.units import GIB, MIB

PARTS = ("cached", "buffers", "sreclaimable")


def line(t_s, free=GIB, **instances):
    node = {"mem_total_bytes": 4.0 * GIB, "mem_free_bytes": free} | {f"mem_{p}_bytes": 0.0 for p in PARTS}
    return SampleLine(t_s, 0.0, {NODE: node, **instances})


def every(interval_s, count, **values):
    return [line(n * interval_s, **values) for n in range(count)]


def test_a_node_is_steady_after_two_seconds_and_three_samples_at_any_interval():
    assert not is_node_steady(every(0.5, 4), 2.0)
    assert is_node_steady(every(0.5, 5), 2.0)
    assert not is_node_steady(every(5.0, 2), 2.0)
    assert is_node_steady(every(5.0, 3), 2.0)


def test_a_drift_of_eight_mib_a_second_is_not_steady_however_often_it_is_sampled():
    """Over three samples half a second apart it moves 8 MiB, which passed for steady."""
    for interval_s in (0.1, 0.5, 1.0):
        lines = [line(n * interval_s, free=GIB - 9 * MIB * n * interval_s) for n in range(60)]
        assert not is_node_steady(lines, 2.0)


def test_samples_a_moment_early_still_span_the_time():
    assert is_node_steady([line(n * 0.4999) for n in range(5)], 2.0)


def test_what_is_not_known_of_the_node_is_not_steady():
    assert not is_node_steady(every(0.5, 9, free=None), 2.0)


def test_every_instance_has_to_be_there_and_steady_for_the_whole_span():
    steady, growing = {"rss_bytes": 9e8, "swap_bytes": 0.0}, itertools.count()
    booting = [line(t * 0.5) for t in range(8)]
    here = [line(4 + t * 0.5, a=steady, b=steady) for t in range(9)]
    assert are_instances_steady([*booting, *here], ["a", "b"], QUIET_SPAN_S)
    assert not are_instances_steady([*booting, *here[:8]], ["a", "b"], QUIET_SPAN_S)
    grown = [line(4 + t * 0.5, a=steady, b={"rss_bytes": next(growing) * 3.0 * MIB}) for t in range(9)]
    assert not are_instances_steady([*booting, *grown], ["a", "b"], QUIET_SPAN_S)
    assert are_instances_steady([*booting, *grown], ["a"], QUIET_SPAN_S)


def test_an_instance_whose_memory_is_not_known_is_not_waited_for():
    assert are_instances_steady(every(0.5, 9, a={"rss_bytes": None}), ["a"], QUIET_SPAN_S)


def reported(*readings):
    return [line(t, a={} if count is None else {"reports_handled": count}) for t, count in readings]


def test_reports_are_over_when_none_came_for_two_passes():
    flush = [(0.5, 0.0), (1.0, None), (2.5, 2.0), (4.5, 5.0), (6.5, 5.0)]
    assert not are_reports_over(reported(*flush), ["a"], QUIET_SPAN_S)
    assert are_reports_over(reported(*flush, (8.5, 5.0)), ["a"], QUIET_SPAN_S)


def test_a_guest_that_has_not_answered_yet_may_still_report():
    assert not are_reports_over(reported((0.5, None), (9.0, None)), ["a"], QUIET_SPAN_S)
    assert are_reports_over(reported((0.5, None)), [], QUIET_SPAN_S)


def test_a_guest_has_time_for_its_most_passes():
    assert (QUIET_SPAN_S, QUIET_DEADLINE_S) == (4.0, 34.0)


async def test_a_wait_ends_with_the_sample_that_is_steady_or_at_its_deadline():
    waiter = SteadyWaiter()
    waits = asyncio.create_task(waiter.wait(lambda lines: len(lines) == 2, 30))
    for sample in every(1.0, 2):
        await asyncio.sleep(0)
        assert not waits.done()
        waiter.take(sample)
    assert await waits
    assert not await waiter.wait(lambda _: False, 0.01)


@pytest.mark.parametrize("phase_s", [0.0, 0.1, 0.25, 0.49])
@pytest.mark.parametrize("earliest_s", [100.0, 100.13, 100.5, 107.77])
def test_the_zero_lies_at_the_phase_before_a_tick_and_never_too_early(earliest_s, phase_s):
    zero_s = find_zero(earliest_s, 92.3, 0.5, phase_s)
    assert earliest_s - 1e-9 <= zero_s < earliest_s + 0.5
    ticks = (zero_s + phase_s - 92.3) / 0.5
    assert ticks == pytest.approx(round(ticks))

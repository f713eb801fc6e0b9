"""The forecast of one VM: its formula, its range, what was never touched, and what is not known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.forecast.vm import forecast_vm, knows_blocks, touched_bytes
from freepage.units import GIB
from helpers.traces import make_trace

NAN = float("nan")
NO_OVERHEAD = (0.0, 0.0, 0.0)


def gib(values):
    return (values / GIB).round(6).tolist()


def test_with_fpr_the_host_holds_the_guests_memory_less_what_can_be_reported_and_qemus_own():
    forecast = forecast_vm(make_trace(resident=8, reportable=[4, 3, 0]), (0.0, 0.25 * GIB, 0.5 * GIB))
    assert gib(forecast.likely_bytes) == [4.25, 5.25, 8]
    assert gib(forecast.low_bytes) == [3.6, 4.7, 8]
    assert gib(forecast.high_bytes) == [4.85, 5.75, 8]
    assert gib(forecast.stranded_bytes) == [1, 2, 5]


def test_what_was_never_touched_is_not_on_the_host():
    forecast = forecast_vm(make_trace(resident=[1, 3, 8], reportable=4), NO_OVERHEAD)
    assert gib(forecast.likely_bytes) == [1, 3, 4]
    assert gib(forecast.high_bytes) == [1, 3, 4.4]


def test_what_was_touched_counts_from_the_last_restart():
    trace = make_trace(t_s=range(0, 240, 60), resident=[8, 8, 1, 2], reportable=2)
    assert gib(touched_bytes(trace)) == [8, 8, 1, 2]
    assert gib(forecast_vm(trace, NO_OVERHEAD).likely_bytes) == [6, 6, 1, 2]


def test_a_fall_that_is_no_restart_leaves_what_was_touched():
    assert gib(touched_bytes(make_trace(resident=[4, 3, 3.5]))) == [4, 4, 4]


def test_a_sample_without_a_value_is_not_known_whichever_value_is_missing():
    for missing in ("resident", "total", "reportable"):
        forecast = forecast_vm(make_trace(**{missing: [4.0, NAN, 4.0]}))
        for line in (forecast.low_bytes, forecast.likely_bytes, forecast.high_bytes):
            assert np.isnan(line).tolist() == [False, True, False]


def test_the_sum_of_free_memory_tells_a_range_and_nothing_likely():
    forecast = forecast_vm(make_trace(resident=8, free=4, reportable=NAN), NO_OVERHEAD)
    assert gib(forecast.low_bytes) == [4, 4, 4]
    assert gib(forecast.high_bytes) == [round(8 - 4 * 0.432, 6)] * 3
    assert np.isnan(forecast.likely_bytes).all()
    assert np.isnan(forecast.stranded_bytes).all()
    assert any("not its blocks" in why for why in forecast.unknown)
    assert any("56.8%" in each for each in forecast.assumptions)


def test_blocks_of_a_few_samples_do_not_make_the_others_unknown():
    few = make_trace(t_s=range(0, 600, 60), reportable=[4] + [NAN] * 9)
    assert not knows_blocks(few)
    assert not np.isnan(forecast_vm(few).low_bytes).any()
    assert knows_blocks(make_trace(reportable=[4, NAN, 4]))


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ({"free": NAN, "reportable": NAN}, "how much of the guest is free is not known"),
        ({"total": NAN}, "the size of the guest is not known"),
        ({"resident": NAN}, "what it holds now was never seen"),
    ],
)
def test_where_too_little_is_known_nothing_is_forecast_and_the_reason_is_said(missing, why):
    forecast = forecast_vm(make_trace(**missing))
    assert np.isnan(forecast.low_bytes).all()
    assert np.isnan(forecast.high_bytes).all()
    assert forecast.assumptions == ()
    assert any(why in each for each in forecast.unknown)


def test_a_vm_that_frees_a_block_has_it_on_the_host_until_the_passes_have_come():
    t_s = np.arange(0.0, 30.0)
    freed = np.where(t_s >= 10, 4.0, 2.0)
    forecast = forecast_vm(make_trace(t_s=t_s, resident=8, reportable=freed), NO_OVERHEAD)
    likely = forecast.likely_bytes / GIB
    assert set(likely[:10]) == {6}
    assert likely[11] == 6
    assert 4 < likely[14] < 6
    assert likely[29] == 4
    assert np.all(np.diff(likely[10:]) <= 0)


SIZES = st.lists(st.floats(0, 8), min_size=3, max_size=3)


@given(SIZES, SIZES, SIZES)
def test_low_likely_and_high_are_in_order_and_never_more_than_was_touched(resident, free, part):
    reportable = [f * p / 8 for f, p in zip(free, part, strict=True)]
    trace = make_trace(resident=resident, free=free, reportable=reportable)
    forecast = forecast_vm(trace)
    assert np.all(forecast.low_bytes <= forecast.likely_bytes)
    assert np.all(forecast.likely_bytes <= forecast.high_bytes)
    assert np.all(forecast.high_bytes <= touched_bytes(trace))
    assert np.all(forecast.stranded_bytes >= 0)


@given(SIZES, SIZES, st.floats(0, 1))
def test_more_that_can_be_reported_never_leaves_more_on_the_host(resident, reportable, more):
    less, larger = (
        forecast_vm(make_trace(resident=resident, free=8, reportable=np.array(reportable) * factor))
        for factor in (more, 1.0)
    )
    assert np.all(larger.likely_bytes <= less.likely_bytes)

"""GiB x minutes over time and over VMs, of what is known alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.forecast.forecast import forecast_all
from freepage.forecast.totals import add_up, gib_hours, reused_gib_per_hour, summarise
from freepage.forecast.vm import forecast_vm
from freepage.units import GIB
from helpers.traces import make_trace

NAN = float("nan")
HOURS = np.array([0.0, 3600, 7200, 10800])


def summary(*overhead, **words):
    return summarise(forecast_vm(make_trace(**words), overhead or (0.0, 0.0, 0.0)))


def test_gib_hours_are_trapezoids_between_neighbours():
    assert gib_hours(HOURS, np.array([1, 3, 3, 1]) * GIB) == pytest.approx(7)


@pytest.mark.parametrize(
    ("values", "gaps", "hours"),
    [
        ([1, 1, 1, 1], (1,), 2),
        ([1, NAN, 1, 1], (), 1),
        ([NAN, 1, 1, NAN], (), 1),
        ([1, NAN, 1, NAN], (), None),
        ([1, 1, 1, 1], (0, 1, 2), None),
    ],
)
def test_gaps_and_missing_values_count_for_nothing_and_nothing_known_is_not_0(values, gaps, hours):
    assert gib_hours(HOURS, np.array(values) * GIB, gaps) == pytest.approx(hours)


def test_one_sample_has_no_time_and_still_its_bytes():
    found = summary(t_s=[0.0])
    assert (found.gib_min.now, found.gib_min.with_fpr.likely) == (None, None)
    assert (found.at_end.now, found.at_end.with_fpr.likely) == (4 * GIB, 4 * GIB)
    assert (found.stranded_bytes, found.span_s) == (GIB, 0)


@given(st.lists(st.floats(0, 64), min_size=4, max_size=4), st.integers(1, 2))
def test_time_that_is_cut_in_two_holds_as_much_as_it_did_whole(values, at):
    sizes = np.array(values) * GIB
    parts = [(HOURS[: at + 1], sizes[: at + 1]), (HOURS[at:], sizes[at:])]
    assert sum(gib_hours(*part) for part in parts) == pytest.approx(gib_hours(HOURS, sizes))


def test_now_and_with_fpr_are_taken_over_the_same_time():
    found = summary(t_s=range(0, 300, 60), resident=8, reportable=[4, 4, NAN, 4, 4])
    assert (found.known_s, found.span_s) == (120, 240)
    assert found.gib_min.now == pytest.approx(16)
    assert found.gib_min.saved_fraction.likely == pytest.approx(0.5)
    assert found.stranded_bytes == pytest.approx(GIB)


def test_page_cache_is_apart_and_no_more_than_is_on_the_host():
    assert summary(resident=8, cached=3).cached_bytes == pytest.approx(3 * GIB)
    assert summary(resident=2, cached=3).cached_bytes == pytest.approx(2 * GIB)
    assert summary(cached=NAN).cached_bytes is None


@pytest.mark.parametrize(
    ("held", "gaps", "reused"),
    [
        ([4, 2, 4, 6], (), 2 / 3),
        ([4, 2, 4, 2], (), 2 / 3),
        ([1, 2, 3, 4], (), 0),
        ([4, 2, 4, 6], (0,), 0),
        ([4, 2, NAN, 4], (), 0),
        ([4, NAN, 4, NAN], (), None),
    ],
)
def test_memory_is_taken_again_where_the_footprint_rises_to_where_it_was_since_the_last_gap(
    held, gaps, reused
):
    assert reused_gib_per_hour(HOURS, np.array(held) * GIB, gaps) == pytest.approx(reused)


def test_the_total_is_the_sum_of_vms_that_are_known_and_have_not_fpr_already():
    vms = [
        summary(name="a", resident=8, reportable=4),
        summary(name="b", resident=8, reportable=2),
        summary(name="on", resident=4, reportable=4, fpr_on=True),
        summary(name="unknown", free=NAN, reportable=NAN),
    ]
    total = add_up(vms)
    assert total.vms == 2
    assert (total.gib_min.now, total.gib_min.with_fpr.likely) == pytest.approx((32, 20))
    assert total.stranded_bytes == pytest.approx((1 + 3) * GIB)
    assert (total.curve.now / GIB).tolist() == [16] * len(total.curve.t_s)


def test_what_is_likely_of_all_is_not_known_where_it_is_not_of_one():
    total = add_up([summary(resident=8, reportable=4), summary(resident=8, reportable=NAN)])
    assert total.gib_min.with_fpr.likely is None
    assert total.gib_min.with_fpr.low < total.gib_min.with_fpr.high
    assert total.stranded_bytes is None


def test_an_order_of_vms_changes_no_number():
    sources = [(make_trace(name=n, resident=8, reportable=r), None) for n, r in (("a", 4), ("b", 1))]
    both = [forecast_all(each).total for each in (sources, sources[::-1])]
    assert both[0].gib_min == both[1].gib_min
    assert forecast_all(sources).shown[0].name == "a"


def test_nothing_at_all_has_no_total():
    total = add_up([])
    assert (total.vms, total.gib_min.now, len(total.curve.t_s)) == (0, None, 0)

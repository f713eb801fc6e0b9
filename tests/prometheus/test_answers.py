"""The answer for one metric: grouped by what it is of, and how often it was new."""

from __future__ import annotations

from freepage.prometheus.answers import MetricAnswer, describe_answer, find_shared, group_points
from freepage.prometheus.profile import (
    Scope,
    parse_profile,
    read_profile,
)
from freepage.prometheus.series import TimeSeries

PROFILE = {m.id: m for m in parse_profile(read_profile())}


def series_of(points, **labels):
    return TimeSeries({"name": "vm-1", **labels}, [(float(t), v) for t, v in points])


def test_a_vm_that_moved_is_one_series_and_a_node_scraped_twice_is_no_finer():
    metric, scope = PROFILE["kubevirt_vmi_memory_resident_bytes"], Scope({}, "fp")
    moved = [series_of([(20, 3.0), (30, 4.0)], node="b"), series_of([(0, 1.0), (10, 2.0)], node="a")]
    assert group_points(metric, scope, moved)["vm-1"] == [(0, 1.0), (10, 2.0), (20, 3.0), (30, 4.0)]
    twice = [series_of([(0, 1.0), (10, 1.0), (20, 1.0)], job="a"), series_of([(3, 1.0), (13, 1.0)], job="b")]
    assert [t for t, _ in group_points(metric, scope, twice)["vm-1"]] == [0, 10, 20]


def test_both_of_a_pair_of_prometheus_are_one_and_which_does_not_depend_on_their_order():
    metric, scope = PROFILE["kubevirt_vmi_memory_resident_bytes"], Scope({}, "fp")
    pair = [
        series_of([(t + lag, 5.0 + lag) for t in range(0, 100, 30)], prometheus_replica=name)
        for name, lag in (("a", 0), ("b", 7))
    ]
    found = [group_points(metric, scope, both)["vm-1"] for both in (pair, pair[::-1])]
    assert found[0] == found[1] == [(t, 5.0) for t in range(0, 100, 30)]


def test_series_of_one_name_in_several_clusters_are_of_nobody_known():
    metric, scope = PROFILE["kubevirt_vmi_memory_resident_bytes"], Scope({}, "fp")
    east, west = (series_of([(0, 1.0)], clusterID=name) for name in ("east", "west"))
    replica = series_of([(0, 1.0)], clusterID="east", prometheus_replica="b")
    assert find_shared(metric, scope, [east, west]) == ["vm-1"]
    assert find_shared(metric, scope, [east, replica, series_of([(0, 1.0)])]) == []


def test_missing_values_never_stand_over_numbers_of_another_exporter():
    metric, scope = PROFILE["kubevirt_vmi_memory_available_bytes"], Scope({}, "fp")
    source = series_of([(t, 8.0) for t in range(0, 90, 30)], instance="a")
    target = series_of([(t, None) for t in range(0, 120, 30)], instance="b")
    assert group_points(metric, scope, [target, source])["vm-1"] == [
        (0, 8.0),
        (30, 8.0),
        (60, 8.0),
        (90, None),
    ]


def test_a_value_that_repeats_is_not_taken_for_news():
    metric = PROFILE["kubevirt_vmi_memory_resident_bytes"]
    points = [(float(t), float(t // 10)) for t in range(0, 100, 2)]
    found = describe_answer(MetricAnswer(metric, "q", {"vm-1": points}))
    assert (found["points"], found["sampled_s"], found["changed_s"]) == (50, 2.0, 10.0)
    steps = describe_answer(MetricAnswer(PROFILE["node_in_use_bytes"], "q", {"n": points}))
    assert (steps["sampled_s"], steps["changed_s"], steps["raw"]) == (None, 10.0, False)


def test_a_gap_is_no_change_and_what_never_changes_has_no_period():
    metric = PROFILE["kubevirt_vmi_memory_resident_bytes"]
    points = [(0.0, 1.0), (10.0, None), (20.0, 1.0), (30.0, 1.0)]
    found = describe_answer(MetricAnswer(metric, "q", {"vm-1": points}))
    assert (found["sampled_s"], found["changed_s"]) == (10.0, None)

"""Whether the node was short of memory before a run, by what a Prometheus has of each hour."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl
import pytest

from freepage.analysis.past_strain import METRICS, PastStrain, find_past_strain
from freepage.analysis.strain import Strain
from freepage.prometheus.profile import parse_profile, read_profile
from freepage.store import PrometheusSamples

SCHEMA = {"wall_s": pl.Float64, "metric": pl.String, "entity": pl.String, "value": pl.Float64}


def asked(*rows):
    """A run whose Prometheus was asked, and answered with (hour, metric, node, value)."""
    samples = [(3600.0 * hour, metric, node, value) for hour, metric, node, value in rows]
    info = {"metrics": [{"id": name} for name in METRICS]}
    frame = pl.DataFrame(samples, schema=SCHEMA, orient="row")
    return SimpleNamespace(prometheus=PrometheusSamples(info, frame))


def test_the_profile_asks_for_every_number_that_is_looked_at_an_hour_at_a_time_for_a_week():
    profile = {m.id: m for m in parse_profile(read_profile())}
    assert {(profile[name].step_s, profile[name].before_s) for name in METRICS} == {(3600, 7 * 86400)}
    assert [name for name, m in profile.items() if m.before_s] == list(METRICS)


def test_the_worst_hour_of_the_worst_node_counts_and_what_was_counted_is_added_up():
    found = find_past_strain(
        asked(
            (1, "stalled_before", "a", 0.001),
            (1, "stalled_before", "b", 0.2),
            (2, "stalled_before", "a", None),
            (2, "oom_kills_before", "a", 1.004),
            (3, "oom_kills_before", "b", 2.01),
            (3, "swapped_out_before", "b", 0.0),
            (3, "available_before", "a", 0.4),
            (3, "available_before", "b", 0.05),
        )
    )
    assert found == PastStrain(3, Strain(0.2, 0.0, 3.0), 0.05)
    assert found.is_short
    assert found.describe() == (
        "tasks stalled on memory for at most 20\u00a0% of an hour, nothing swapped out, 3 processes killed for want of memory, "
        "the node's or a cgroup's, at least 5\u00a0% of its memory available"
    )


@pytest.mark.parametrize(
    ("strain", "available", "short"),
    [
        (Strain(0.01), 0.5, True),
        (Strain(0.009, 0.0, 0.0), 0.5, False),
        (Strain(0.0, 0.0, 4.0), 0.5, False),
        (Strain(0.0, 800.0, 0.0), 0.5, False),
        (Strain(0.0, 0.0, 4.0), 0.05, True),
        (Strain(None, 800.0, None), None, True),
        (Strain(), 0.05, None),
    ],
)
def test_a_kill_or_swapping_while_much_was_left_is_no_want_of_the_nodes_memory(strain, available, short):
    assert PastStrain(24, strain, available).is_short is short


def test_a_gap_is_no_hour_and_nothing_is_said_of_more_time_than_is_known():
    assert find_past_strain(asked((1, "stalled_before", "a", None))).hours == 0
    assert (PastStrain(168, Strain(), None).span, PastStrain(5, Strain(), None).span) == ("7 days", "5 h")


def test_where_no_prometheus_was_asked_or_not_for_this_nothing_is_known():
    assert find_past_strain(SimpleNamespace(prometheus=None)) is None
    earlier = PrometheusSamples({"metrics": [{"id": "node_vmstat_pswpout"}]}, pl.DataFrame(schema=SCHEMA))
    assert find_past_strain(SimpleNamespace(prometheus=earlier)) is None

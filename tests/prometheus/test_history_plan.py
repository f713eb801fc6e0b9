"""A history is cut into queries that a server permits, and into no more of them than it needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.prometheus.exporters import METRICS
from freepage.prometheus.history_plan import (
    CHARACTERS_PER_QUERY,
    POINTS_PER_QUERY,
    VMS_PER_QUERY,
    HistoryPlan,
    HistoryRequest,
)

SERVERS_LIMIT = 11_000


def plan(vms, count, step_s=60):
    request = HistoryRequest(count * step_s, step_s)
    return HistoryPlan("http://p", request, 0, step_s, count, "namespace", tuple(sorted(vms)))


@pytest.mark.parametrize(
    ("since_s", "step_s"), [(3600, 30), (86400, 30), (7 * 86400, 120), (30 * 86400, 300), (366 * 86400, 3600)]
)
def test_the_step_follows_from_how_far_back_and_an_own_one_stands(since_s, step_s):
    assert HistoryRequest(since_s).chosen_step_s == step_s
    assert HistoryRequest(since_s, 45).chosen_step_s == 45


@given(
    st.sets(
        st.tuples(st.text("ab", min_size=1, max_size=63), st.text("cd-", min_size=1, max_size=63)),
        min_size=1,
        max_size=120,
    ),
    st.integers(2, 30_000),
    st.sampled_from([1, 15, 60, 3600]),
)
def test_every_time_of_every_vm_is_asked_for_once_and_within_all_limits(vms, count, step_s):
    batches = list(plan(vms, count, step_s).batches())
    assert [vm for pieces in batches for vm in pieces[0].vms] == sorted(vms)
    for pieces in batches:
        assert [p.first for p in pieces] == [sum(q.count for q in pieces[:n]) for n in range(len(pieces))]
        assert sum(p.count for p in pieces) == count
        assert len({p.vms for p in pieces}) == 1
        vms_here = pieces[0].vms
        assert len(vms_here) <= VMS_PER_QUERY
        assert sum(map(len, (word for vm in vms_here for word in vm))) <= CHARACTERS_PER_QUERY
        grids = [plan(vms, count, step_s).grid(p) for p in pieces]
        assert max(g.count for g in grids) <= SERVERS_LIMIT
        assert max(p.count for p in pieces) * len(vms_here) * len(METRICS) <= POINTS_PER_QUERY


def test_a_month_of_5000_vms_is_little_more_than_a_thousand_queries():
    vms = {("apps", f"vm-{n:04}") for n in range(5000)}
    queries = sum(len(pieces) for pieces in plan(vms, 8641, 300).batches())
    assert queries == 1100


def test_a_piece_asks_for_a_while_before_its_own_times():
    one = plan({("apps", "db")}, 100)
    ((piece,),) = one.batches()
    assert (one.grid(piece).start_s, one.grid(piece).count) == (-300, 105)

"""The history of a cluster's VMs: whole, in pieces, through migrations and restarts, and gone on with."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from freepage.prometheus import history_plan
from freepage.prometheus.client import Settings
from freepage.prometheus.errors import PrometheusError, QueryError
from freepage.prometheus.history import RESUME_HINT, build_query, fetch_history
from freepage.prometheus.history_plan import HistoryRequest
from freepage.prometheus.pieces import read_plan, remove_history
from freepage.prometheus.vm_history import read_histories
from freepage.units import GIB
from helpers.fake_prometheus import FakePrometheus, Held, serve
from helpers.vm_series import USUAL, vm_series

STEP_S = 60
STEPS = 60
REQUEST = HistoryRequest(STEPS * STEP_S, STEP_S)


@pytest.fixture
def times():
    """When exporters were scraped: on the grid of a history of an hour, and for a while before it."""
    end = int(time.time()) // STEP_S * STEP_S
    return range(end - (STEPS + 10) * STEP_S, end + STEP_S, STEP_S)


async def fetch(folder, series, request=REQUEST, **changes):
    """Fetch from a Prometheus with these series; return it with the histories by VM and what it warned of."""
    fake = FakePrometheus(list(series), **changes)
    warnings = []
    async with serve(fake) as url:
        plan = await fetch_history(Settings(url), request, folder, lambda _there, _of: None)
    return {one.vm: one for one in read_histories(folder, plan, warnings)}, fake, warnings


def asked(fake, path):
    return [question for question in fake.asked if question["path"].endswith(path)]


async def test_every_vm_has_all_its_numbers_at_every_time(tmp_path, times):
    series = [
        *vm_series(times, "db", resident=lambda t: t),
        *vm_series(times, "web", namespace="shop", unused=lambda t: 2 * t),
    ]
    found, fake, _ = await fetch(tmp_path, series)
    assert list(found) == [("apps", "db"), ("shop", "web")]
    db, web = found.values()
    assert db.t_s.tolist() == [60.0 * n for n in range(STEPS + 1)]
    assert np.diff(db.values["resident"]).tolist() == [60.0] * STEPS
    assert np.diff(web.values["unused"]).tolist() == [120.0] * STEPS
    assert set(web.values["domain"]) == {8.0 * GIB}
    assert not db.shared
    assert not np.any([db.moved, db.started])
    assert len(asked(fake, "/query_range")) == 1


async def test_pieces_make_up_the_same_as_one_answer_also_where_a_vm_moves_at_a_seam(
    tmp_path, times, monkeypatch
):
    half = times[len(times) // 2]
    series = [
        *vm_series([t for t in times if t <= half], resident=lambda t: t),
        *vm_series([t for t in times if t >= half], node="n2", resident=lambda t: t / 2),
    ]
    whole, _, _ = await fetch(tmp_path / "whole", series)
    monkeypatch.setattr(history_plan, "POINTS_PER_QUERY", 6)
    pieces, fake, _ = await fetch(tmp_path / "pieces", series)
    one, other = whole["apps", "db"], pieces["apps", "db"]
    assert len(asked(fake, "/query_range")) == STEPS + 1
    assert one.nodes == other.nodes == ("n1", "n2")
    shift = int(other.values["pgminfault"][0] - one.values["pgminfault"][0]) // STEP_S
    for metric, values in one.values.items():
        np.testing.assert_array_equal(values[shift:], other.values[metric][: STEPS + 1 - shift])


async def test_a_vm_that_migrates_is_one_series_of_the_node_that_knows_its_guest(tmp_path, times):
    """While memory is copied the target tells its own resident memory alone; the source is told for five minutes more."""
    left = times[30]
    source = vm_series([t for t in times if t <= left], resident=7 * GIB)
    only_resident = dict.fromkeys(USUAL, None) | {"resident": lambda t: (t - times[25]) * 1e6}
    copying = vm_series(times[25:31], node="n2", **only_resident)
    arrived = vm_series([t for t in times if t > left], node="n2", resident=4 * GIB)
    joined = [
        Held(a.labels, [*b.samples, *a.samples]) for a in arrived for b in copying if a.labels == b.labels
    ]
    others = [a for a in arrived if all(a.labels != j.labels for j in joined)]
    found, _, _ = await fetch(tmp_path, [*source, *joined, *others])
    db = found["apps", "db"]
    (at,) = np.flatnonzero(db.moved)
    assert set(db.values["resident"][:at]) == {7.0 * GIB}
    assert set(db.values["resident"][at:]) == {4.0 * GIB}
    assert not np.isnan(db.values["unused"]).any()
    assert db.nodes == ("n1", "n2")
    assert not db.started.any()


async def test_a_guest_that_boots_anew_is_seen_by_its_count_of_faults(tmp_path, times):
    again = times[40]
    found, _, _ = await fetch(tmp_path, vm_series(times, faults=lambda t: t - again if t >= again else t))
    assert found["apps", "db"].started.sum() == 1
    assert not found["apps", "db"].moved.any()


async def test_both_of_a_pair_of_prometheus_are_one_vm_and_never_mix(tmp_path, times):
    pair = [
        each
        for replica, value in (("a", 1.0), ("b", 2.0))
        for each in vm_series(times[::2], prometheus_replica=replica, **dict.fromkeys(USUAL, value))
    ]
    found, _, _ = await fetch(tmp_path, pair)
    db = found["apps", "db"]
    np.testing.assert_array_equal(db.values["resident"], db.values["unused"])
    assert not np.any([db.moved, db.started])
    assert db.nodes == ("n1",)


async def test_a_restarted_exporter_and_a_gap_leave_one_vm_with_a_gap(tmp_path, times):
    series = [
        *vm_series(times[:30], instance="10.0.0.1:8443"),
        *vm_series(times[45:], instance="10.0.0.9:8443"),
    ]
    found, _, _ = await fetch(tmp_path, series)
    db = found["apps", "db"]
    # A server tells the last number for less than five minutes more.
    assert np.isnan(db.values["resident"]).sum() == 15 - 4
    assert not db.moved.any()


async def test_names_of_kubevirt_1_0_and_of_a_scrape_with_its_own_labels_are_understood(tmp_path, times):
    old = vm_series(times, "old", namespace="kubevirt", exported_namespace="apps", old=True)
    found, fake, _ = await fetch(tmp_path, old, replace(REQUEST, namespace="apps"))
    assert set(found["apps", "old"].values["domain"]) == {8.0 * GIB}
    assert not np.isnan(found["apps", "old"].values["pgminfault"]).any()
    assert 'exported_namespace=~"apps"' in asked(fake, "/query_range")[0]["query"]


async def test_one_namespace_alone_is_asked_about(tmp_path, times):
    series = [*vm_series(times, "db"), *vm_series(times, "db", namespace="shop")]
    found, _, _ = await fetch(tmp_path, series, replace(REQUEST, namespace="shop"))
    assert list(found) == [("shop", "db")]


async def test_vms_of_one_name_in_several_clusters_are_told(tmp_path, times):
    series = [each for cluster in ("east", "west") for each in vm_series(times, cluster=cluster)]
    found, _, _ = await fetch(tmp_path, [*series, *vm_series(times, "web", cluster="east")])
    assert {vm: one.shared for vm, one in found.items()} == {("apps", "db"): True, ("apps", "web"): False}


async def test_a_history_that_was_cut_off_goes_on_where_it_ended(tmp_path, times, monkeypatch):
    monkeypatch.setattr(history_plan, "VMS_PER_QUERY", 1)
    fake = FakePrometheus([s for name in ("a", "b", "c") for s in vm_series(times, name)])
    told = []
    async with serve(fake) as url:
        fake.refused = '"b"'
        with pytest.raises(QueryError) as caught:
            await fetch_history(Settings(url), REQUEST, tmp_path, lambda *of: told.append(of))
        assert caught.value.hint == RESUME_HINT
        assert told == [(0, 3), (1, 3)]
        fake.refused = None
        fake.asked.clear()
        plan = await fetch_history(Settings(url), REQUEST, tmp_path, lambda *of: told.append(of))
    assert told[2:] == [(1, 3), (2, 3), (3, 3)]
    assert [question["path"] for question in fake.asked] == ["/api/v1/query_range"] * 2
    assert [one.vm[1] for one in read_histories(tmp_path, plan, [])] == ["a", "b", "c"]
    remove_history(tmp_path)
    assert not tmp_path.exists()


async def test_a_folder_of_another_request_is_refused_and_stays(tmp_path, times):
    await fetch(tmp_path, vm_series(times))
    with pytest.raises(PrometheusError, match="holds the history of another request"):
        await fetch(tmp_path, vm_series(times), replace(REQUEST, namespace="apps"))
    assert read_plan(tmp_path).request == REQUEST


async def test_a_torn_piece_is_said_with_what_to_do(tmp_path, times):
    await fetch(tmp_path, vm_series(times))
    (piece,) = tmp_path.glob("*.npz")
    piece.write_bytes(piece.read_bytes()[:100])
    with pytest.raises(PrometheusError, match=piece.name) as caught:
        list(read_histories(tmp_path, read_plan(tmp_path), []))
    assert "remove it" in caught.value.hint


async def test_what_a_server_says_beside_its_answers_is_kept_with_them(tmp_path, times):
    _, _, warnings = await fetch(tmp_path, vm_series(times), warnings=["a store is away"])
    again = []
    list(read_histories(tmp_path, read_plan(tmp_path), again))
    assert again == warnings == ["a store is away"]


async def test_a_server_without_vms_says_what_is_missing_and_what_it_has(tmp_path, times):
    with pytest.raises(PrometheusError) as caught:
        await fetch(tmp_path, vm_series(times, resident=None))
    assert "no kubevirt_vmi_memory_resident_bytes for 1 h" in caught.value.message
    assert "it has now: kubevirt_vmi_memory_available_bytes, " in caught.value.message
    with pytest.raises(PrometheusError, match="it has now: none"):
        await fetch(tmp_path, [Held({"__name__": "up"}, [(float(times[-1]), "1")])])


def test_a_query_names_vms_so_that_no_name_is_taken_for_an_expression():
    query = build_query("namespace", [("a", "db.one"), ("b", "x-y")])
    assert query.endswith(r'namespace=~"a|b",name=~"db\\.one|x-y"}')

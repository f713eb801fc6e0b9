"""Asking a Prometheus: chunks, errors, secrets, what a run is about, and what is made of the answers."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.cli.main import main
from freepage.kube.errors import ForbiddenError, NotFoundError
from freepage.kube.login import Login
from freepage.metrics import COUNTER, GAUGE, METRICS
from freepage.prometheus import client as prometheus
from freepage.prometheus import openshift
from freepage.prometheus.address import clean_url
from freepage.prometheus.answers import MetricAnswer, describe_answer, group_points
from freepage.prometheus.client import Settings, check_prometheus, open_prometheus
from freepage.prometheus.collection import collect
from freepage.prometheus.errors import PrometheusError, QueryError
from freepage.prometheus.profile import (
    Scope,
    fill_query,
    find_instances,
    name_entity,
    parse_profile,
    read_profile,
)
from freepage.prometheus.scope import find_span
from freepage.prometheus.series import Span, TimeSeries, join_chunks, split_range, split_span
from freepage.prometheus.vm_memory import read_vm_memory
from freepage.store import load_run
from helpers.fake_prometheus import MOST_STEPS, FakePrometheus, Held, serve
from helpers.modelled_run import Truth, write_run

RECORDED = json.loads((Path(__file__).parents[1] / "recorded/prometheus-2.42.json").read_text())
PROFILE = {m.id: m for m in parse_profile(read_profile())}
SECRET = "sha256~not-for-anybody"


def answering(name, status=200):
    """A Prometheus that gives a recorded answer to everything."""
    return FakePrometheus(answer=(status, "application/json", json.dumps(RECORDED[name])))


async def ask(fake, work, **settings):
    async with serve(fake) as url, open_prometheus(Settings(url, **settings)) as client:
        return await work(client)


# Chunks


@given(
    start=st.integers(0, 2_000_000_000),
    seconds=st.integers(1, 400_000),
    step=st.sampled_from([0.5, 1, 2.5, 5, 15, 30]),
)
def test_chunks_are_the_whole_grid_and_none_has_more_points_than_a_server_gives(start, seconds, step):
    chunks = split_range(Span(start, start + seconds), step)
    grid = [first + n * step for first, last in chunks for n in range(round((last - first) / step) + 1)]
    assert grid == [start + n * step for n in range(int(seconds / step) + 1)]
    assert all((last - first) / step < MOST_STEPS for first, last in chunks)


@given(start=st.integers(0, 2_000_000_000), seconds=st.integers(1, 100_000))
def test_spans_of_stored_samples_follow_each_other_without_a_gap(start, seconds):
    spans = split_span(Span(start, start + seconds))
    assert (spans[0].start_s, spans[-1].end_s) == (start, start + seconds)
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(spans))


@given(
    times=st.lists(st.integers(0, 200), unique=True).map(sorted),
    seams=st.lists(st.integers(0, 200), max_size=6).map(sorted),
)
def test_a_sample_at_a_seam_comes_once_and_all_are_in_order(times, seams):
    whole = [(float(t), None if t % 7 == 0 else t * 2.0) for t in times]
    edges = [-1, *seams, 201]
    windows = itertools.pairwise(edges)
    chunks = [[TimeSeries({"a": "b"}, [p for p in whole if low <= p[0] <= high])] for low, high in windows]
    assert join_chunks(chunks) == [TimeSeries({"a": "b"}, whole)]


async def test_a_long_range_is_asked_for_in_pieces_the_server_accepts():
    fake = FakePrometheus(
        [Held({"__name__": "node_load1"}, [(float(t), str(t)) for t in range(0, 30_000, 60)])]
    )
    found = await ask(fake, lambda client: client.query_range("node_load1", Span(300, 29_300), 1))
    times = [t for t, _ in found[0].points]
    assert times == [float(t) for t in range(300, 29_301)]
    steps = [(float(q["end"]) - float(q["start"])) / float(q["step"]) for q in fake.asked]
    assert len(steps) == 3
    assert max(steps) < MOST_STEPS


async def test_stored_samples_keep_their_own_times_and_come_once_over_many_hours():
    samples = [(round(n * 15 + 0.122, 3), str(n)) for n in range(1000)] + [
        (3600.0 * 4, "0"),
        (3600.0 * 5, "1"),
    ]
    fake = FakePrometheus([Held({"__name__": "node_load1"}, samples)])
    found = await ask(fake, lambda client: client.query_samples("node_load1", Span(0, 5 * 3600)))
    assert found[0].points == [(t, float(v)) for t, v in sorted(samples)]
    assert [q["query"] for q in fake.asked] == ["node_load1[3600s]"] * 5


# Answers


async def test_recorded_samples_are_read_with_their_times():
    found = await ask(answering("samples"), lambda client: client.query("node_memory_MemAvailable_bytes[5s]"))
    assert found[0].labels["instance"] == "127.0.0.1:19100"
    assert found[0].points[0] == (1795545159.122, 24570556416.0)
    assert len(found[0].points) == 5


@pytest.mark.parametrize(
    ("name", "value"), [("not_a_number", None), ("infinite", None), ("range", 0.8200000000000642)]
)
async def test_what_is_no_number_is_missing(name, value):
    found = await ask(answering(name), lambda client: client.query("x"))
    assert value in [v for series in found for _, v in series.points]
    assert all(v is None or v > -1 for series in found for _, v in series.points)


async def test_a_refused_query_gives_the_servers_words_and_the_query():
    with pytest.raises(QueryError) as caught:
        await ask(answering("too_many_points", 400), lambda client: client.query("node_memory_MemFree_bytes"))
    assert "bad_data" in caught.value.message
    assert "exceeded maximum resolution of 11,000 points" in caught.value.message
    assert "node_memory_MemFree_bytes" in caught.value.message


KUBERNETES_REFUSAL = '{"kind": "Status", "status": "Failure", "message": "no", "code": 403}'


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        ((401, "text/plain", "Unauthorized"), "does not know who is asking", "--prometheus-token-file"),
        ((302, "text/html", "log in"), "does not know who is asking", "--prometheus-token-file"),
        ((403, "text/plain", "Forbidden"), "does not let this user", "cluster-monitoring-view"),
        ((403, "application/json", KUBERNETES_REFUSAL), "does not let this user", "cluster-monitoring-view"),
        ((404, "text/html", "<html>"), "HTTP 404 with text/html", "http://HOST:9090"),
        ((200, "application/json", "[]"), "does not answer as a Prometheus", "http://HOST:9090"),
    ],
)
async def test_who_is_no_prometheus_or_lets_nobody_in_is_told_apart(answer, words, hint):
    with pytest.raises(PrometheusError) as caught:
        await ask(FakePrometheus(answer=answer), lambda client: client.measure_clock())
    assert words in caught.value.message
    assert hint in caught.value.hint


async def test_nobody_at_the_address_is_said():
    with pytest.raises(PrometheusError, match=r"cannot reach http://127\.0\.0\.1:9"):
        await check_prometheus(Settings("http://127.0.0.1:9"))


async def test_a_server_that_never_answers_ends_with_the_query(monkeypatch):
    class Silent(FakePrometheus):
        async def handle(self, request):
            await asyncio.sleep(0.5)
            return await super().handle(request)

    monkeypatch.setattr(prometheus, "ANSWER_S", 0.1)
    with pytest.raises(PrometheusError, match=r"did not answer within .* node_load1"):
        await ask(Silent(), lambda client: client.query("node_load1"))


async def test_warnings_are_kept_once_and_the_clock_is_compared():
    fake = FakePrometheus(warnings=["a store is away"], ahead_s=30)

    async def work(client):
        for _ in range(3):
            await client.query("node_load1")
        return client.warnings, await client.measure_clock(), await client.read_version()

    warnings, clock, version = await ask(fake, work)
    assert warnings == ["a store is away"]
    assert clock.offset_s == pytest.approx(30, abs=0.5)
    assert 0 < clock.uncertainty_s < 0.5
    assert version == "2.42.0"


# Addresses and secrets


@pytest.mark.parametrize("ending", ["", "/", "/api", "/api/", "/api/v1", "/prom", "/prom/api"])
def test_an_address_may_end_with_the_api(ending):
    assert clean_url(f"https://thanos.example{ending}")[0] == "https://thanos.example" + (
        "/prom" if "prom" in ending else ""
    )


@pytest.mark.parametrize(
    "text", ["prometheus:9090", "ftp://host", "http://", "http://host:none", "http://u:hush@host/?token=hush"]
)
def test_what_is_no_address_is_refused_without_its_secrets(text):
    with pytest.raises(PrometheusError) as caught:
        clean_url(text)
    assert "hush" not in str(caught.value)
    assert "http://HOST:9090" in caught.value.hint


async def test_a_token_is_sent_and_stands_nowhere_else(tmp_path):
    (tmp_path / "token").write_text(f"{SECRET}\n")
    settings = Settings("", token_file=tmp_path / "token", token=SECRET)
    fake = answering("parse_error", 400)
    with pytest.raises(QueryError) as caught:
        await ask(fake, lambda client: client.query("x"), token_file=tmp_path / "token")
    assert fake.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in str(caught.value) + repr(settings)


async def test_a_password_in_the_address_is_used_and_stands_nowhere_else():
    fake = FakePrometheus()
    async with serve(fake) as url, open_prometheus(Settings(url.replace("//", "//me:h%40sh@"))) as client:
        await client.query("x")
        assert "h@sh" not in client.url
        assert "me" not in client.url
    assert base64.b64decode(fake.headers[0]["Authorization"].split()[1]) == b"me:h@sh"


@pytest.mark.parametrize("text", ["", "two words", "ä"])
async def test_a_file_that_holds_no_token_is_refused_without_showing_it(tmp_path, text):
    (tmp_path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(PrometheusError) as caught:
        await check_prometheus(Settings("http://127.0.0.1:9", token_file=tmp_path / "token"))
    assert "token" in caught.value.message
    assert not text or text not in str(caught.value)


async def test_a_ca_that_is_none_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    (tmp_path / "empty.pem").write_text("")
    for name in ("ca.pem", "empty.pem", "not-there.pem"):
        with pytest.raises(PrometheusError, match=r"cannot use the CA"):
            await check_prometheus(Settings("https://127.0.0.1:9", ca_file=tmp_path / name))


# The profile


def test_every_metric_of_the_profile_has_words_we_know():
    placeholders = {"node": "$nodes", "container": "$pods", "vm": "$vms"}
    for metric in PROFILE.values():
        assert metric.kind in {GAUGE, COUNTER}
        assert placeholders[metric.about] in metric.query
        assert not metric.raw or re.fullmatch(r"\w*\{[^{}]*\}", metric.query), "only a selector has samples"
        assert metric.refresh_s > 0
        assert metric.ours in {None, "in use"} | METRICS.keys()
        if metric.ours in METRICS:
            assert (METRICS[metric.ours].unit, METRICS[metric.ours].kind) == (metric.unit, metric.kind)
    assert len(PROFILE) == len(parse_profile(read_profile()))


def test_matchers_are_filled_in_and_no_name_can_break_out_of_them():
    scope = Scope({"n1": "10.0.0.1:9100", "n2": 'a"b'}, 'f"p', "freepage-1-")
    node = fill_query(PROFILE["node_memory_MemFree_bytes"], scope)
    assert node == r'node_memory_MemFree_bytes{instance=~"10\\.0\\.0\\.1:9100|a\"b"}'
    vm = fill_query(PROFILE["kubevirt_vmi_memory_resident_bytes"], scope)
    assert vm == r'kubevirt_vmi_memory_resident_bytes{namespace="f\"p",name=~"freepage\\-1\\-.*"}'
    pod = fill_query(PROFILE["container_memory_rss"], scope)
    assert r'pod=~"(virt-launcher-)?freepage\\-1\\-.*"' in pod


EXPORTERS = {
    "as OpenShift names it": ([{"instance": "worker-1"}], "worker-1"),
    "by a label of its own": ([{"instance": "10.0.0.7:9100", "node": "worker-1"}], "10.0.0.7:9100"),
    "by the host's own name": (
        [
            {"instance": "10.0.0.7:9100"},
            {"__name__": "node_uname_info", "instance": "10.0.0.7:9100", "nodename": "worker-1"},
        ],
        "10.0.0.7:9100",
    ),
    "by the node's address": (
        [
            {"instance": "10.0.0.77:9100"},
            {"instance": "10.0.0.7:9100"},
            {
                "__name__": "kube_node_info",
                "instance": "10.1.1.1:8080",
                "node": "worker-1",
                "internal_ip": "10.0.0.7",
            },
        ],
        "10.0.0.7:9100",
    ),
    "by its IPv6 address": (
        [
            {"instance": "[fd00::7]:9100"},
            {"__name__": "kube_node_info", "instance": "x", "node": "worker-1", "internal_ip": "fd00::7"},
        ],
        "[fd00::7]:9100",
    ),
    "not at all": ([{"instance": "10.0.0.8:9100", "nodename": "worker-2"}], None),
}


@pytest.mark.parametrize(("seen", "instance"), EXPORTERS.values(), ids=EXPORTERS.keys())
def test_a_node_is_found_wherever_its_name_stands(seen, instance):
    series = [{"__name__": "node_memory_MemTotal_bytes"} | labels for labels in seen]
    found = find_instances(["worker-1"], series)
    assert found == ({} if instance is None else {"worker-1": instance})


def test_what_a_series_is_of_is_named_by_its_labels():
    scope = Scope({"worker-1": "10.0.0.7:9100"}, "fp")
    assert (
        name_entity(PROFILE["node_memory_MemFree_bytes"], {"instance": "10.0.0.7:9100"}, scope) == "worker-1"
    )
    labels = {"pod": "p", "container": "worker", "namespace": "fp"}
    assert name_entity(PROFILE["container_memory_rss"], labels, scope) == "p/worker"


# What came


def series_of(points, **labels):
    return TimeSeries({"name": "vm-1", **labels}, [(float(t), v) for t, v in points])


def test_a_vm_that_moved_is_one_series_and_a_node_scraped_twice_is_no_finer():
    metric, scope = PROFILE["kubevirt_vmi_memory_resident_bytes"], Scope({}, "fp")
    moved = [series_of([(20, 3.0), (30, 4.0)], node="b"), series_of([(0, 1.0), (10, 2.0)], node="a")]
    assert group_points(metric, scope, moved)["vm-1"] == [(0, 1.0), (10, 2.0), (20, 3.0), (30, 4.0)]
    twice = [series_of([(0, 1.0), (10, 1.0), (20, 1.0)], job="a"), series_of([(3, 1.0), (13, 1.0)], job="b")]
    assert [t for t, _ in group_points(metric, scope, twice)["vm-1"]] == [0, 10, 20]


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


# A run


def write_ours(folder, **host):
    """A modelled run on one node, and the times (since 1970) its samples span."""
    write_run(folder, Truth(repeats=1, host={"hostname": "worker-1", **host}))
    trials = load_run(folder).trials
    zero_s = 1767323045.0
    return zero_s + min(t.samples["t_s"].min() for t in trials), zero_s + max(
        t.samples["t_s"].max() for t in trials
    )


def export(start_s, end_s, *, instance="worker-1", extra=(), ahead_s=0.0):
    """What exporters would have said every 15 s."""
    times = [start_s + ahead_s + n * 15 for n in range(-20, int((end_s - start_s) / 15) + 20)]
    named = {
        "MemTotal": 16e9,
        "MemFree": 8e9,
        "Cached": 1e9,
        "Buffers": 1e8,
        "SReclaimable": 1e8,
        "MemAvailable": 9e9,
    }
    nodes = [
        Held(
            {"__name__": f"node_memory_{n}_bytes", "instance": instance},
            [(t, str(v)) for t, v in zip(times, [v + k for k in range(len(times))], strict=True)],
        )
        for n, v in named.items()
    ]
    return [*nodes, *extra]


NAMED = Held(
    {"__name__": "node_uname_info", "instance": "10.0.0.7:9100", "nodename": "worker-1"},
    [(float(t), "1") for t in range(1767320000, 1767330000, 30)],
)


@pytest.mark.parametrize("instance", ["worker-1", "10.0.0.7:9100"])
async def test_a_stored_run_gets_what_prometheus_has_on_openshift_and_elsewhere(tmp_path, instance):
    start_s, end_s = write_ours(tmp_path / "run")
    fake = FakePrometheus(export(start_s, end_s, instance=instance, extra=[NAMED]))
    async with serve(fake) as url:
        await collect(tmp_path / "run", Settings(f"{url}/api", token=SECRET))
    collected = load_run(tmp_path / "run").prometheus
    free = collected.samples.filter(metric="node_memory_MemFree_bytes")
    assert set(free["entity"]) == {"worker-1"}
    assert free["wall_s"].min() < start_s
    assert free["wall_s"].max() > end_s
    assert collected.info["nodes"] == {"worker-1": instance}
    assert collected.info["url"] == url
    assert collected.info["profile"] == read_profile()
    described = {m["id"]: m for m in collected.info["metrics"]}
    assert described["node_memory_MemFree_bytes"]["sampled_s"] == 15
    assert described["kubevirt_vmi_memory_resident_bytes"]["query"] is None
    assert SECRET not in (tmp_path / "run/prometheus.json").read_text()


async def test_a_metric_that_is_refused_is_empty_and_says_why(tmp_path):
    start_s, end_s = write_ours(tmp_path / "run")
    fake = FakePrometheus(export(start_s, end_s), refused="node_vmstat_pswpin")
    async with serve(fake) as url:
        collected = await collect(tmp_path / "run", Settings(url))
    found = {m["id"]: m for m in collected.info["metrics"]}
    assert "no node_vmstat_pswpin today" in found["node_vmstat_pswpin"]["error"]
    assert found["node_memory_MemFree_bytes"]["points"] > 0


async def test_a_run_prometheus_knows_nothing_of_is_refused_with_what_it_knows(tmp_path):
    start_s, end_s = write_ours(tmp_path / "run")
    fake = FakePrometheus(export(start_s, end_s, instance="10.0.0.9:9100"))
    async with serve(fake) as url:
        with pytest.raises(PrometheusError, match=r"knows nothing of worker-1") as caught:
            await collect(tmp_path / "run", Settings(url))
        assert "10.0.0.9:9100" in caught.value.hint
        told = await collect(tmp_path / "run", Settings(url, nodes=("10.0.0.9:9100",)))
    assert told.info["nodes"] == {"10.0.0.9:9100": "10.0.0.9:9100"}


def test_nothing_is_asked_for_past_now_where_an_expression_would_repeat_its_last_value(tmp_path):
    start_s, end_s = write_ours(tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert find_span(run, 100.0, end_s + 1e6) == Span(
        math.floor(start_s + 100) - 60, math.ceil(end_s + 100) + 60
    )
    assert find_span(run, 0.0, end_s + 2).end_s == math.floor(end_s + 2)


async def test_a_run_without_a_trial_has_nothing_to_ask_about(tmp_path):
    write_ours(tmp_path / "run")
    for path in (tmp_path / "run/trials").glob("*/trial.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"wall_zero": None}))
    async with serve(FakePrometheus()) as url:
        with pytest.raises(PrometheusError, match="no trial"):
            await collect(tmp_path / "run", Settings(url))


async def test_the_command_collects_and_makes_the_report_again(tmp_path, capsys):
    start_s, end_s = write_ours(tmp_path / "run")
    async with serve(FakePrometheus(export(start_s, end_s))) as url:
        arguments = ["prometheus", str(tmp_path / "run"), "--prometheus", url]
        assert await asyncio.to_thread(main, arguments) == 0
    assert "node-exporter: 7 of 16 metrics" in capsys.readouterr().out
    assert "What Prometheus saw" in (tmp_path / "run/report.html").read_text()


async def test_the_command_says_what_is_wrong_with_an_exit_status_of_its_own(tmp_path, capsys):
    write_ours(tmp_path / "run")
    arguments = ["prometheus", str(tmp_path / "run"), "--prometheus", "http://127.0.0.1:9"]
    assert await asyncio.to_thread(main, arguments) == 8
    assert "hint:" in capsys.readouterr().err


def test_a_run_that_could_not_ask_afterwards_is_not_started(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["run", "quick", "--out", str(out), "--prometheus", "http://127.0.0.1:9"]) == 8
    assert "cannot reach" in capsys.readouterr().err
    assert not out.exists()


# Every VM of a cluster


async def test_the_memory_of_500_vms_is_one_question():
    def held(name, n, value):
        labels = {
            "__name__": f"kubevirt_vmi_memory_{name}_bytes",
            "namespace": f"ns-{n % 7}",
            "name": f"vm-{n}",
        }
        return Held(labels, [(time.time() - 5, value)])

    fake = FakePrometheus([held(name, n, str(n)) for n in range(500) for name in ("resident", "unused")])
    fake.series.append(held("available", 3, "NaN"))
    fake.series.append(held("usable", 3, "1"))
    async with serve(fake) as url:
        memory = await read_vm_memory(Settings(url))
    assert len(fake.asked) == 1
    assert len(memory) == 500
    assert memory["ns-3", "vm-3"] == {"resident": 3.0, "unused": 3.0, "available": None}


# OpenShift's own


class FakeApi:
    server = "https://api.example:6443"

    def __init__(self, objects):
        self.objects = objects

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def get(self, resource, name, namespace=None):
        found = self.objects.get((resource.plural, namespace, name), NotFoundError("not there"))
        if isinstance(found, Exception):
            raise found
        return found


ROUTE = {("routes", "openshift-monitoring", "thanos-querier"): {"spec": {"host": "thanos.example"}}}


async def find_monitoring(monkeypatch, objects, token=SECRET):
    resolved = type("ResolvedLogin", (), {"token": token, "source": "a kubeconfig"})
    monkeypatch.setattr(openshift, "resolve_login", lambda _: resolved)
    monkeypatch.setattr(openshift, "open_cluster", lambda _: FakeApi(objects))
    return await openshift.find_monitoring(Login())


async def test_openshifts_monitoring_is_found_by_its_route_and_asked_with_the_logins_token(monkeypatch):
    ca = {
        ("configmaps", "openshift-config-managed", "default-ingress-cert"): {"data": {"ca-bundle.crt": "PEM"}}
    }
    found = await find_monitoring(monkeypatch, ROUTE | ca)
    assert found == Settings("https://thanos.example", token=SECRET, ca="PEM")
    assert SECRET not in repr(found)


async def test_a_ca_that_may_not_be_read_is_left_to_the_system(monkeypatch):
    ca = {("configmaps", "openshift-config-managed", "default-ingress-cert"): ForbiddenError("no")}
    assert (await find_monitoring(monkeypatch, ROUTE | ca)).ca is None


async def test_a_cluster_without_the_route_and_a_login_without_a_token_are_told_apart(monkeypatch):
    with pytest.raises(PrometheusError, match=r"no route thanos-querier"):
        await find_monitoring(monkeypatch, {})
    with pytest.raises(PrometheusError, match=r"wants a token"):
        await find_monitoring(monkeypatch, ROUTE, token=None)
    forbidden = dict.fromkeys(ROUTE, ForbiddenError("no"))
    with pytest.raises(PrometheusError, match=r"may not read the route") as caught:
        await find_monitoring(monkeypatch, forbidden)
    assert "https://thanos-querier-openshift-monitoring.apps.DOMAIN" in caught.value.hint

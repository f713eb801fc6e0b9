"""Asking a Prometheus: in pieces, with its errors, and without showing a secret."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path

import pytest

from freepage.prometheus import client as prometheus
from freepage.prometheus.client import Settings, check_prometheus, open_prometheus
from freepage.prometheus.errors import PrometheusError, QueryError
from freepage.prometheus.series import Span
from helpers.fake_prometheus import MOST_STEPS, FakePrometheus, Held, serve

RECORDED = json.loads((Path(__file__).parents[1] / "recorded/prometheus-2.42.json").read_text())
COMPOSED = json.loads((Path(__file__).parents[1] / "recorded/composed/prometheus-kin.json").read_text())
SECRET = "sha256~not-for-anybody"


def answering(name, status=200):
    """A Prometheus that gives a recorded answer to everything."""
    return FakePrometheus(answer=(status, "application/json", json.dumps(RECORDED[name])))


async def ask(fake, work, **settings):
    async with serve(fake) as url, open_prometheus(Settings(url, **settings)) as client:
        return await work(client)


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


def like(name, status=200):
    """A server that speaks Prometheus' API and answers everything after its own public format."""
    return FakePrometheus(answer=(status, "application/json", json.dumps(COMPOSED[name])))


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("victoriametrics partial", [[(1795545163.0, 1.0)]]),
        ("thanos warnings", []),
        (
            "mimir numbers",
            [[(1795545163.0, 1.0), (1795545178.5, None), (1795545193.0, None), (1795545208.0, 2.5)], []],
        ),
        ("null result", []),
        ("null data", []),
        ("string", [[(1795545163.1, None)]]),
        ("scalar", [[(1795545163.1, 4.5)]]),
        ("no labels", [[(1795545163.25, 7.0)], [(1795545163.0, None)], []][:2]),
    ],
)
async def test_servers_of_the_same_api_answer_in_other_shapes(name, points):
    found = await ask(like(name), lambda client: client.query("up"))
    assert [series.points for series in found] == points


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("victoriametrics partial", "the answer is partial"),
        ("thanos warnings", "10.0.0.5:10901"),
        ("scalar", "one text"),
    ],
)
async def test_what_a_server_says_beside_its_answer_is_kept(name, words):
    async def work(client):
        await client.query("up")
        return client.warnings

    (warning,) = await ask(like(name), work)
    assert words in warning


async def test_a_clock_is_the_time_of_evaluation_where_the_value_is_of_the_past():
    clock = await ask(like("victoriametrics time"), lambda client: client.measure_clock())
    assert clock.offset_s == pytest.approx(1795545163 - time.time(), abs=5)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("victoriametrics error", 422, "too many time series"),
        ("mimir busy", 429, "exceeded the request rate limit"),
        ("openshift tenancy", 400, "namespace"),
    ],
)
async def test_a_query_that_a_kin_refuses_gives_its_words(name, status, words):
    with pytest.raises(QueryError, match=words) as caught:
        await ask(like(name, status), lambda client: client.query("up"))
    assert (caught.value.hint is not None) is (name == "openshift tenancy")


async def test_a_server_that_does_not_tell_the_time_is_none():
    with pytest.raises(PrometheusError, match="does not say what time it is"):
        await ask(like("null result"), lambda client: client.measure_clock())


@pytest.mark.parametrize(
    ("location", "words", "hint"),
    [
        (
            "https://thanos.example/prom/api/v1/query?query=x",
            "has moved to https://thanos.example/prom",
            "https://thanos",
        ),
        ("https://me:hush@thanos.example:8443/api/v1/query", "moved to https://thanos.example:8443", "8443"),
        (
            "https://login.example/oauth/authorize?state=hush",
            "does not know who is asking",
            "--prometheus-token-file",
        ),
        ("/login", "does not know who is asking", "--prometheus-token-file"),
    ],
)
async def test_a_server_that_moved_is_told_apart_from_a_login(location, words, hint):
    with pytest.raises(PrometheusError) as caught:
        await ask(FakePrometheus(redirect=location), lambda client: client.query("x"))
    assert words in caught.value.message
    assert hint in caught.value.hint
    assert "hush" not in str(caught.value)


async def test_an_answer_may_be_packed_and_stand_under_a_prefix():
    fake = like("mimir numbers")
    fake.packed = True
    async with serve(fake) as url, open_prometheus(Settings(f"{url}/tenant/prometheus/api/v1/")) as client:
        found = await client.query("up")
    assert found[0].points[0] == (1795545163.0, 1.0)
    assert fake.asked[0]["path"] == "/tenant/prometheus/api/v1/query"


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
        ((200, "application/json", "[" * 100_000), "does not answer as a Prometheus", "http://HOST:9090"),
        ((200, "text/html", "<form>"), "answers with a web page", "--prometheus-token-file"),
        (
            (401, "text/plain", "no org id\n\x1b[2J"),
            "does not know who is asking (HTTP 401: no org id)",
            "token",
        ),
        ((503, "text/html", "<h1>no healthy upstream"), "cannot answer now (HTTP 503)", "ask again later"),
        (
            (502, "text/plain", "bad\x1bgateway"),
            "cannot answer now (HTTP 502: bad gateway)",
            "ask again later",
        ),
        (
            (429, "application/json", '{"message": "slow down"}'),
            "now (HTTP 429: slow down)",
            "ask again later",
        ),
        (
            (400, "text/plain", "Client sent an HTTP request to an HTTPS server."),
            "HTTP 400",
            "as https://127.0.0.1",
        ),
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

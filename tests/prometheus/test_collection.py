"""A stored run and what a Prometheus has for it: the whole way, and the command."""

from __future__ import annotations

import asyncio
import json
import math
from itertools import pairwise

import pytest

from freepage.cli.main import main
from freepage.prometheus.client import Settings
from freepage.prometheus.collection import collect
from freepage.prometheus.errors import PrometheusError
from freepage.prometheus.profile import (
    read_profile,
)
from freepage.prometheus.scope import find_span
from freepage.prometheus.series import Span
from freepage.store import load_run
from helpers.fake_prometheus import FakePrometheus, Held, serve
from helpers.modelled_run import Truth, write_run

SECRET = "sha256~not-for-anybody"


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


async def test_what_the_week_before_the_run_was_like_is_asked_as_a_number_for_each_hour(tmp_path):
    start_s, end_s = write_ours(tmp_path / "run")
    first_s = int(start_s) - 30 * 3600
    kept = [(float(t), "2") for t in range(first_s, int(end_s), 60)]
    kills = Held({"__name__": "node_vmstat_oom_kill", "instance": "worker-1"}, kept)
    fake = FakePrometheus(export(start_s, end_s, extra=[kills]))
    async with serve(fake) as url:
        collected = await collect(tmp_path / "run", Settings(url))
    asked = next(a for a in fake.asked if a.get("query", "").startswith("increase(node_vmstat_oom_kill"))
    assert float(asked["end"]) <= start_s
    assert float(asked["end"]) - float(asked["start"]) == 7 * 86400 - 3600
    times = collected.samples.filter(metric="oom_kills_before")["wall_s"].to_list()
    assert len(times) == 30
    assert {later - earlier for earlier, later in pairwise(times)} == {3600}


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


@pytest.mark.long
async def test_the_command_collects_and_makes_the_report_again(tmp_path, capsys):
    start_s, end_s = write_ours(tmp_path / "run")
    async with serve(FakePrometheus(export(start_s, end_s))) as url:
        arguments = ["prometheus", str(tmp_path / "run"), "--prometheus", url]
        assert await asyncio.to_thread(main, arguments) == 0
    assert "node-exporter: 7 of 19 metrics" in capsys.readouterr().out
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

"""A real Prometheus and a real node-exporter of the distribution, which watch this host beside freepage's own reader."""

from __future__ import annotations

import asyncio
import json
import platform
import shutil
import subprocess
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web

from freepage.analysis.results import build_results
from freepage.forecast.history import build_trace
from freepage.kube.login import Login
from freepage.prometheus.client import Settings, open_prometheus
from freepage.prometheus.collection import collect
from freepage.prometheus.history import fetch_history
from freepage.prometheus.history_plan import HistoryRequest
from freepage.prometheus.openshift import find_monitoring
from freepage.prometheus.series import Span
from freepage.prometheus.vm_history import read_histories
from freepage.prometheus.vm_memory import read_vm_memory
from freepage.records import NODE, SampleLine
from freepage.report.page import render_report
from freepage.sampling.procfs import read_host
from freepage.store import TrialWriter, load_run
from freepage.units import GIB, MIB
from helpers.modelled_run import Truth, write_run
from lab.packages import fetch_program, open_server, write_config
from lab.starting import start_cluster

pytestmark = pytest.mark.cluster

LISTENING = r'msg="Listening on" address=(127\.0\.0\.1:\d+)'
SECONDS = 16.0
# What the VM's numbers are held back for, as virt-launcher does.
HELD_S = 3.0
VM = "freepage-abc123-1-cycle-0"


@asynccontextmanager
async def serve_vm():
    """Be a virt-handler with one VM whose memory is new every HELD_S."""

    async def scrape(_):
        labels = f'namespace="fp",name="{VM}",node="n1"'
        resident = 1e9 + int(time.time() / HELD_S)
        return web.Response(
            text=f"kubevirt_vmi_memory_resident_bytes{{{labels}}} {resident}\nkubevirt_vmi_memory_unused_bytes{{{labels}}} NaN\n"
        )

    app = web.Application()
    app.router.add_get("/metrics", scrape)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_real(folder):
    """Run Prometheus, scraping every second, and give its address."""
    exporter, server = [fetch_program(name) for name in ("prometheus-node-exporter", "prometheus")]
    watch = [str(exporter), "--web.listen-address=127.0.0.1:0", "--collector.ksmd"]
    async with serve_vm() as vm, open_server(watch, folder / "exporter.log", LISTENING) as node:
        jobs = [
            {"job_name": name, "honor_labels": True, "static_configs": [{"targets": [address]}]}
            for name, address in (("node", node), ("kubevirt", vm))
        ]
        content = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
        config = write_config(folder / "prometheus.yml", content)
        command = [str(server), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        command.append("--web.listen-address=127.0.0.1:0")
        async with open_server(command, folder / "prometheus.log", LISTENING) as address:
            await wait_until_scraped(f"http://{address}", len(jobs))
            yield f"http://{address}"


async def wait_until_scraped(url, targets):
    """Wait until Prometheus has something of every target, which takes it some seconds."""
    async with asyncio.timeout(60), open_prometheus(Settings(url)) as client:
        while len(await client.query("up == 1")) < targets:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.2)


def write_one_trial(folder):
    """A run on this host with one trial whose samples are still to come."""
    write_run(
        folder,
        Truth(repeats=1, host={"hostname": platform.node(), "namespace": "fp", "names": "freepage-abc123-"}),
    )
    first, *others = sorted((folder / "trials").iterdir())
    for path in others:
        shutil.rmtree(path)
    (first / "samples.parquet").unlink()
    return first


async def sample(trial):
    """Read this host four times a second, as the sampler does."""
    zero_s = time.monotonic()
    record = json.loads((trial / "trial.json").read_text())
    record["wall_zero"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    (trial / "trial.json").write_text(json.dumps(record))
    writer = TrialWriter(trial)
    while (t_s := time.monotonic() - zero_s) < SECONDS:
        writer.write_sample(SampleLine(t_s, 0.0, {NODE: read_host()}))
        await asyncio.sleep(0.25)
    writer.close()


async def test_a_real_prometheus_agrees_with_our_own_reader_and_says_how_often_it_is_new(tmp_path):
    trial = write_one_trial(tmp_path / "run")
    async with open_real(tmp_path) as url:
        await sample(trial)
        await collect(tmp_path / "run", Settings(url))
    run = load_run(tmp_path / "run")
    info = run.prometheus.info
    found = {m["id"]: m for m in build_results(run).as_json()["prometheus"]["metrics"]}
    assert list(info["nodes"]) == [platform.node()]
    assert info["version"].startswith("2.")
    assert abs(info["clock"]["offset_s"]) < 0.2
    assert [m["error"] for m in found.values() if m["error"]] == []

    assert found["node_memory_MemTotal_bytes"]["difference"] | {"n": 0, "method": ""} == {
        "value": 0,
        "low": 0,
        "high": 0,
        "unit": "bytes",
        "n": 0,
        "method": "",
    }
    for name in ("node_memory_MemAvailable_bytes", "node_memory_MemFree_bytes", "node_memory_Cached_bytes"):
        assert abs(found[name]["difference"]["value"]) < 64 * MIB, name
        assert found[name]["difference"]["n"] >= SECONDS - 4
        assert found[name]["sampled_s"] == pytest.approx(1, abs=0.1)
    assert found["node_in_use_bytes"]["points"] >= 3
    assert found["node_cpu_util_cores"]["points"] >= 2
    assert found["node_ksmd_pages_sharing"]["points"] >= SECONDS - 2

    resident = found["kubevirt_vmi_memory_resident_bytes"]
    assert resident["sampled_s"] == pytest.approx(1, abs=0.1)
    assert resident["changed_s"] == pytest.approx(HELD_S, abs=0.3)
    values = run.prometheus.samples.filter(metric="kubevirt_vmi_memory_unused_bytes")["value"]
    assert len(values) > 0
    assert values.null_count() == len(values)
    assert "What Prometheus saw" in render_report(tmp_path / "run").read_text()


def test_openshifts_route_and_ca_are_read_over_https_with_the_login(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with start_cluster(tmp_path / "cluster", "--no-nodes", "--operator", "hco", "--openshift") as cluster:
        ca = cluster.ca_file.read_text()
        for kind, version, namespace, name, content in (
            ("Namespace", "v1", None, "openshift-config-managed", {}),
            (
                "ConfigMap",
                "v1",
                "openshift-config-managed",
                "default-ingress-cert",
                {"data": {"ca-bundle.crt": ca}},
            ),
            (
                "Route",
                "route.openshift.io/v1",
                "openshift-monitoring",
                "thanos-querier",
                {"spec": {"host": "thanos.example"}},
            ),
        ):
            metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
            cluster.apply(json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, **content}))
        login = Login(server=cluster.server, token_file=str(cluster.token_file), ca_file=str(cluster.ca_file))
        found = asyncio.run(find_monitoring(login))
    assert (found.url, found.ca) == ("https://thanos.example", ca)
    assert found.token == cluster.token_file.read_text().strip()


async def test_a_real_prometheus_accepts_every_piece_of_a_range_it_would_refuse_as_a_whole(tmp_path):
    async with open_real(tmp_path) as url, open_prometheus(Settings(url)) as client:
        now = int(time.time())
        found = await client.query_range("up", Span(now - 30_000, now + 1), 1)
        assert {s.labels["job"] for s in found} == {"node", "kubevirt"}
        assert all(len({t for t, _ in s.points}) == len(s.points) for s in found)
        memory = await read_vm_memory(Settings(url))
    assert memory["fp", VM]["resident"] > 1e9
    assert memory["fp", VM]["unused"] is None


def write_openmetrics(path, end_s, hours):
    """Write what a Prometheus scraped every 30 s of a VM that moved once: with FPR off, 6 GiB of 8 stay on the host."""
    moved_s = end_s - hours * 1800
    metrics = {
        "resident_bytes": lambda t: 6 * GIB if t < moved_s else 4 * GIB,
        "domain_bytes": lambda _: 8 * GIB,
        "available_bytes": lambda _: int(7.8 * GIB),
        "unused_bytes": lambda _: 5 * GIB,
        "cached_bytes": lambda _: GIB,
    }
    with path.open("w") as stream:
        for name, value in metrics.items():
            stream.write(f"# TYPE kubevirt_vmi_memory_{name} gauge\n")
            for node, span in (
                ("n1", range(end_s - hours * 3600, moved_s, 30)),
                ("n2", range(moved_s, end_s + 30, 30)),
            ):
                labels = f'{{namespace="fp",name="{VM}",node="{node}"}}'
                stream.writelines(f"kubevirt_vmi_memory_{name}{labels} {value(t)} {t}\n" for t in span)
        stream.write("# EOF\n")


def fill(data, text):
    """Make a database of a text in OpenMetrics; return the server that is to read it."""
    server = fetch_program("prometheus")
    command = [
        str(server.with_name("promtool")),
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(text),
        str(data),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return server


async def test_a_history_is_read_back_from_a_real_prometheus_that_was_filled_with_it(tmp_path):
    end_s, hours = int(time.time()) // 60 * 60, 6
    write_openmetrics(tmp_path / "history.txt", end_s, hours)
    server = fill(tmp_path / "data", tmp_path / "history.txt")
    config = write_config(tmp_path / "prometheus.yml", {"scrape_configs": []})
    command = [str(server), f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    command.append("--web.listen-address=127.0.0.1:0")
    async with open_server(command, tmp_path / "prometheus.log", LISTENING) as address:
        request = HistoryRequest(5 * 3600, 60)
        plan = await fetch_history(
            Settings(f"http://{address}"), request, tmp_path / "state", lambda *_: None
        )
    (one,) = read_histories(tmp_path / "state", plan, [])
    trace = build_trace(one.vm, one.nodes, one.t_s, one.values, one.moved, one.started)
    assert (trace.name, trace.node, len(trace)) == (f"fp/{VM}", "n2", 301)
    (gap,) = trace.gaps
    assert abs(gap - 120) <= 2
    assert set(trace.resident_bytes[: gap + 1]) == {6.0 * GIB}
    assert set(trace.resident_bytes[gap + 1 :]) == {4.0 * GIB}
    assert set(trace.free_bytes) == {5.0 * GIB}
    assert set(trace.total_bytes) == {8.0 * GIB}
    assert trace.notes[0].startswith("it moved once (last n1 to n2)")

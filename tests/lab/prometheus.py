"""A real Prometheus that scrapes a real node-exporter, and what kubelets and virt-handlers say."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lab.packages import fetch_program, open_server, write_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# Clusters have 15 or 30 s; tests have less time.
INTERVAL_S = 1
COLLECTORS = ("cpu", "meminfo", "stat", "uname", "vmstat")
_LISTENING = r'msg="Listening on" address=(127\.0\.0\.1:\d+)'


@asynccontextmanager
async def open_prometheus(folder: Path, exporter: str, nodes: list[str]) -> AsyncIterator[str]:
    """Run both servers to the end; return Prometheus' URL, plain HTTP. `exporter` is the address of exporter.py."""
    programs = ("prometheus-node-exporter", "prometheus")
    watcher, server = [await asyncio.to_thread(fetch_program, name) for name in programs]
    log = folder / "node-exporter.log"
    watch = [str(watcher), "--web.listen-address=127.0.0.1:0", "--collector.disable-defaults"]
    watch += [f"--collector.{name}" for name in COLLECTORS]
    async with open_server(watch, log, _LISTENING) as node_exporter:
        config = write_config(folder / "prometheus.yml", build_config(exporter, node_exporter, nodes))
        command = [str(server), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        command.append("--web.listen-address=127.0.0.1:0")
        async with open_server(command, folder / "prometheus.log", _LISTENING) as address:
            yield f"http://{address}"


def build_config(exporter: str, node_exporter: str, nodes: list[str]) -> dict:
    """Return Prometheus' configuration, with the labels that an operator of clusters gives its targets."""
    jobs = {
        "node-exporter": [_target(node_exporter, "/metrics", instance=node) for node in nodes],
        "kubelet": [
            _target(exporter, f"/{node}/cadvisor", instance=node, node=node, metrics_path="/metrics/cadvisor")
            for node in nodes
        ],
        "kubevirt-prometheus-metrics": [
            _target(exporter, f"/{node}/kubevirt", instance=node, container="virt-handler") for node in nodes
        ],
        "kube-state-metrics": [_target(exporter, "/state", instance=exporter)],
    }
    return {
        "global": {"scrape_interval": f"{INTERVAL_S}s", "scrape_timeout": f"{INTERVAL_S}s"},
        "scrape_configs": [
            {"job_name": job, "honor_labels": True, "static_configs": targets}
            for job, targets in jobs.items()
        ],
    }


def _target(address: str, path: str, **labels: str) -> dict:
    return {"targets": [address], "labels": {"__metrics_path__": path, **labels}}

"""Metrics of kubelets (cAdvisor), virt-handlers and kube-state-metrics for Prometheus, read from the real containers and guests."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from lab.kubelet import NODES
from lab.kubevirt import INSTANCES
from lab.virt import LauncherError, ask_launcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lab.kubelet import Node
    from lab.pods import PodRunner
    from lab.seams import Object
    from lab.store import MemoryStore

# A kubelet's cAdvisor looks every 10 to 15 s, virt-launcher keeps a domain's numbers for 3.25 s.
HOUSEKEEPING_S = 1.0
STATS_KEPT_S = 3.25
_KIB = 1024
# By libvirt's name: KubeVirt's name, and what the number is multiplied by.
VM_METRICS = {
    "balloon.rss": ("memory_resident_bytes", _KIB),
    "balloon.available": ("memory_available_bytes", _KIB),
    "balloon.unused": ("memory_unused_bytes", _KIB),
    "balloon.usable": ("memory_usable_bytes", _KIB),
    "balloon.disk_caches": ("memory_cached_bytes", _KIB),
    "balloon.current": ("memory_actual_balloon_bytes", _KIB),
    "balloon.major_fault": ("memory_pgmajfault_total", 1),
    "balloon.minor_fault": ("memory_pgminfault_total", 1),
    "balloon.swap_in": ("memory_swap_in_traffic_bytes", _KIB),
    "balloon.swap_out": ("memory_swap_out_traffic_bytes", _KIB),
    "cpu.time": ("cpu_usage_seconds_total", 1e-9),
    "cpu.user": ("cpu_user_usage_seconds_total", 1e-9),
    "cpu.system": ("cpu_system_usage_seconds_total", 1e-9),
}


class Exporter:
    """Answers scrapes for all nodes."""

    def __init__(self, store: MemoryStore, nodes: dict[str, Node]) -> None:
        self._store = store
        self._nodes = nodes
        self._housekept: dict[str, tuple[float, str]] = {}
        self._stats: dict[str, tuple[float, Object]] = {}

    async def give_containers(self, request: web.Request) -> web.Response:
        """Be a kubelet's /metrics/cadvisor: numbers of the last housekeeping, with its time."""
        name = request.match_info["node"]
        read_s, text = self._housekept.get(name, (0.0, ""))
        if time.time() - read_s > HOUSEKEEPING_S:
            runners = list(self._nodes[name].pods.values())
            text = await asyncio.to_thread(lambda: "".join(_container_lines(runners)))
            self._housekept[name] = (time.time(), text)
        return web.Response(text=text)

    async def serve_vms(self, request: web.Request) -> web.Response:
        """Be a virt-handler's /metrics."""
        node = self._nodes[request.match_info["node"]]
        here = [
            i for i in self._store.list(INSTANCES) if (i.get("status") or {}).get("nodeName") == node.name
        ]
        running = [i for i in here if i["status"]["phase"] == "Running"]
        found = await asyncio.gather(*(self._ask(node, instance) for instance in running))
        lines = [
            line for i, stats in zip(running, found, strict=True) for line in _vm_lines(i, node.name, stats)
        ]
        lines += [_info_line(i, node) for i in here]
        return web.Response(text="".join(lines))

    async def give_state(self, _request: web.Request) -> web.Response:
        """Be kube-state-metrics, as far as the roles of nodes."""
        prefix = "node-role.kubernetes.io/"
        roles = [
            _line("kube_node_role", {"node": n["metadata"]["name"], "role": label.removeprefix(prefix)}, 1)
            for n in self._store.list(NODES)
            for label in n["metadata"]["labels"]
            if label.startswith(prefix)
        ]
        return web.Response(text="".join(roles))

    async def _ask(self, node: Node, instance: Object) -> Object:
        metadata = instance["metadata"]
        read_s, stats = self._stats.get(metadata["uid"], (0.0, {}))
        if time.monotonic() - read_s < STATS_KEPT_S:
            return stats
        try:
            stats = await ask_launcher(node, metadata["namespace"], metadata["name"], {"command": "stats"})
        except (KeyError, OSError, LauncherError):
            return {}
        self._stats[metadata["uid"]] = (time.monotonic(), stats)
        return stats


@asynccontextmanager
async def open_exporter(store: MemoryStore, nodes: dict[str, Node]) -> AsyncIterator[str]:
    """Serve metrics on loopback; return the address."""
    exporter = Exporter(store, nodes)
    app = web.Application()
    app.router.add_get("/state", exporter.give_state)
    app.router.add_get("/{node}/cadvisor", exporter.give_containers)
    app.router.add_get("/{node}/kubevirt", exporter.serve_vms)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


def _container_lines(runners: list[PodRunner]) -> Iterator[str]:
    for runner in runners:
        pod = {"namespace": runner.namespace, "pod": runner.name}
        yield from _cgroup_lines(runner.cgroup(), {**pod, "container": "", "image": "", "name": ""})
        images = {c["name"]: c["image"] for c in runner.specs}
        for name, container in list(runner.containers.items()):
            labels = {**pod, "container": name, "image": images[name], "name": container.identity}
            if not container.ended.is_set():
                yield from _cgroup_lines(f"{runner.cgroup()}/{container.identity}", labels)


def _cgroup_lines(path: str, labels: dict[str, str]) -> Iterator[str]:
    """Yield cAdvisor's metrics of a cgroup; none when it is gone."""
    now_ms = time.time_ns() // 10**6
    try:
        values = read_cgroup(path)
    except (OSError, KeyError, ValueError):
        return
    for name, value in values.items():
        yield _line(f"container_{name}", {**labels, "id": path[path.index("/kubepods") :]}, value, now_ms)


def read_cgroup(path: str) -> dict[str, float]:
    """Read what cAdvisor tells of a cgroup, by its names without "container_", from version 1 or 2."""
    root = Path("/sys/fs/cgroup")
    if (root / "memory").is_dir():
        stat = _read_pairs(root / f"memory{path}/memory.stat")
        usage = float((root / f"memory{path}/memory.usage_in_bytes").read_text())
        cpu_s = int((root / f"cpuacct{path}/cpuacct.usage").read_text()) / 1e9
        names = ("total_rss", "total_cache", "total_mapped_file", "total_swap", "total_inactive_file")
        rss, cache, mapped, swap, inactive = (stat.get(name, 0.0) for name in names)
    else:
        stat = _read_pairs(root / f"{path.strip('/')}/memory.stat")
        usage = float((root / f"{path.strip('/')}/memory.current").read_text())
        cpu_s = _read_pairs(root / f"{path.strip('/')}/cpu.stat")["usage_usec"] / 1e6
        swap_file = root / f"{path.strip('/')}/memory.swap.current"
        swap = float(swap_file.read_text()) if swap_file.exists() else 0.0
        rss, cache, mapped, inactive = (
            stat[name] for name in ("anon", "file", "file_mapped", "inactive_file")
        )
    return {
        "memory_usage_bytes": usage,
        "memory_working_set_bytes": max(0.0, usage - inactive),
        "memory_rss": rss,
        "memory_cache": cache,
        "memory_mapped_file": mapped,
        "memory_swap": swap,
        "cpu_usage_seconds_total": cpu_s,
    }


def _read_pairs(path: Path) -> dict[str, float]:
    return {name: float(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def _vm_lines(instance: Object, node: str, stats: Object) -> Iterator[str]:
    labels = _vm_labels(instance, node)
    for name, (metric, factor) in VM_METRICS.items():
        if name in stats:
            yield _line(f"kubevirt_vmi_{metric}", labels, stats[name] * factor)
    if "balloon.current" in stats:
        yield _line("kubevirt_vmi_memory_domain_bytes", labels, stats["balloon.current"] * _KIB)
    for number in range(stats.get("vcpu.current", 0)):
        vcpu = {**labels, "id": str(number)}
        for name, metric in (("time", "seconds"), ("wait", "wait_seconds"), ("delay", "delay_seconds")):
            state = {"state": "running"} if name == "time" else {}
            value = stats.get(f"vcpu.{number}.{name}", 0) * 1e-9
            yield _line(f"kubevirt_vmi_vcpu_{metric}_total", {**vcpu, **state}, value)


def _vm_labels(instance: Object, node: str) -> dict[str, str]:
    metadata = instance["metadata"]
    own = {
        "kubernetes_vmi_label_" + "".join(c if c.isalnum() else "_" for c in name): value
        for name, value in (metadata.get("labels") or {}).items()
    }
    return {"node": node, "namespace": metadata["namespace"], "name": metadata["name"], **own}


def _info_line(instance: Object, node: Node) -> str:
    metadata = instance["metadata"]
    try:
        pod = node.find_launcher(metadata["namespace"], metadata["name"]).name
    except (KeyError, OSError):
        pod = ""
    unknown = ("os", "workload", "flavor", "instance_type", "preference")
    guest = ("kernel_release", "machine", "arch", "name", "version_id")
    labels = {
        "node": node.name,
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "phase": instance["status"]["phase"].lower(),
        **dict.fromkeys(unknown, "<none>"),
        **dict.fromkeys([f"guest_os_{name}" for name in guest], ""),
        "evictable": "false",
        "outdated": "false",
        "vmi_pod": pod,
    }
    return _line("kubevirt_vmi_info", labels, 1)


def _line(name: str, labels: dict[str, str], value: float, time_ms: int | None = None) -> str:
    quoted = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
    return f"{name}{{{quoted}}} {value:.17g}{'' if time_ms is None else f' {time_ms}'}\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

"""A small scheduler: labels of nodes, memory, number of pods; it says why where nothing fits."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from freepage.kube.quantities import parse_quantity
from lab.events import record, set_condition
from lab.kubelet import NODES
from lab.pods import PODS

if TYPE_CHECKING:
    from lab.seams import Object, Store

PAUSE_S = 0.02


async def schedule(store: Store) -> None:
    """Return pods a node as long as this runs; those that fit nowhere are tried again whenever anything changes."""
    changed = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for key in (PODS, NODES):
            group.create_task(_notice(store, key, changed))
        while True:
            await changed.wait()
            # Many things change at once.
            await asyncio.sleep(PAUSE_S)
            changed.clear()
            _schedule_all(store)


async def _notice(store: Store, key: tuple[str, str], changed: asyncio.Event) -> None:
    async for _ in store.watch(key):
        changed.set()


def _schedule_all(store: Store) -> None:
    pods, nodes = store.list(PODS), store.list(NODES)
    running = [pod for pod in pods if pod["spec"].get("nodeName") and not is_over(pod)]
    for pod in pods:
        if not pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp"):
            node = _choose_node(store, pod, nodes, running)
            if node is not None:
                pod["spec"]["nodeName"] = node
                running.append(pod)


def _choose_node(store: Store, pod: Object, nodes: list[Object], running: list[Object]) -> str | None:
    obstacles = {node["metadata"]["name"]: find_obstacle(pod, node, running) for node in nodes}
    load = Counter(other["spec"]["nodeName"] for other in running)
    free = sorted(
        (name for name, obstacle in obstacles.items() if obstacle is None), key=lambda name: load[name]
    )
    status = pod.get("status") or {"phase": "Pending"}
    if free:
        set_condition(status, "PodScheduled", value=True)
        _write(store, pod, {"spec": {"nodeName": free[0]}, "status": status})
        by, pod_name = "default-scheduler", f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        record(store, pod, "Scheduled", f"Successfully assigned {pod_name} to {free[0]}", by=by)
        return free[0]
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(obstacles.values()).items())
    message = f"0/{len(nodes)} nodes are available: {reasons}."
    before = [c for c in status.get("conditions", []) if c["type"] == "PodScheduled"]
    if not before or before[0].get("message") != message:
        set_condition(status, "PodScheduled", value=False, reason="Unschedulable", message=message)
        _write(store, pod, {"status": status})
        record(store, pod, "FailedScheduling", message, by="default-scheduler", warning=True)
    return None


def find_obstacle(pod: Object, node: Object, running: list[Object]) -> str | None:
    """Return why a pod cannot run on a node, in the scheduler's words; None when it can."""
    labels = node["metadata"].get("labels") or {}
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return "node(s) didn't match Pod's node affinity/selector"
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    if not is_ready(node):
        return "node(s) had untolerated taint {node.kubernetes.io/unreachable: }"
    here = [other for other in running if other["spec"]["nodeName"] == node["metadata"]["name"]]
    allocatable = node["status"]["allocatable"]
    if len(here) >= int(allocatable["pods"]):
        return "Too many pods"
    asked = sum(memory_request(other["spec"]) for other in (pod, *here))
    return "Insufficient memory" if asked > (parse_quantity(allocatable["memory"]) or 0) else None


def memory_request(spec: Object) -> float:
    """Return the bytes a pod asks for, its init containers that go on counted; a limit without a request is one."""
    going_on = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    resources = [container.get("resources") or {} for container in (*spec["containers"], *going_on)]
    asked = [
        (r.get("requests") or {}).get("memory") or (r.get("limits") or {}).get("memory") for r in resources
    ]
    return sum(parse_quantity(quantity) or 0 for quantity in asked if quantity is not None)


def is_ready(node: Object) -> bool:
    conditions = {c["type"]: c["status"] for c in node.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True"


def is_over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _write(store: Store, pod: Object, patch: Object) -> None:
    with contextlib.suppress(KeyError):
        store.merge(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"], patch)

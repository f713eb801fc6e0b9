"""One pod of a cluster with a worker, spoken to by attaching to it."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.aio import run_together
from freepage.errors import InstanceError
from freepage.kube.resources import PODS
from freepage.records import Evidence
from freepage.sampling.cgroupfs import container_cgroup_files
from freepage.sampling.instances import CgroupTexts, ProcessTexts, parse_family, parse_pod
from freepage.targets.cluster.latest import LatestValues
from freepage.targets.cluster.readiness import is_started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freepage.kube.resources import Object
    from freepage.metrics import MetricValues
    from freepage.targets.cluster.manifests import PodShape
    from freepage.targets.cluster.session import ClusterSession
    from freepage.worker.client import WorkerClient

CONTAINER = "worker"


@dataclass
class ClusterPod:
    """A pod whose worker is ready (targets.base.Instance)."""

    name: str
    worker: WorkerClient
    usage: LatestValues

    def read_usage(self) -> MetricValues:
        return self.usage.read()

    async def read_guest(self) -> MetricValues:
        return {}

    async def read_evidence(self) -> Evidence:
        return Evidence(self.name, memory_backend="anonymous")


@asynccontextmanager
async def open_pod(session: ClusterSession, shape: PodShape, manifest: Object) -> AsyncIterator[ClusterPod]:
    """Create a pod to its worker's ready and delete it at the end; InstanceError says why it did not get there."""
    async with session.open_object(PODS, manifest, shape.instance):
        await session.wait_running(PODS, shape.name, shape.instance, lambda pod: is_started(pod, CONTAINER))
        attach = session.attach(shape.name, CONTAINER)
        async with session.open_worker(attach, shape.instance, PODS, shape.name) as worker:
            ready = await worker.wait_ready(session.ready_deadline_s)
            usage = LatestValues(session.interval_s, "usage_age_s")
            async with session.background(_follow_usage(worker, ready.pid, usage, session.interval_s)):
                yield ClusterPod(shape.instance, worker, usage)


async def _follow_usage(worker: WorkerClient, pid: int, usage: LatestValues, interval_s: float) -> None:
    """Read the pod's processes and cgroup once an interval, until cancelled."""
    with contextlib.suppress(InstanceError):
        while True:
            usage.update(await read_pod_usage(worker, pid))
            await asyncio.sleep(interval_s)


async def read_pod_usage(worker: WorkerClient, pid: int) -> MetricValues:
    """Read resident memory and CPU of the worker and its processes, and the pod's cgroup, by metric id.

    The worker reads all of it where it runs: no tool is needed in the pod's image, and no right but to attach.
    """
    children = await worker.read_text(f"/proc/{pid}/task/{pid}/children")
    processes = [_read_process(worker, p) for p in parse_family(pid, children or "")]
    return parse_pod(await run_together(*processes), await _read_cgroup(worker))


async def _read_process(worker: WorkerClient, pid: int) -> ProcessTexts:
    status, stat = await run_together(
        *(worker.read_text(f"/proc/{pid}/{name}") for name in ("status", "stat"))
    )
    return ProcessTexts(status or "", stat or "")


async def _read_cgroup(worker: WorkerClient) -> CgroupTexts | None:
    for version, files in container_cgroup_files().items():
        usage, stat = await run_together(*(worker.read_text(path) for path in files))
        if usage is not None and stat is not None:
            return CgroupTexts(usage, stat, version)
    return None

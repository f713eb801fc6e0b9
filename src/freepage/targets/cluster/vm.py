"""One VM of a cluster with a worker, spoken to over its serial console."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freepage.aio import run_together
from freepage.errors import InstanceError
from freepage.fpr.evidence import judge_activity
from freepage.kube.errors import ClusterError
from freepage.kube.resources import VMIS, dig, name_of, namespace_of
from freepage.kubevirt.launchers import COMPUTE, VIRSH, observe_reporting, read_launcher
from freepage.records import Evidence
from freepage.sampling.balloon import QUEUE_STATUS, ReportCounter, name_queue
from freepage.targets.cluster.latest import LatestValues
from freepage.targets.cluster.launcher import follow_launcher
from freepage.targets.guest import (
    read_guest_counters,
    read_guest_evidence,
    read_guest_memory,
    read_reporting_queue,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from io import FileIO
    from pathlib import Path

    from freepage.kube.resources import Object
    from freepage.metrics import MetricValues
    from freepage.targets.cluster.session import ClusterSession
    from freepage.targets.cluster.vmi_manifests import VmiShape
    from freepage.worker.client import WorkerClient

CONSOLE_CONTAINER = "guest-console-log"
CONSOLE_LINES = 20
SILENT_CONSOLE = "its console is empty: does the image boot, and has its system cloud-init and its console on the first serial port?"


@dataclass
class ClusterVm:
    """A VM whose worker is ready (targets.base.Instance).

    queue: the number of its balloon's queue for reports; None where it has none.
    """

    name: str
    worker: WorkerClient
    usage: LatestValues
    session: ClusterSession
    vmi: Object
    launcher: Object
    accelerator: str
    queue: int | None
    reports: ReportCounter = field(default_factory=ReportCounter)

    def read_usage(self) -> MetricValues:
        return self.usage.read()

    async def read_guest(self) -> MetricValues:
        counters, memory = await run_together(
            read_guest_counters(self.worker), read_guest_memory(self.worker)
        )
        return counters | memory

    async def read_evidence(self) -> Evidence:
        seen = Evidence(
            instance=self.name,
            configured=await self._read_configured(),
            report_count=await self._count_reports(),
            memory_backend="anonymous",
            accelerator=self.accelerator,
            **await read_guest_evidence(self.worker),
        )
        return judge_activity(seen)

    async def _read_configured(self) -> bool | None:
        """Read whether the domain has FPR: from the launcher's log, else from libvirt itself (pods/exec)."""
        launchers = {dig(self.vmi, "metadata", "uid"): [read_launcher(self.launcher)]}
        try:
            seen = await observe_reporting(self.session.api, self.vmi, launchers, may_exec=True)
        except ClusterError:
            return None
        return seen.reporting

    async def _count_reports(self) -> int | None:
        """Return how many reports QEMU has handled; None where libvirt may not be asked, or QEMU does not know."""
        if self.queue is None:
            return None
        query = json.dumps({"execute": QUEUE_STATUS, "arguments": name_queue(self.queue)})
        reply = await self._ask_libvirt("qemu-monitor-command", query)
        try:
            status = dig(json.loads(reply or "null"), "return")
        except ValueError:
            return None
        return self.reports.update(status if isinstance(status, dict) else None)

    async def _ask_libvirt(self, command: str, *arguments: str) -> str | None:
        domain = f"{namespace_of(self.vmi)}_{name_of(self.vmi)}"
        for virsh in VIRSH:
            try:
                result = await self.session.api.run(
                    name_of(self.launcher),
                    [*virsh, command, domain, *arguments],
                    namespace=namespace_of(self.vmi),
                    container=COMPUTE,
                )
            except ClusterError:
                return None
            if result.status == 0:
                return result.stdout.decode("utf-8", "replace")
        return None


@asynccontextmanager
async def open_cluster_vm(
    session: ClusterSession, shape: VmiShape, manifest: Object, folder: Path, accelerator: str
) -> AsyncIterator[ClusterVm]:
    """Create a VM to its worker's ready and delete it at the end; its console goes to folder/console-NAME.log.

    Raises InstanceError with the VM's conditions and events, or with its console's last lines.
    """
    console = folder / f"console-{shape.instance}.log"
    async with session.open_object(VMIS, manifest, shape.instance):
        vmi = await _wait_running(session, shape)
        with console.open("ab", buffering=0) as log:
            async with session.open_worker(
                session.console(shape.name),
                shape.instance,
                VMIS,
                shape.name,
                on_text=lambda line: _write(log, line),
            ) as worker:
                await _wait_ready(session, worker, shape.name)
                launcher = session.find_launcher(shape.name)
                if launcher is None:
                    raise InstanceError(f"{shape.instance} runs, and no pod of the cluster carries it")
                usage = LatestValues(session.interval_s, "usage_age_s")
                following = follow_launcher(session.api, launcher, usage, session.interval_s)
                async with session.background(following):
                    queue = await read_reporting_queue(worker)
                    yield ClusterVm(shape.instance, worker, usage, session, vmi, launcher, accelerator, queue)


def _write(log: FileIO, line: bytes) -> None:
    log.write(line)


async def _wait_running(session: ClusterSession, shape: VmiShape) -> Object:
    """Wait until a VM runs; InstanceError also has the console of one that ended at once."""
    try:
        return await session.wait_running(VMIS, shape.name, shape.instance)
    except InstanceError as error:
        words = filter(None, (error.hint, await read_console(session, shape.name)))
        raise InstanceError(error.message, hint="\n".join(words)) from error


async def _wait_ready(session: ClusterSession, worker: WorkerClient, vm: str) -> None:
    try:
        await worker.wait_ready(session.ready_deadline_s)
    except InstanceError as error:
        tail = await read_console(session, vm)
        raise InstanceError(error.message, hint=tail or error.hint or SILENT_CONSOLE) from error


async def read_console(session: ClusterSession, vm: str) -> str:
    """Read the last lines of a VM's console from its launcher, or the one it had; "" where they cannot be had."""
    launcher = session.find_last_launcher(vm)
    if launcher is None:
        return ""
    try:
        text = await session.api.read_log(
            name_of(launcher),
            namespace=session.scope.namespace,
            container=CONSOLE_CONTAINER,
            tail_lines=CONSOLE_LINES,
        )
    except ClusterError:
        return ""
    return f"the console's last lines:\n{text.rstrip()}" if text.strip() else ""

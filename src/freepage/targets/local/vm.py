"""One VM on this host: started, watched, read, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import signal
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.errors import InstanceError
from freepage.fpr.evidence import judge_activity, parse_choice
from freepage.records import Evidence
from freepage.sampling.balloon import parse_guest_stats
from freepage.sampling.instances import parse_vm, read_qemu
from freepage.sampling.procfs import THP, read_page_sizes, read_text
from freepage.targets.guest import read_guest_counters, read_guest_evidence, read_reporting_queue
from freepage.targets.local.process import end_process, read_tail, start_process
from freepage.targets.local.qemu_command import VmPipes, VmShape, build_command, find_architecture
from freepage.worker.channel import open_socket_channel
from freepage.worker.client import WorkerClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freepage.image.guest import Guest
    from freepage.metrics import MetricValues
    from freepage.targets.local.cgroup import Cgroup
    from freepage.targets.local.monitor import Monitor

READY_DEADLINE_S = {"kvm": 30.0, "tcg": 90.0}
# QEMU closes its sockets a moment before it is gone and its watcher can tell why.
CLOSING_GRACE_S = 3.0
# How much of a console is searched for the cause of a death; a panic prints a long trace after it.
CAUSE_LINES = 100


@dataclass
class Vm:
    """A VM whose worker is ready (targets.base.Instance).

    queue: the number of its balloon's queue for reports; None where it has none.
    """

    name: str
    worker: WorkerClient
    shape: VmShape
    monitor: Monitor
    pid: int
    cgroup: Cgroup | None
    queue: int | None

    def read_usage(self) -> MetricValues:
        return parse_vm(read_qemu(self.pid), self.cgroup.read() if self.cgroup else None)

    async def read_guest(self) -> MetricValues:
        values = parse_guest_stats(await self.monitor.read_statistics(), time.time())
        return (
            values | await read_guest_counters(self.worker) | {"reports_handled": await self._count_reports()}
        )

    async def read_evidence(self) -> Evidence:
        page_bytes, huge_page_bytes = read_page_sizes()
        seen = Evidence(
            instance=self.name,
            configured=await self.monitor.read_reporting(),
            report_count=await self._count_reports(),
            host_thp=parse_choice(read_text(Path(THP))),
            host_page_bytes=page_bytes,
            host_huge_page_bytes=huge_page_bytes,
            memory_backend="anonymous",
            accelerator=self.shape.accelerator,
            **await read_guest_evidence(self.worker),
        )
        return judge_activity(seen)

    async def _count_reports(self) -> int | None:
        return None if self.queue is None else await self.monitor.count_reports(self.queue)


@asynccontextmanager
async def open_vm(
    shape: VmShape,
    guest: Guest,
    folder: Path,
    cgroup: Cgroup | None,
    *,
    ready_deadline_s: float | None = None,
) -> AsyncIterator[Vm]:
    """Boot a VM to its worker's ready and end it at the end; its console goes to folder/console-NAME.log.

    Raises InstanceError with the console's last lines when it does not get there; when it dies later, every wait of
    its worker ends with such an error.
    """
    from freepage.targets.local.monitor import open_monitor

    console = folder / f"console-{shape.name}.log"
    async with contextlib.AsyncExitStack() as stack:
        ours, theirs = zip(*(socket.socketpair() for _ in range(2)), strict=True)
        for end in (*ours, *theirs):
            stack.callback(end.close)
        pipes = VmPipes(theirs[0].fileno(), theirs[1].fileno(), console)
        command = build_command(find_architecture(platform.machine()), shape, guest, pipes)
        fds = (pipes.qmp_fd, pipes.worker_fd, *(disk.fd for disk in shape.disks))
        process = await start_process(command, cgroup, errors=console, pass_fds=fds)
        stack.push_async_callback(end_process, process)
        for end in theirs:
            end.close()
        client = WorkerClient(await open_socket_channel(ours[1]), shape.name, closing_grace_s=CLOSING_GRACE_S)
        stack.push_async_callback(client.close)
        watcher = asyncio.create_task(_watch(process, client, shape.name, console))
        stack.push_async_callback(_stop, watcher)
        try:
            monitor = await stack.enter_async_context(open_monitor(shape.name, ours[0]))
        except ConnectionError:
            await _raise_death(watcher, client)
            raise
        deadline_s = ready_deadline_s or READY_DEADLINE_S[shape.accelerator]
        await _wait_ready(client, deadline_s, console)
        await monitor.poll_statistics()
        queue = await read_reporting_queue(client)
        yield Vm(shape.name, client, shape, monitor, process.pid, cgroup, queue)


async def _raise_death(watcher: asyncio.Task[None], client: WorkerClient) -> None:
    """Raise the watcher's error, should QEMU have ended."""
    await asyncio.wait({watcher}, timeout=5)
    await client.wait_ready(0)


async def _wait_ready(client: WorkerClient, deadline_s: float, console: Path) -> None:
    try:
        await client.wait_ready(deadline_s)
    except InstanceError as error:
        if error.hint is not None:
            raise
        tail = read_tail(console)
        raise InstanceError(error.message, hint=_console_hint(tail)) from error


async def _watch(process: asyncio.subprocess.Process, client: WorkerClient, name: str, console: Path) -> None:
    """End every wait of the worker's client with the reason, when QEMU ends before it was asked to."""
    status = await process.wait()
    cause = _describe_death(status, read_tail(console, CAUSE_LINES))
    client.fail(InstanceError(f"{name}: {cause}", hint=_console_hint(read_tail(console))))


def _describe_death(status: int, tail: str) -> str:
    if "Kernel panic" in tail:
        return "the guest's kernel panicked"
    if "freepage-init:" in tail:
        return "the guest's init gave up"
    if "Out of memory" in tail or "oom-kill" in tail:
        return "the guest ran out of memory"
    if status == -signal.SIGKILL:
        return "QEMU was killed, most likely by the host's OOM killer"
    return "the guest powered off" if status == 0 else f"QEMU ended with status {status}"


def _console_hint(tail: str) -> str:
    return f"the console's last lines:\n{tail}" if tail else "its console is empty"


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

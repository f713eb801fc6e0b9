"""Running VMs of this host, watched for a while: what the host holds for each, and what its guest has free."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freepage.aio import run_together
from freepage.errors import HostError
from freepage.fpr.kernels import RunningKernel, parse_reporting_order
from freepage.hosts.balloon import STALE, STALE_S, find_balloon, polled
from freepage.hosts.guest_agent import AgentError, open_agent
from freepage.hosts.qmp import connect, find_peer, open_qmp
from freepage.metrics import sum_known
from freepage.sampling.balloon import count_free_lists, parse_buddyinfo
from freepage.sampling.procfs import PROC, parse_meminfo, parse_status, read_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from freepage.hosts.balloon import VmBalloon
    from freepage.hosts.guest_agent import GuestAgent
    from freepage.hosts.qmp import Qmp
    from freepage.metrics import MetricValues

CONNECT_DEADLINE_S = 10.0
BUSY_HINT = (
    "a monitor serves one program at a time, and libvirt may hold this one: give the VM one more, "
    "as -qmp unix:FILE,server=on,wait=off"
)
LATE = "answers came late: it was looked at less often than asked for"
PAUSED = "it is paused: a guest that does not run reports nothing"
GONE = "its QEMU has ended meanwhile, or its memory may not be read: how much the host holds for the VM is not known"
_REPORTING_ORDER = "/sys/module/page_reporting/parameters/page_reporting_order"
# VMs whose answers are late are looked at for so much longer than asked for, and then no more.
LATE_S = 30.0
_HOST_MEMORY = ("rss_bytes", "swap_bytes")


@dataclass(frozen=True)
class VmSockets:
    """A running VM as its user names it, with the socket of its QEMU's monitor and, to read files of the guest, its agent's."""

    name: str
    qmp: Path
    agent: Path | None = None


@dataclass
class WatchedVm:
    """All that was seen of one VM: samples are (seconds since the watch began, values by metric id).

    kernel: of the guest, its page size not looked at. reporting_order: as the guest's driver has it; None where it has
    none, or no agent tells. fpr_on: whether its balloon offers FPR. notes: what is not known, and why.
    """

    name: str
    kernel: RunningKernel
    fpr_on: bool | None
    reporting_order: int | None = None
    samples: list[tuple[float, MetricValues]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep what is not known, once."""
        if text not in self.notes:
            self.notes.append(text)


class _Watch:
    """One VM while it is watched; an agent that has failed once is not asked again."""

    def __init__(
        self, watched: WatchedVm, pid: int | None, balloon: VmBalloon, agent: GuestAgent | None
    ) -> None:
        self.watched = watched
        self._pid = pid
        self._balloon = balloon
        self._agent = agent

    async def sample(self, t_s: float) -> None:
        values = await self._balloon.read_memory()
        if (values.get("guest_stats_age_s") or 0) > STALE_S:
            self.watched.note(STALE)
        values |= self._read_process() | await self._read_guest()
        self.watched.samples.append((t_s, values))

    def _read_process(self) -> MetricValues:
        """Read what the host holds for the VM; None for each once its QEMU is gone."""
        status = "" if self._pid is None else read_text(PROC / f"{self._pid}/status")
        if self._pid is not None and not status:
            self.watched.note(GONE)
        values = parse_status(status)
        return {id_: values[id_] for id_ in _HOST_MEMORY}

    async def _read_guest(self) -> MetricValues:
        """Read the guest's own files; nothing without an agent."""
        if self._agent is None:
            return {}
        try:
            return await read_guest_memory(self._agent)
        except AgentError as error:
            self._agent = None
            self.watched.note(_describe(error))
            return {}


async def watch_vms(
    vms: Sequence[VmSockets], seconds: float, interval_s: float, *, poll: bool = False
) -> list[WatchedVm]:
    """Sample running VMs every `interval_s`, all at the same times; nothing in them or in their QEMU is changed.

    poll: but for QEMU asking their guests for statistics meanwhile, where it does not. HostError where one cannot be watched.
    """
    async with AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(_open_watch(vm, poll=poll)) for vm in vms]
        begin_s = time.monotonic()
        for tick in range(math.floor(seconds / interval_s) + 1):
            await asyncio.sleep(max(0.0, begin_s + tick * interval_s - time.monotonic()))
            t_s = time.monotonic() - begin_s
            if t_s > seconds + LATE_S:
                for watch in watches:
                    watch.watched.note(LATE)
                break
            await run_together(*(watch.sample(t_s) for watch in watches))
    return [watch.watched for watch in watches]


@asynccontextmanager
async def _open_watch(vm: VmSockets, *, poll: bool) -> AsyncIterator[_Watch]:
    async with AsyncExitStack() as stack:
        try:
            end = stack.enter_context(await connect(vm.qmp))
            qmp = await stack.enter_async_context(open_qmp(vm.name, end, CONNECT_DEADLINE_S))
        except OSError as error:
            words = f"cannot watch {vm.name}: {vm.qmp}: {error.strerror or error}"
            raise HostError(words, hint=BUSY_HINT) from error
        balloon = await find_balloon(qmp)
        if poll:
            await stack.enter_async_context(polled(balloon))
        watched = await _look(vm, qmp, balloon)
        agent = await _attach_agent(vm, watched, stack)
        yield _Watch(watched, _find_process(vm, find_peer(end), watched), balloon, agent)


async def _look(vm: VmSockets, qmp: Qmp, balloon: VmBalloon) -> WatchedVm:
    """Look at what does not change while a VM is watched."""
    target = await qmp.ask("query-target") or {}
    watched = WatchedVm(
        vm.name, RunningKernel(architecture=target.get("arch")), await balloon.read_reporting()
    )
    obstacle = await balloon.find_obstacle()
    if obstacle is not None:
        watched.note(obstacle)
    status = await qmp.ask("query-status") or {}
    if status.get("running") is False:
        watched.note(PAUSED)
    return watched


def _find_process(vm: VmSockets, pid: int | None, watched: WatchedVm) -> int | None:
    """Return the process if it is a QEMU: libvirt makes sockets itself and hands them over."""
    words = read_text(PROC / f"{pid}/cmdline").split("\0") if pid is not None else [""]
    program = words[0].rpartition("/")[2]
    if "qemu" in program or program == "kvm":
        return pid
    who = (
        f"process {pid} ({program or 'its name is not known'})"
        if pid is not None
        else "a process out of sight"
    )
    watched.note(f"{vm.qmp} is of {who}, which is no QEMU: how much the host holds for the VM is not known")
    return None


async def _attach_agent(vm: VmSockets, watched: WatchedVm, stack: AsyncExitStack) -> GuestAgent | None:
    """Return the agent that a VM's user has named; None where there is none, or it does not do what is needed."""
    if vm.agent is None:
        return None
    try:
        agent = await stack.enter_async_context(open_agent(vm.agent))
        buddyinfo = await agent.read_file("/proc/buddyinfo")
    except AgentError as error:
        watched.note(_describe(error))
        return None
    watched.kernel = RunningKernel(
        architecture=watched.kernel.architecture, free_lists=count_free_lists(buddyinfo)
    )
    watched.reporting_order = await _read_order(agent, watched.kernel)
    return agent


async def _read_order(agent: GuestAgent, kernel: RunningKernel) -> int | None:
    """Read the order from which on the guest's driver reports; None where it does not, or its kernel does not say."""
    try:
        return parse_reporting_order(await agent.read_file(_REPORTING_ORDER), kernel)
    except AgentError:
        return None


async def read_guest_memory(agent: GuestAgent) -> MetricValues:
    """Read a guest's free blocks by order, and its total, free and cached memory, by metric id."""
    blocks = parse_buddyinfo(await agent.read_file("/proc/buddyinfo"))
    memory = parse_meminfo(await agent.read_file("/proc/meminfo"))
    return blocks | {
        "guest_total_bytes": memory["mem_total_bytes"],
        "guest_free_bytes": memory["mem_free_bytes"],
        "guest_cached_bytes": sum_known([memory["mem_cached_bytes"], memory["mem_buffers_bytes"]]),
    }


def _describe(error: AgentError) -> str:
    return f"{error.message} ({error.hint}): its free blocks are not known, so that only a range can be told"

"""A VM that is not ours to control: a real QEMU and guest, seen through one more monitor; and a real guest agent."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from freepage.forecast.live import build_trace
from freepage.fpr.kernels import find_page_bytes
from freepage.hosts.guest_agent import open_agent
from freepage.hosts.watching import VmSockets, read_guest_memory, watch_vms
from freepage.image import guest
from freepage.image.kernel import unpack_package
from freepage.metrics import BUDDY_ORDERS
from freepage.sampling.procfs import PROC
from freepage.targets.local import vm as vms
from freepage.targets.local.process import end_process, start_process
from freepage.targets.local.qemu_command import VmShape, build_command
from freepage.targets.local.vm import open_vm
from freepage.units import MIB

pytestmark = pytest.mark.vm


@pytest.fixture
def short():
    """A folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="fp-") as folder:
        yield Path(folder)


@asynccontextmanager
async def boot(folder, monkeypatch, *, reporting):
    """Boot our guest with one more monitor, at a path, and give its process."""
    more = ["-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"]
    monkeypatch.setattr(vms, "build_command", lambda *parts: [*build_command(*parts), *more])
    shape = VmShape("vm-0", 512 * MIB, cpus=1, reporting=reporting, accelerator="tcg")
    async with open_vm(shape, guest.build_guest(), folder, None) as vm:
        yield vm


@pytest.mark.parametrize("reporting", [True, False])
async def test_a_real_vm_is_watched_through_a_monitor_of_its_own(short, monkeypatch, reporting):
    async with boot(short, monkeypatch, reporting=reporting) as vm:
        (seen,) = await watch_vms([VmSockets("db", short / "qmp")], 4.0, 0.5)
        resident = vm.read_usage()["rss_bytes"]
    trace = build_trace(
        "db", seen.samples, seen.kernel.architecture, fpr_on=seen.fpr_on, order=None, notes=seen.notes
    )
    assert seen.fpr_on is reporting
    assert seen.notes == []
    assert len(trace) == 9
    assert set(trace.total_bytes) == {512 * MIB}
    assert abs(trace.resident_bytes[-1] - resident) < 16 * MIB
    free = trace.free_bytes[~np.isnan(trace.free_bytes)]
    assert len(free) > 0
    assert (free > 300 * MIB).all()
    assert (free < 512 * MIB).all()


def find_agent(folder):
    """Return the distribution's guest agent, installed or unpacked; skip where there is none."""
    installed = shutil.which("qemu-ga")
    if installed is None and unpack_package("qemu-guest-agent", folder / "tree"):
        installed = folder / "tree/usr/sbin/qemu-ga"
    if installed is None:
        pytest.skip("this machine lacks the package qemu-guest-agent")
    return str(installed)


@asynccontextmanager
async def serve_agent(folder):
    """Run a real guest agent, which listens at a socket and takes this host for its guest."""
    command = [find_agent(folder), "--method=unix-listen", f"--path={folder / 'qga'}"]
    command += [f"--statedir={folder}", f"--pidfile={folder / 'pid'}"]
    process = await start_process(command, None, errors=folder / "agent.log")
    try:
        async with asyncio.timeout(20):
            while not (folder / "qga").exists():
                assert process.returncode is None, (folder / "agent.log").read_text()
                await asyncio.sleep(0.02)
        yield folder / "qga"
    finally:
        await end_process(process)


async def test_a_real_agent_reads_the_free_blocks_of_its_machine(short):
    async with serve_agent(short) as path, open_agent(path) as agent:
        values = await read_guest_memory(agent)
        buddyinfo = await agent.read_file("/proc/buddyinfo")
    lines = (PROC / "buddyinfo").read_text().splitlines()
    assert len(buddyinfo.splitlines()) == len(lines)
    counts = (values[f"guest_free_order_{order}_blocks"] for order in BUDDY_ORDERS)
    pages = sum(count * 2**order for order, count in enumerate(counts) if count is not None)
    assert find_page_bytes(pages, values["guest_free_bytes"]) == os.sysconf("SC_PAGESIZE")

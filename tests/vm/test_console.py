"""A real guest whose worker has the serial console: nothing is lost, disks are made ready, nothing outlives its deadline."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import time
from contextlib import asynccontextmanager

import pytest

from freepage.image.guest import build_guest, disk_modules
from freepage.image.tools import build_tools
from freepage.records import Action, ProcessSchedule, Step
from freepage.study.plan import ToolsPlan
from freepage.units import MIB
from helpers.consoles import open_client, open_console_vm

pytestmark = pytest.mark.vm

DISK_BYTES = 320 * MIB


def pairs(count, spacing_s):
    actions = (Action.ALLOCATE, Action.FREE)
    return tuple(Step(i * spacing_s, action, 65536, i) for i in range(count) for action in actions)


def drives(**paths):
    words = []
    for serial, path in paths.items():
        words += ["-drive", f"file={path},format=raw,if=none,id={serial}"]
        words += ["-device", f"virtio-blk-pci,drive={serial},serial={serial}"]
    return words


@pytest.fixture(scope="module")
def tools():
    return build_tools(ToolsPlan(programs=("sh", "mke2fs", "mkfs.xfs"))).image


async def test_no_event_is_lost_on_a_console_that_is_cut_off_and_on_which_the_kernel_speaks(tools):
    chance = random.Random(3)
    shout = ("sh", "-c", "echo '<0>freepage-test: an emergency' > /dev/kmsg")
    shouts = tuple(Step(n / 2, Action.RUN, 0, n, argv=shout, timeout_s=5) for n in range(6))
    events = []
    guest = build_guest(None, disk_modules())
    async with (
        open_console_vm(guest, "freepage.tools=ext4", drives(tools=tools)) as console,
        open_client(console) as client,
    ):
        await client.ping(2)
        await client.load(
            [*(ProcessSchedule(p, pairs(150, 0.02)) for p in range(4)), ProcessSchedule(4, shouts)]
        )
        await client.start(time.monotonic() + 0.1)

        async def cut_off():
            while True:
                await asyncio.sleep(chance.uniform(0.1, 0.4))
                console.streams[-1].cut()
                await asyncio.sleep(0.3)
                assert await client.read_text("/proc/uptime")

        cutting = asyncio.create_task(cut_off())
        await client.wait_done(events.append, 120)
        cutting.cancel()
        await asyncio.gather(cutting, return_exceptions=True)
        assert len(await client.read_whole("/worker")) > 500_000
    for process in range(4):
        assert [e.index for e in events if e.process == process] == list(range(300))
    assert [e.ok for e in events if e.process == 4] == [True] * len(shouts)
    assert len(console.streams) > 3
    assert any(b"an emergency" in line for line in console.text)


async def test_a_worker_that_spoke_before_anyone_listened_is_heard():
    async with open_console_vm(build_guest()) as console:
        await asyncio.sleep(6)
        async with open_client(console) as client:
            assert await client.read_text("/proc/sys/kernel/printk")
            assert (await client.read_text("/proc/sys/kernel/printk")).split()[0] == "1"


async def test_a_guest_powers_off_at_its_deadline():
    async with open_console_vm(build_guest(), "freepage.deadline=4") as console, open_client(console):
        assert await asyncio.wait_for(console.process.wait(), 30) == 0


@pytest.fixture
def blank(tmp_path):
    path = tmp_path / "data"
    with path.open("wb") as file:
        file.truncate(DISK_BYTES)
    return path


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
async def test_a_disk_without_a_file_system_gets_one(tools, blank, filesystem):
    words = f"freepage.tools=ext4 freepage.data={filesystem} freepage.format=1"
    guest = build_guest(None, disk_modules(filesystem))
    extra = drives(tools=tools, data=blank)
    async with open_console_vm(guest, words, extra) as console, open_client(console) as client:
        mounts = await client.read_text("/proc/mounts")
    (data,) = (line.split() for line in mounts.splitlines() if " /data " in line)
    assert data[2] == filesystem
    assert data[3].startswith("rw")


@pytest.fixture
def labelled(blank):
    """A disk with a file system whose label shows, at the end, that it is still the same."""
    subprocess.run(["mkfs.ext4", "-q", "-L", "kept", str(blank)], check=True)
    yield blank
    shown = subprocess.run(["e2label", str(blank)], capture_output=True, check=True)
    assert shown.stdout == b"kept\n"


async def test_a_disk_that_holds_something_is_left_as_it_is(tools, labelled):
    guest = build_guest(None, disk_modules("ext4"))
    words = "freepage.tools=ext4 freepage.data=ext4 freepage.format=1"
    extra = drives(tools=tools, data=labelled)
    async with open_console_vm(guest, words, extra) as console, open_client(console) as client:
        assert " /data " in await client.read_text("/proc/mounts")


@asynccontextmanager
async def open_first_stream(console):
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        while True:
            with contextlib.suppress(OSError):
                yield await stack.enter_async_context(console.open_stream())
                return
            await asyncio.sleep(0.01)


async def test_a_blank_disk_is_made_ready_only_where_that_is_asked_for(tools, blank):
    guest = build_guest(None, disk_modules("ext4"))
    extra = drives(tools=tools, data=blank)
    async with open_console_vm(guest, "freepage.tools=ext4 freepage.data=ext4", extra) as console:
        said = b""
        async with open_first_stream(console) as stream:
            while data := await stream.read():
                said += data
    assert b"freepage-init: cannot mount /data: Invalid argument" in said

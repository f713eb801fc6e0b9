"""Programs and file systems in real VMs and containers: mounted as asked, used past the host's cache, gone at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from freepage.errors import InstanceError
from freepage.image.disk import open_disk
from freepage.image.guest import build_guest, disk_modules
from freepage.records import Action, Arm, ProcessSchedule, Step
from freepage.study.plan import DataPlan, InstancePlan, ToolsPlan, Trial
from freepage.targets.local.choices import LocalChoices
from freepage.targets.local.qemu_command import VmDisk, VmShape
from freepage.targets.local.target import open_local_target
from freepage.targets.local.vm import open_vm
from freepage.units import MIB

pytestmark = pytest.mark.vm

SIZE_BYTES = 320 * MIB
# Says what an instance sees of its mounts, and tries to write where it may and where it may not.
LOOK = """#!/usr/bin/env -S sh -e
cat /proc/mounts
echo kept > kept
cat kept /dev/stdin < /dev/null
test -w /dev/shm -a -c /dev/null -a -e /dev/fd/1
if touch /tools/new; then exit 9; fi
"""
FIO = (
    "fio",
    "--name=x",
    f"--size={4 * MIB}",
    f"--bs={MIB}",
    "--numjobs=7",
    "--thread=0",
    "--output-format=json",
)
FIO_DIRECT = (*FIO, "--direct=1", "--rw=write")
O_DIRECT = os.O_DIRECT


@pytest.fixture
def tools(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "look").write_text(LOOK)
    (folder / "look").chmod(0o755)
    return ToolsPlan(programs=("fio", "cat", "touch"), folder=str(folder))


@pytest.fixture
def folder(tmp_path):
    """The folder of a trial, on a real disk, that nothing but consoles is left in."""
    path = tmp_path / "trial"
    path.mkdir()
    devices = loop_devices()
    yield path
    wait_until(lambda: loop_devices() == devices)
    assert [p.name for p in path.iterdir() if not p.name.startswith("console-")] == []


def loop_devices():
    said = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "NAME"], capture_output=True, check=True
    )
    return set(said.stdout.decode().split())


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def trial(carrier, tools, filesystem):
    data = None if filesystem is None else DataPlan(filesystem, SIZE_BYTES)
    plan = InstancePlan("io-0", carrier, 1, 384 * MIB, (), tools, data)
    return Trial("001", 0, None, carrier, 0, (plan,), 10.0, 0, 1, 0.0)


@asynccontextmanager
async def open_instance(carrier, tools, filesystem, folder):
    """Return a target's one instance with tools and a file system."""
    async with open_local_target(LocalChoices("tcg")) as target:
        wanted = trial(carrier, tools, filesystem)
        obstacle = target.find_obstacle(wanted)
        if obstacle is not None and carrier is Arm.POD:
            pytest.skip(obstacle.message)
        assert obstacle is None
        async with target.open_instances(wanted, folder) as (instance,):
            yield instance


async def run_programs(instance, *commands):
    """Run commands one after the other in an instance and return what each wrote to its output."""
    await instance.worker.ping()
    steps = tuple(Step(0.0, Action.RUN, 0, 0, argv=command, timeout_s=60.0) for command in commands)
    await instance.worker.load([ProcessSchedule(0, steps)])
    await instance.worker.start(time.monotonic())
    events = []
    await instance.worker.wait_done(events.append, 120)
    outputs = []
    for event in events:
        said = [
            await instance.worker.read_whole(f"/tmp/run-0-{event.index}.{kind}") for kind in ("out", "err")
        ]
        assert event.ok, (event.error, said)
        outputs.append(said[0].decode())
    return outputs


def mounts_of(text):
    """Return (file system, options) by mount point from /proc/mounts."""
    words = [line.split() for line in text.splitlines() if line.startswith(("/", "tmpfs", "shm"))]
    return {w[1]: (w[2], w[3].split(",")) for w in words if len(w) > 3}


@pytest.mark.parametrize(
    ("carrier", "filesystem"),
    [(Arm.VM, "ext4"), (Arm.VM_FPR, "xfs"), (Arm.POD, "ext4"), (Arm.POD, "xfs"), (Arm.POD, "host")],
)
async def test_instances_have_their_programs_and_a_file_system_to_work_on(tools, folder, carrier, filesystem):
    async with open_instance(carrier, tools, filesystem, folder) as instance:
        seen, written = await run_programs(instance, ("/tools/opt/look",), FIO_DIRECT)
    mounts = mounts_of(seen)
    assert "ro" in mounts["/tools"][1]
    assert "rw" in mounts["/data"][1]
    assert {mounts["/dev/shm"][0], mounts["/tmp"][0]} == {"tmpfs"}
    if filesystem != "host":
        assert mounts["/data"][0] == filesystem
    assert seen.endswith("kept\n")
    jobs = json.loads(written[written.index("{") :])["jobs"]
    assert (len(jobs), sum(job["write"]["io_bytes"] for job in jobs)) == (7, 28 * MIB)


async def test_programs_alone_need_no_file_system(tools, folder):
    async with open_instance(Arm.VM, tools, None, folder) as instance:
        (version,) = await run_programs(instance, ("fio", "--version"))
        assert version.startswith("fio-")


async def test_a_vms_data_is_past_the_hosts_page_cache(tools, folder):
    async with open_instance(Arm.VM, tools, "ext4", folder) as instance:
        assert [disk.direct for disk in instance.shape.disks] == [False, True]
        await run_programs(instance, FIO_DIRECT)
        assert any(flags & O_DIRECT for flags in open_flags(instance.pid))


def open_flags(pid):
    """Return the flags of every file a process has open."""
    texts = [path.read_text() for path in Path(f"/proc/{pid}/fdinfo").iterdir()]
    return [int(text.split("flags:")[1].split()[0], 8) for text in texts]


async def test_a_pods_loop_device_goes_with_its_last_mount_and_is_past_the_page_cache(tools, folder):
    before = loop_devices()
    async with open_instance(Arm.POD, tools, "ext4", folder):
        (device,) = loop_devices() - before
        loop = Path("/sys/block", Path(device).name, "loop")
        assert [(loop / name).read_text() for name in ("autoclear", "dio")] == ["1\n", "1\n"]


async def test_a_file_system_that_is_another_than_said_is_named(folder):
    with open_disk(folder, DataPlan("ext4", SIZE_BYTES)) as file:
        disks = (VmDisk("data", "xfs", file.fileno()),)
        shape = VmShape("vm-0", 256 * MIB, 1, reporting=True, accelerator="tcg", disks=disks)
        with pytest.raises(InstanceError, match="init gave up") as caught:
            async with open_vm(shape, build_guest(None, disk_modules("xfs")), folder, None):
                pass
    assert "the disk data has the file system xfs" in caught.value.hint
    assert "cannot mount /data" in caught.value.hint


HELD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_disks as here

async def hold():
    tools = here.ToolsPlan(programs=("sleep",))
    async with here.open_instance(here.Arm({carrier!r}), tools, "ext4", Path({folder!r})) as instance:
        print("ready", flush=True)
        await here.run_programs(instance, ("sleep", "7777"))

asyncio.run(hold())
"""


@pytest.mark.parametrize("carrier", [Arm.VM, Arm.POD])
def test_nothing_is_left_of_instances_whose_freepage_was_killed(folder, carrier):
    code = HELD.format(tests=str(Path(__file__).parent), carrier=carrier.value, folder=str(folder))
    environment = os.environ | {"TMPDIR": str(folder.parent)}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert process.stdout.readline() == b"ready\n"
    used = disk_files(folder)
    assert used
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    wait_until(lambda: not disk_files(folder))


def disk_files(folder):
    """Return the users of files without a name that were made in a folder: processes, and loop devices."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            path = str(link.readlink())
        except OSError:
            continue
        if path.startswith(str(folder)) and path.endswith("(deleted)"):
            found.add(link.parts[2])
    backing = Path("/sys/block").glob("loop*/loop/backing_file")
    return found | {path.parts[3] for path in backing if str(folder) in path.read_text()}

"""The file systems of an instance at /tools and /data: disks for VMs, mounts for containers, removed at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage.errors import HostError, InstanceError
from freepage.image.disk import find_mkfs, open_disk, run_on_disk, takes_direct_io
from freepage.image.guest import disk_modules
from freepage.image.kernel import find_kernel
from freepage.image.modules import find_modules
from freepage.image.programs import find_program
from freepage.image.tools import build_tools
from freepage.records import Arm
from freepage.sampling.procfs import read_text
from freepage.targets.local.qemu_command import VmDisk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.study.plan import DataPlan, InstancePlan

# docs/decisions/005-programs-and-disks.md
HOST_FOLDER = "host"
_TOOLS_FILE_SYSTEM = "ext4"


@dataclass
class PodMounts:
    """The OCI mounts of a container beyond the usual, and a loop device that is closed once it is mounted.

    direct: whether its disk is past the host's page cache; None where it has none of its own.
    """

    mounts: list[dict[str, Any]] = field(default_factory=list)
    loop_fd: int | None = None
    direct: bool | None = None

    @property
    def has_tools(self) -> bool:
        return any(m["destination"] == "/tools" for m in self.mounts)

    def release(self) -> None:
        """Close the loop device: it is detached with its last user, which is the mount when there is one by now."""
        if self.loop_fd is not None:
            os.close(self.loop_fd)
            self.loop_fd = None


@contextmanager
def open_vm_disks(plan: InstancePlan, folder: Path) -> Iterator[tuple[VmDisk, ...]]:
    """Yield the disks of a VM as open files; the data disk's has no name, so that it goes with QEMU and freepage."""
    disks: list[VmDisk] = []
    with ExitStack() as stack:
        if plan.tools is not None:
            image = stack.enter_context(build_tools(plan.tools).image.open("rb"))
            disks.append(VmDisk("tools", _TOOLS_FILE_SYSTEM, image.fileno(), read_only=True))
        if plan.data is not None:
            data = stack.enter_context(open_disk(folder, plan.data))
            direct = takes_direct_io(data)
            disks.append(VmDisk("data", plan.data.filesystem, data.fileno(), direct=direct))
        yield tuple(disks)


@contextmanager
def open_pod_mounts(plan: InstancePlan, folder: Path) -> Iterator[PodMounts]:
    """Yield a container's mounts; its data is removed at the end."""
    mounts = PodMounts()
    data = folder / f"data-{plan.name}"
    try:
        if plan.tools is not None:
            mounts.mounts.append(_bind(build_tools(plan.tools).folder, "/tools", "ro"))
        if plan.data is not None and plan.data.filesystem == HOST_FOLDER:
            data.mkdir()
            mounts.mounts.append(_bind(data, "/data", "rw"))
        elif plan.data is not None:
            device = _attach_loop_device(plan.data, folder, mounts)
            mounts.mounts.append({"destination": "/data", "type": plan.data.filesystem, "source": device})
        yield mounts
    finally:
        mounts.release()
        shutil.rmtree(data, ignore_errors=True)


def _bind(source: Path, destination: str, access: str) -> dict[str, Any]:
    return {
        "destination": destination,
        "type": "bind",
        "source": str(source.absolute()),
        "options": ["rbind", access],
    }


def _attach_loop_device(plan: DataPlan, folder: Path, mounts: PodMounts) -> str:
    """Return a block device over a file without a name, past the host's page cache where that goes.

    `mounts` keeps it open. A device that is detached while it is open goes by itself when it no longer is.
    """
    with open_disk(folder, plan) as file:
        mounts.direct = takes_direct_io(file)
        direct = f"--direct-io={'on' if mounts.direct else 'off'}"
        try:
            device = run_on_disk(["losetup", "--find", "--show", direct], file)
        except HostError as error:
            raise InstanceError(
                f"there is no loop device for a pod's disk: {error.message}",
                hint="losetup --list shows those in use",
            ) from error
    try:
        mounts.loop_fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)
    return device


def check_instance(plan: InstancePlan, kernel: Path | None) -> None:
    """Raise a FreepageError that says what this host lacks for an instance's programs and file system."""
    if plan.tools is not None:
        find_program("mke2fs")
        build_tools(plan.tools)
    if plan.data is not None and plan.data.filesystem != HOST_FOLDER:
        find_mkfs(plan.data.filesystem)
        if plan.carrier is Arm.POD:
            _check_host_file_system(plan.data.filesystem)
    if plan.carrier is not Arm.POD and (plan.tools or plan.data):
        _check_guest_modules(kernel, plan.data.filesystem if plan.data else None)


@cache
def _check_guest_modules(kernel: Path | None, filesystem: str | None) -> None:
    find_modules(find_kernel(kernel), disk_modules(filesystem))


@cache
def _check_host_file_system(filesystem: str) -> None:
    """Mounting loads the module where there is one: only a kernel that has neither cannot mount it."""
    if filesystem not in read_text(Path("/proc/filesystems")).split() and not _has_module(filesystem):
        raise HostError(
            f"this host's kernel has no {filesystem}, so a pod cannot have it",
            hint=f"modprobe {filesystem}, or another filesystem in the study",
        )
    if not Path("/dev/loop-control").exists():
        raise HostError("this host has no loop devices for a pod's disk", hint="modprobe loop")


def _has_module(name: str) -> bool:
    if shutil.which("modprobe") is None:
        return False
    return subprocess.run(["modprobe", "-n", name], capture_output=True, check=False).returncode == 0

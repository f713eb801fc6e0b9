"""What an instance finds at /tools and /data: disks for VMs, mounts for containers, and nothing left of either."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage.errors import HostError, InstanceError
from freepage.image.disk import find_maker, make_disk, takes_direct_io
from freepage.image.guest import disk_modules
from freepage.image.kernel import find_kernel, find_modules
from freepage.image.tools import build_tools, find_program
from freepage.records import Arm
from freepage.sampling.procfs import read_text
from freepage.targets.local.qemu_command import VmDisk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.plan import DataPlan, InstancePlan

HOST_FOLDER = "host"
_TOOLS_FILE_SYSTEM = "ext4"


@dataclass
class PodMounts:
    """The OCI mounts of a container beyond the usual, and a loop device that is let go once it is mounted."""

    mounts: list[dict[str, Any]] = field(default_factory=list)
    loop_device: str | None = None

    @property
    def has_tools(self) -> bool:
        return any(m["destination"] == "/tools" for m in self.mounts)

    def release(self) -> None:
        """Detach the loop device: one that is mounted goes when its last mount goes, whatever becomes of us."""
        if self.loop_device is not None:
            subprocess.run(["losetup", "--detach", self.loop_device], check=False, capture_output=True)
            self.loop_device = None


@contextmanager
def open_vm_disks(plan: InstancePlan, folder: Path) -> Iterator[tuple[VmDisk, ...]]:
    """Give the disks of a VM as open files; the data disk's file is gone before the VM starts."""
    disks: list[VmDisk] = []
    try:
        if plan.tools is not None:
            image = build_tools(plan.tools).image
            disks.append(VmDisk("tools", _TOOLS_FILE_SYSTEM, os.open(image, os.O_RDONLY), read_only=True))
        if plan.data is not None:
            disks.append(_open_data_disk(plan.data, folder / f"data-{plan.name}"))
        yield tuple(disks)
    finally:
        for disk in disks:
            os.close(disk.fd)


def _open_data_disk(plan: DataPlan, path: Path) -> VmDisk:
    try:
        make_disk(path, plan)
        return VmDisk("data", plan.filesystem, os.open(path, os.O_RDWR), direct=takes_direct_io(path))
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def open_pod_mounts(plan: InstancePlan, folder: Path) -> Iterator[PodMounts]:
    """Give a container's mounts; its data goes at the end."""
    mounts = PodMounts()
    data = folder / f"data-{plan.name}"
    try:
        if plan.tools is not None:
            mounts.mounts.append(_bind(build_tools(plan.tools).folder, "/tools", "ro"))
        if plan.data is not None and plan.data.filesystem == HOST_FOLDER:
            data.mkdir()
            mounts.mounts.append(_bind(data, "/data", "rw"))
        elif plan.data is not None:
            mounts.loop_device = _open_loop_device(plan.data, data)
            mounts.mounts.append(
                {"destination": "/data", "type": plan.data.filesystem, "source": mounts.loop_device}
            )
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


def _open_loop_device(plan: DataPlan, path: Path) -> str:
    """Give a block device over a file that has no name any more, past the host's page cache where that goes."""
    try:
        make_disk(path, plan)
        direct = "on" if takes_direct_io(path) else "off"
        command = ["losetup", "--find", "--show", f"--direct-io={direct}", str(path)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        path.unlink(missing_ok=True)
    if outcome.returncode != 0:
        raise InstanceError(
            f"there is no loop device for a pod's disk: {outcome.stderr.strip()}",
            hint="losetup --list shows those in use",
        )
    return outcome.stdout.strip()


def check_instance(plan: InstancePlan, kernel: Path | None) -> None:
    """Raise a FreepageError that says what this host lacks for an instance's programs and file system."""
    if plan.tools is not None:
        find_program("mke2fs")
        build_tools(plan.tools)
    if plan.data is not None and plan.data.filesystem != HOST_FOLDER:
        find_maker(plan.data.filesystem)
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

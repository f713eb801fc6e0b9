"""The host as a target: VMs by QEMU, pods by an OCI runtime, all in one memory cgroup."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from freepage.aio import run_together
from freepage.errors import FreepageError, HostError
from freepage.image.guest import Guest, build_guest, disk_modules
from freepage.records import CARRIERS, NODE, Arm
from freepage.sampling.cgroupfs import read_node_cgroup
from freepage.sampling.procfs import read_host
from freepage.study.capacity import check_disk
from freepage.targets.local.accelerator import Accelerator, find_accelerator
from freepage.targets.local.cgroup import Cgroup, open_instance_cgroup, open_run_cgroup, set_limit
from freepage.targets.local.container import open_container
from freepage.targets.local.disks import check_instance, open_pod_mounts, open_vm_disks
from freepage.targets.local.facts import read_host_facts
from freepage.targets.local.qemu_command import VmShape, find_architecture
from freepage.targets.local.vm import open_vm
from freepage.targets.local.warmup import warm_up
from freepage.worker.build import find_compiler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from freepage.study.plan import InstancePlan, Trial
    from freepage.targets.base import Instance
    from freepage.targets.local.qemu_command import VmDisk

LOCAL = "local"
# runc first: crun refuses hosts that have controllers in both cgroup versions.
RUNTIMES = ("runc", "crun")
_PACKAGES_DEBIAN = "apt-get install qemu-system-x86 runc gcc libc6-dev util-linux fio e2fsprogs xfsprogs"
_PACKAGES_FEDORA = "dnf install qemu-system-x86-core runc gcc glibc-static util-linux fio e2fsprogs xfsprogs"


@dataclass
class LocalTarget:
    """The host that freepage runs on (targets.base.Place)."""

    guest: Guest
    accelerator: str
    accelerator_reason: str
    runtime: str | None
    cgroup: Cgroup | None
    node: str
    tools: dict[str, str]
    kernel: Path | None = None
    limit_bytes: int | None = None
    disk_guests: dict[tuple[str, ...], Guest] = field(default_factory=dict)
    name: str = LOCAL
    nodes_are_given: bool = False

    def read_facts(self) -> dict[str, object]:
        return read_host_facts()

    def check_disk(self, trials: Sequence[Trial], folder: Path) -> None:
        check_disk(trials, folder)

    async def warm_up(self, size_bytes: int) -> None:
        await warm_up(size_bytes)

    def find_obstacle(self, trial: Trial) -> FreepageError | None:
        """Say why this trial cannot run here, though others may: a program, a file system or a device is missing."""
        try:
            for plan in trial.instances:
                check_instance(plan, self.kernel)
            if trial.node_memory_bytes is not None:
                self._check_cgroup()
        except FreepageError as error:
            return error
        return None

    def set_node(self, memory_bytes: int | None) -> None:
        """Make the run's cgroup the node, with this limit; None for what the run was started with.

        Raises HostError where a limit is wanted and there is no cgroup to set it on.
        """
        if memory_bytes is not None:
            self._check_cgroup()
        limit = self.limit_bytes if memory_bytes is None else memory_bytes
        self.node = "host" if limit is None else "cgroup"
        if self.cgroup is not None:
            set_limit(self.cgroup, limit)

    @asynccontextmanager
    async def open_instances(self, trial: Trial, folder: Path) -> AsyncIterator[Sequence[Instance]]:
        """Start every instance of the trial, as many at once as there are CPUs, and end them all at the end."""
        slots = asyncio.Semaphore(max(1, len(os.sched_getaffinity(0))))
        stacks = [AsyncExitStack() for _ in trial.instances]

        async def start(plan: InstancePlan, stack: AsyncExitStack) -> Instance:
            async with slots:
                return await stack.enter_async_context(self._open(plan, folder))

        try:
            yield await run_together(*map(start, trial.instances, stacks))
        finally:
            ends = await asyncio.gather(*(stack.aclose() for stack in stacks), return_exceptions=True)
            for error in filter(None, ends):
                raise error

    def read_node(self) -> dict[str, dict[str, float | None]]:
        values = read_host()
        if self.node == "cgroup" and self.cgroup is not None:
            values |= read_node_cgroup(self.cgroup.folder, self.cgroup.version)
        return {NODE: values}

    @asynccontextmanager
    async def _open(self, plan: InstancePlan, folder: Path) -> AsyncIterator[Instance]:
        with open_instance_cgroup(self.cgroup, plan.name) as cgroup:
            if plan.carrier is Arm.POD:
                runtime = self.runtime or find_runtime()
                with open_pod_mounts(plan, folder) as mounts:
                    async with open_container(plan.name, runtime, folder, cgroup, mounts) as container:
                        mounts.release()
                        yield container
                return
            guest = await self._find_guest(plan)
            with open_vm_disks(plan, folder) as disks:
                async with open_vm(self._shape(plan, disks), guest, folder, cgroup) as vm:
                    yield vm

    def _shape(self, plan: InstancePlan, disks: tuple[VmDisk, ...]) -> VmShape:
        reporting = plan.carrier is Arm.VM_FPR
        shape = VmShape(plan.name, plan.vm_memory_bytes, plan.cpus, reporting, self.accelerator)
        return replace(shape, disks=disks)

    async def _find_guest(self, plan: InstancePlan) -> Guest:
        """Give the guest with the drivers an instance needs: most need none but those of every guest."""
        if plan.tools is None and plan.data is None:
            return self.guest
        modules = disk_modules(plan.data.filesystem if plan.data else None)
        if modules not in self.disk_guests:
            self.disk_guests[modules] = await asyncio.to_thread(build_guest, self.kernel, modules)
        return self.disk_guests[modules]

    def _check_cgroup(self) -> None:
        if self.cgroup is None:
            raise HostError(
                "a node of its own needs a writable memory cgroup controller", hint="run freepage as root"
            )


@asynccontextmanager
async def open_local_target(
    choice: str, kernel: Path | None, node_memory_bytes: int | None, arms: Sequence[Arm] = CARRIERS
) -> AsyncIterator[LocalTarget]:
    """Make this host ready for `arms`: programs, guest image, accelerator, cgroup. HostError says what is missing."""
    check_programs(arms)
    guest = await asyncio.to_thread(build_guest, kernel)
    tools = await asyncio.to_thread(read_tool_versions, guest)
    accelerator: Accelerator = await find_accelerator(choice, guest, tools["qemu"])
    with open_run_cgroup(node_memory_bytes) as cgroup:
        yield LocalTarget(
            guest=guest,
            accelerator=accelerator.name,
            accelerator_reason=accelerator.reason,
            runtime=_find_first(RUNTIMES),
            cgroup=cgroup,
            node="host" if node_memory_bytes is None else "cgroup",
            tools=tools,
            kernel=kernel,
            limit_bytes=node_memory_bytes,
        )


def check_programs(arms: Sequence[Arm] = CARRIERS) -> None:
    """Raise one HostError that names every program that is missing, and the command that installs them all."""
    if Arm.POD in arms and os.geteuid() != 0:
        raise HostError(
            "the arm pod starts containers, which needs root",
            hint="run freepage as root, or with --arms vm,vm-fpr",
        )
    missing = [
        name
        for name in (find_architecture(platform.machine()).program, "setpriv")
        if shutil.which(name) is None
    ]
    if Arm.POD in arms and _find_first(RUNTIMES) is None:
        missing.append(" or ".join(RUNTIMES))
    try:
        find_compiler()
    except HostError:
        missing.append("a C compiler")
    if missing:
        raise HostError(
            f"this host lacks {', '.join(missing)}",
            hint=f"{_PACKAGES_DEBIAN}\n        or: {_PACKAGES_FEDORA}",
        )


def find_runtime() -> str:
    """Find an OCI runtime; HostError names what installs one."""
    found = _find_first(RUNTIMES)
    if found is None:
        raise HostError(f"there is no OCI runtime ({' or '.join(RUNTIMES)})", hint="apt-get install runc")
    return found


def read_tool_versions(guest: Guest) -> dict[str, str]:
    """Read the versions of what takes part in a run."""
    programs = {
        "qemu": find_architecture(platform.machine()).program,
        "oci_runtime": _find_first(RUNTIMES),
        "fio": _find_first(("fio",)),
    }
    versions = {name: _version_of(program) for name, program in programs.items() if program}
    return versions | {"guest_kernel": guest.kernel_version, "guest_digest": guest.digest}


def _version_of(program: str) -> str:
    outcome = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    first = next(iter(outcome.stdout.splitlines()), "unknown")
    return re.sub(r"\s+", " ", first).strip()


def _find_first(names: tuple[str, ...]) -> str | None:
    return next((found for found in map(shutil.which, names) if found), None)

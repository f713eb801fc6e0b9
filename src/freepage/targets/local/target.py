"""The host as a target: VMs by QEMU, pods by an OCI runtime, all in one memory cgroup."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import subprocess
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from freepage.aio import open_together
from freepage.errors import FreepageError, HostError
from freepage.image.guest import Guest, build_guest, disk_modules
from freepage.records import CARRIERS, NODE, Arm
from freepage.sampling.cgroupfs import read_node_cgroup
from freepage.sampling.procfs import read_host
from freepage.targets.base import TargetFacts
from freepage.targets.local.accelerator import find_accelerator
from freepage.targets.local.cgroup import Cgroup, open_instance_cgroup, open_run_cgroup, set_limit
from freepage.targets.local.container import open_container
from freepage.targets.local.disks import check_instance, open_pod_mounts, open_vm_disks
from freepage.targets.local.facts import read_host_facts
from freepage.targets.local.qemu_command import VmShape, find_architecture
from freepage.targets.local.vm import open_vm
from freepage.worker.build import find_compiler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from freepage.metrics import MetricValues
    from freepage.study.plan import InstancePlan, Trial
    from freepage.targets.base import Accelerator, Instance
    from freepage.targets.local.choices import LocalChoices
    from freepage.targets.local.qemu_command import VmDisk

NAME = "local"
# runc first: crun refuses hosts that have controllers in both cgroup versions (docs/decisions/002-guest-and-vm.md).
RUNTIMES = ("runc", "crun")
_PACKAGES_DEBIAN = "apt-get install qemu-system-x86 runc gcc libc6-dev util-linux fio e2fsprogs xfsprogs"
_PACKAGES_FEDORA = "dnf install qemu-system-x86-core runc gcc glibc-static util-linux fio e2fsprogs xfsprogs"


@dataclass
class LocalTarget:
    """The host that freepage runs on (targets.base.Target)."""

    facts: TargetFacts
    guest: Guest
    runtime: str | None
    cgroup: Cgroup | None
    choices: LocalChoices
    disk_guests: dict[tuple[str, ...], Guest] = field(default_factory=dict)

    def find_obstacle(self, trial: Trial) -> FreepageError | None:
        """Return why this trial cannot run here, though others may: a program, a file system or a device is missing."""
        try:
            for plan in trial.instances:
                check_instance(plan, self.choices.kernel)
            if trial.node_memory_bytes is not None:
                self._require_cgroup()
        except FreepageError as error:
            return error
        return None

    @contextmanager
    def open_node(self, trial: Trial) -> Iterator[Callable[[], dict[str, MetricValues]]]:
        """Make the run's cgroup the node where the trial or the run has a limit; the run's own limit stands again at the end.

        Raises HostError where a limit is wanted and there is no cgroup to set it on.
        """
        limit_bytes = trial.node_memory_bytes or self.choices.node_memory_bytes
        if limit_bytes is None:
            yield lambda: {NODE: read_host()}
            return
        cgroup = self._require_cgroup()
        set_limit(cgroup, limit_bytes)
        try:
            yield lambda: {NODE: read_host() | read_node_cgroup(cgroup.folder, cgroup.version)}
        finally:
            set_limit(cgroup, self.choices.node_memory_bytes)

    @asynccontextmanager
    async def open_instances(self, trial: Trial, folder: Path) -> AsyncIterator[Sequence[Instance]]:
        """Start every instance of the trial, as many at once as there are CPUs, and end them all at the end."""
        slots = asyncio.Semaphore(max(1, len(os.sched_getaffinity(0))))
        async with open_together([self._open(plan, folder) for plan in trial.instances], slots) as instances:
            yield instances

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
        shape = VmShape(plan.name, plan.vm_memory_bytes, plan.cpus, reporting, self.facts.accelerator.name)
        return replace(shape, disks=disks)

    async def _find_guest(self, plan: InstancePlan) -> Guest:
        """Return the guest with the drivers an instance needs: most need none but those of every guest."""
        if plan.tools is None and plan.data is None:
            return self.guest
        modules = disk_modules(plan.data.filesystem if plan.data else None)
        if modules not in self.disk_guests:
            self.disk_guests[modules] = await asyncio.to_thread(build_guest, self.choices.kernel, modules)
        return self.disk_guests[modules]

    def _require_cgroup(self) -> Cgroup:
        if self.cgroup is None:
            raise HostError(
                "a node of its own needs a writable memory cgroup controller", hint="run freepage as root"
            )
        return self.cgroup


@asynccontextmanager
async def open_local_target(
    choices: LocalChoices, arms: Sequence[Arm] = CARRIERS
) -> AsyncIterator[LocalTarget]:
    """Make this host ready for `arms`: programs, guest image, accelerator, cgroup; HostError names what is missing."""
    check_programs(arms)
    guest = await asyncio.to_thread(build_guest, choices.kernel)
    tools = await asyncio.to_thread(read_tool_versions, guest)
    accelerator = await find_accelerator(choices.accelerator, guest, tools["qemu"])
    facts = _build_facts(choices, accelerator, tools)
    with open_run_cgroup(choices.node_memory_bytes) as cgroup:
        yield LocalTarget(facts, guest, _find_first(RUNTIMES), cgroup, choices)


def _build_facts(choices: LocalChoices, accelerator: Accelerator, tools: dict[str, str]) -> TargetFacts:
    return TargetFacts(
        name=NAME,
        noun="host",
        title="",
        node="host" if choices.node_memory_bytes is None else "cgroup",
        node_is_fixed=False,
        accelerator=accelerator,
        tools=tools,
        conditions=read_host_facts(),
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

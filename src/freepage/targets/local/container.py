"""One container on this host, run by crun or runc from a bundle that holds the worker and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage.errors import InstanceError
from freepage.image.tools import USR_MERGED_FOLDERS
from freepage.records import Evidence
from freepage.sampling.instances import parse_pod, read_family
from freepage.sampling.procfs import read_text
from freepage.targets.local.process import end_process, read_tail, start_process
from freepage.worker.build import build_worker
from freepage.worker.channel import open_process_channel
from freepage.worker.client import WorkerClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from freepage.metrics import MetricValues
    from freepage.targets.local.cgroup import Cgroup
    from freepage.targets.local.disks import PodMounts

READY_DEADLINE_S = 30.0
_MOUNT_ROOT = 'mount --rbind / "$1" && d=$1 && shift && chroot "$d" "$@"; s=$?; umount -l "$d"; exit $s'


@dataclass
class Container:
    """A container whose worker is ready (targets.base.Instance)."""

    name: str
    worker: WorkerClient
    pid: int
    cgroup: Cgroup | None

    def read_usage(self) -> MetricValues:
        return parse_pod(read_family(self.pid), self.cgroup.read() if self.cgroup else None)

    async def read_guest(self) -> MetricValues:
        return {}

    async def read_evidence(self) -> Evidence:
        return Evidence(self.name, memory_backend="anonymous")


@asynccontextmanager
async def open_container(
    name: str, runtime: str, folder: Path, cgroup: Cgroup | None, mounts: PodMounts | None = None
) -> AsyncIterator[Container]:
    """Start a container to its worker's ready and remove it at the end; what the runtime prints goes to folder."""
    errors = folder / f"console-{name}.log"
    identity = f"freepage-{os.getpid()}-{name}"
    async with contextlib.AsyncExitStack() as stack:
        bundle = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freepage-bundle-")))
        write_bundle(bundle, name, cgroup, mounts)
        pid_file = bundle / "pid"
        stack.push_async_callback(_delete, runtime, identity, bundle)
        command = [runtime, *_runtime_options(runtime, bundle), "run", "--bundle", str(bundle)]
        entered = cgroup if Path(runtime).name == "crun" else None
        root = stack.enter_context(open_mounted_root())
        process = await start_process(
            [*root, *command, "--pid-file", str(pid_file), identity], entered, errors=errors, pipes=True
        )
        stack.push_async_callback(end_process, process)
        client = WorkerClient(open_process_channel(process), name)
        stack.push_async_callback(client.close)
        try:
            await client.wait_ready(READY_DEADLINE_S)
            async with asyncio.timeout(READY_DEADLINE_S):
                pid = await _read_pid(pid_file)
        except (InstanceError, TimeoutError) as error:
            raise InstanceError(
                f"{name}: {Path(runtime).name} did not start the container",
                hint=read_tail(errors) or str(error),
            ) from error
        yield Container(name, client, pid, cgroup)


@contextmanager
def open_mounted_root() -> Iterator[list[str]]:
    """Yield the words before a runtime's command that make its "/" a mount point, as runc needs.

    In a chroot it may be none; then the runtime gets a mount namespace of its own with "/" mounted once more. Whoever
    installs freepage into a root file system of its own and runs it there by chroot needs this: build systems, and the
    test of a first installation.
    """
    if is_root_mounted(read_text(Path("/proc/self/mountinfo"))):
        yield []
        return
    mounted = tempfile.mkdtemp(prefix="freepage-root-")
    try:
        yield [
            "unshare",
            "--mount",
            "--propagation",
            "unchanged",
            "--",
            "/bin/sh",
            "-c",
            _MOUNT_ROOT,
            "sh",
            mounted,
        ]
    finally:
        # Never a recursive removal: what may be mounted here is everything.
        with contextlib.suppress(OSError):
            Path(mounted).rmdir()


def is_root_mounted(mountinfo: str) -> bool:
    """Return whether "/" is a mount point, from /proc/self/mountinfo (a chroot into a plain folder is not listed)."""
    return any(line.split()[4:5] == ["/"] for line in mountinfo.splitlines())


def write_bundle(bundle: Path, name: str, cgroup: Cgroup | None, mounts: PodMounts | None = None) -> None:
    """Write an OCI bundle: a root file system with the worker, and config.json."""
    root = bundle / "rootfs"
    for path in ("proc", "dev", "sys", "tmp", *(m["destination"].strip("/") for m in _mounts_of(mounts))):
        (root / path).mkdir(parents=True, exist_ok=True)
    if mounts is not None and mounts.has_tools:
        for folder in (*USR_MERGED_FOLDERS, "usr"):
            (root / folder).symlink_to(f"tools/{folder}")
    shutil.copy(build_worker(), root / "worker")
    config = build_config(name, cgroup, mounts)
    (bundle / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _mounts_of(mounts: PodMounts | None) -> list[dict[str, Any]]:
    return [] if mounts is None else mounts.mounts


def build_config(name: str, cgroup: Cgroup | None, mounts: PodMounts | None = None) -> dict[str, object]:
    """Return the OCI runtime configuration: no capabilities, no network, nothing writable but /tmp and /data."""
    namespaces = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]
    linux: dict[str, object] = {"namespaces": namespaces}
    if cgroup is not None:
        linux["cgroupsPath"] = f"/{cgroup.folder.parent.name}/{cgroup.folder.name}"
    return {
        "ociVersion": "1.0.2",
        "hostname": name,
        "root": {"path": "rootfs", "readonly": True},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["/worker"],
            "env": ["PATH=/"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},  # noqa: S108 - the container's own
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},  # noqa: S108 - the container's own
            *_mounts_of(mounts),
        ],
        "linux": linux,
    }


def _runtime_options(runtime: str, bundle: Path) -> list[str]:
    """Keep the runtime's state in the bundle; crun stays in the cgroup it is started in, runc enters it itself."""
    state = ["--root", str(bundle / "state")]
    return [*state, "--cgroup-manager=disabled"] if Path(runtime).name == "crun" else state


async def _delete(runtime: str, identity: str, bundle: Path) -> None:
    """Remove what the runtime keeps of a container that may have ended already."""
    options = _runtime_options(runtime, bundle)
    process = await asyncio.create_subprocess_exec(
        runtime,
        *options,
        "delete",
        "--force",
        identity,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await end_process(process)


async def _read_pid(path: Path) -> int:
    """Read the container's process id, which the runtime writes at about the time the worker greets."""
    while not (text := read_text(path).strip()).isdigit():  # noqa: ASYNC110 - another program writes it
        await asyncio.sleep(0.005)
    return int(text)

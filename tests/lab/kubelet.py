"""A node of the test cluster: runs its pods, and lets the API server reach into them (seams.Kubelet)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.sampling.procfs import parse_meminfo, read_text
from lab.events import set_condition
from lab.logs import LogQuery
from lab.pods import PODS, PodRunner
from lab.seams import NotStartedError
from lab.streams import ConsoleStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from freepage.targets.local.cgroup import Cgroup
    from lab.container import Container
    from lab.images import Images
    from lab.seams import Object, Store
    from lab.streams import AttachedStream, ExecStream

NODES = ("", "nodes")
MOST_PODS = 250


class Node:
    """One node; its pods' cgroups are made below `cgroup`."""

    def __init__(
        self, name: str, address: str, store: Store, images: Images, folder: Path, cgroup: Cgroup
    ) -> None:
        self.name = name
        self.address = address
        self.store = store
        self.images = images
        self.folder = folder
        self.cgroup = f"/{cgroup.folder.name}/{name}"
        self.cgroup_version = cgroup.version
        self.state = folder / "runc"
        self.pods: dict[str, PodRunner] = {}  # by uid: one name may be taken again while the old pod ends
        self.gone = False
        self._consoles: dict[tuple[str, str], ConsoleStream] = {}
        folder.mkdir(parents=True)

    async def follow(self) -> None:
        """Run and end pods as the store says until cancelled."""
        async for change, pod in self.store.watch(PODS):
            if pod["spec"].get("nodeName") == self.name and not self.gone:
                self._follow_pod(change, pod)

    def _follow_pod(self, change: str, pod: Object) -> None:
        metadata = pod["metadata"]
        uid = metadata["uid"]
        if change == "DELETED" or metadata.get("deletionTimestamp"):
            grace_s = 0 if change == "DELETED" else metadata.get("deletionGracePeriodSeconds", 30)
            if uid in self.pods:
                self.pods[uid].end(grace_s)
            elif self.knows(pod):
                self.store.delete(PODS, metadata["namespace"], metadata["name"])
        elif uid not in self.pods and self.knows(pod):
            self.pods[uid] = PodRunner(self, pod)
            self.pods[uid].task.add_done_callback(lambda task: self._forget(uid, task))

    def _forget(self, uid: str, task: asyncio.Task[None]) -> None:
        del self.pods[uid]
        # A failure of the test cluster's own is to be seen.
        if not task.cancelled():
            task.result()

    async def end(self) -> None:
        """End all pods at once, as a node that is switched off."""
        self.gone = True
        runners = list(self.pods.values())
        for runner in runners:
            runner.end(0)
        await asyncio.gather(*(runner.task for runner in runners), return_exceptions=True)

    def knows(self, pod: Object) -> bool:
        """Return whether a pod is still the one the store has; never on a node that is gone."""
        metadata = pod["metadata"]
        try:
            found = self.store.get(PODS, metadata["namespace"], metadata["name"])
        except KeyError:
            return False
        return found["metadata"]["uid"] == metadata["uid"] and not self.gone

    def find(self, namespace: str, pod: str) -> PodRunner:
        """Return a pod of this node; KeyError, ConnectionError."""
        if self.gone:
            raise ConnectionError(f"dial tcp {self.address}:10250: i/o timeout")
        return self._newest(lambda metadata: (metadata["namespace"], metadata["name"]) == (namespace, pod))

    def find_launcher(self, namespace: str, instance: str) -> PodRunner:
        """Return the pod in which a VM of this node runs; KeyError."""
        if self.gone:
            raise ConnectionError(f"dial tcp {self.address}:8186: i/o timeout")
        asked = (namespace, instance)
        return self._newest(
            lambda m: (m["namespace"], m.get("annotations", {}).get("kubevirt.io/domain")) == asked
        )

    def _newest(self, fits: Callable[[Object], bool]) -> PodRunner:
        found = [runner for runner in self.pods.values() if fits(runner.pod["metadata"])]
        if not found:
            raise KeyError
        return found[-1]

    def read_log(self, namespace: str, pod: str, container: str, **query) -> AsyncIterator[bytes]:
        runner = self.find(namespace, pod)
        reason = runner.waiting_reason(container)
        if container not in runner.logs:
            raise NotStartedError(f'container "{container}" in pod "{pod}" is waiting to start: {reason}')
        return runner.logs[container].read(LogQuery(**query))

    async def attach(self, namespace: str, pod: str, container: str) -> AttachedStream:
        return self._running(namespace, pod, container).attach()

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool
    ) -> ExecStream:
        return await self._running(namespace, pod, container).execute(command, stdin=stdin)

    async def open_console(self, namespace: str, instance: str) -> ConsoleStream:
        """Open a VM's serial console; one that was open before ends."""
        runner = self.find_launcher(namespace, instance)
        before = self._consoles.pop((namespace, instance), None)
        if before is not None:
            await before.close()
        owner = runner.pod["metadata"]["labels"]["kubevirt.io/created-by"]
        try:
            streams = await open_socket(runner.volume_folder("private") / owner / "virt-serial0")
        except OSError as error:
            raise NotStartedError(f"the serial console of {instance} is not there: {error}") from error
        self._consoles[namespace, instance] = console = ConsoleStream(*streams)
        return console

    def _running(self, namespace: str, pod: str, container: str) -> Container:
        runner = self.find(namespace, pod)
        reason = runner.waiting_reason(container)
        found = runner.containers.get(container)
        if found is None or found.ended.is_set():
            raise NotStartedError(f'container "{container}" in pod "{pod}" does not run: {reason}')
        return found

    def remove_cgroups(self, path: str) -> None:
        """Remove an empty cgroup below every controller."""
        roots = Path("/sys/fs/cgroup")
        for folder in (*roots.glob(f"*{path}"), roots / path.strip("/")):
            with contextlib.suppress(OSError):
                folder.rmdir()


async def open_socket(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a unix socket, however long its path is."""
    folder = os.open(path.parent, os.O_PATH)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def build_node(name: str, address: str, allocatable_bytes: int) -> Object:
    """Return a node's object; `allocatable_bytes` is its share of this host."""
    memory = parse_meminfo(read_text(Path("/proc/meminfo")))["mem_total_bytes"]
    amounts = {"cpu": str(os.cpu_count()), "pods": str(MOST_PODS), "ephemeral-storage": "100Gi"}
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    status: Object = {
        "capacity": {**amounts, "memory": f"{int(memory or 0) // 1024}Ki"},
        "allocatable": {**amounts, "memory": f"{allocatable_bytes // 1024}Ki"},
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "nodeInfo": {
            "architecture": architecture,
            "operatingSystem": "linux",
            "kernelVersion": platform.release(),
            "osImage": "test cluster",
            "containerRuntimeVersion": "containerd://1.7.0",
            "kubeletVersion": "v1.31.2",
            "kubeProxyVersion": "v1.31.2",
            "bootID": read_text(Path("/proc/sys/kernel/random/boot_id")).strip(),
            "machineID": "",
            "systemUUID": "",
        },
    }
    for kind in ("MemoryPressure", "DiskPressure", "PIDPressure"):
        set_condition(status, kind, value=False, reason=f"KubeletHasNo{kind}")
    set_condition(
        status, "Ready", value=True, reason="KubeletReady", message="kubelet is posting ready status"
    )
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": architecture,
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/worker": "",
        "kubevirt.io/schedulable": "true",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": status,
    }

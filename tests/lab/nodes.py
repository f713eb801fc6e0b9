"""The nodes of the test cluster, with all that makes things happen there."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.image.guest import build_guest
from freepage.sampling.procfs import parse_meminfo, read_text
from freepage.targets.local.accelerator import find_accelerator
from freepage.targets.local.cgroup import open_run_cgroup
from freepage.targets.local.target import read_tool_versions
from freepage.units import GIB
from lab.container import inheriting_orphans
from lab.events import set_condition
from lab.exporter import open_exporter
from lab.images import Images
from lab.kubelet import NODES, Node, build_node
from lab.kubevirt import KUBEVIRTS
from lab.launcher_image import build_launcher_image
from lab.prometheus import open_prometheus
from lab.registry import open_registry
from lab.scheduler import schedule
from lab.virt import Virt
from lab.work import run_alongside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lab.store import MemoryStore

GUARD = Path(__file__).with_name("guard.sh")
# What of the host no pod gets.
RESERVED_BYTES = 2 * GIB


@dataclass
class Nodes:
    """The addresses of the registry (host:port, plain HTTP), Prometheus (None where it was not asked for)."""

    store: MemoryStore
    nodes: dict[str, Node]
    registry: str
    prometheus: str | None

    async def lose(self, name: str) -> None:
        """Switch a node off: its containers are gone, and nobody says so but the node's own condition."""
        await self.nodes[name].end()
        node = self.store.get(NODES, "", name)
        words = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
        set_condition(node["status"], "Ready", "Unknown", *words)
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        self.store.merge(NODES, "", name, {"status": node["status"], "spec": {"taints": [taint]}})


@asynccontextmanager
async def run_nodes(
    store: MemoryStore, folder: Path, names: list[str], *, prometheus: bool = True
) -> AsyncIterator[Nodes]:
    """Run nodes (store.kubelets), a registry, the scheduler, KubeVirt and Prometheus; nothing of them is left after."""
    _allow_many_files()
    async with AsyncExitStack() as stack:
        stack.enter_context(inheriting_orphans())
        stack.enter_context(_guarded())
        cgroup = stack.enter_context(open_run_cgroup(None))
        if cgroup is None:
            raise RuntimeError("the test cluster needs a writable memory cgroup controller")
        accelerator = await _find_accelerator()
        if accelerator != "kvm":
            _say_that_guests_are_emulated(store)
        registry = await stack.enter_async_context(open_registry(folder / "registry"))
        images = Images(folder / "images", registry, build_launcher_image(folder / "launcher"))
        nodes = {
            name: Node(name, f"192.168.0.{number}", store, images, folder / name, cgroup)
            for number, name in enumerate(names, 1)
        }
        _register(store, nodes)
        for node in nodes.values():
            stack.push_async_callback(node.end)
        metrics = None
        if prometheus:
            exporter = await stack.enter_async_context(open_exporter(store, nodes))
            metrics = await stack.enter_async_context(open_prometheus(folder / "prometheus", exporter, names))
        virt = Virt(store, nodes, accelerator)
        await stack.enter_async_context(
            run_alongside(schedule(store), virt.run(), *(node.follow() for node in nodes.values()))
        )
        yield Nodes(store, nodes, registry, metrics)


@contextmanager
def _guarded() -> Iterator[None]:
    """Have what runs in containers end with this process, however that ends."""
    command = ["/bin/sh", str(GUARD), str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


def _allow_many_files() -> None:
    """Have room for the streams of some hundred containers."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _find_accelerator() -> str:
    """Find what executes guests here, as freepage itself does."""
    guest = await asyncio.to_thread(build_guest)
    versions = await asyncio.to_thread(read_tool_versions, guest)
    return (await find_accelerator("auto", guest, versions["qemu"])).name


def _say_that_guests_are_emulated(store: MemoryStore) -> None:
    """Set what an administrator sets where KVM is missing, and what freepage reads how guests are executed from."""
    developer = {"developerConfiguration": {"useEmulation": True}}
    for kubevirt in store.list(KUBEVIRTS):
        key = kubevirt["metadata"]["namespace"], kubevirt["metadata"]["name"]
        store.merge(KUBEVIRTS, *key, {"spec": {"configuration": developer}})


def _register(store: MemoryStore, nodes: dict[str, Node]) -> None:
    memory = parse_meminfo(read_text(Path("/proc/meminfo")))["mem_total_bytes"] or 0
    share = int((memory - RESERVED_BYTES) / len(nodes))
    for name, node in nodes.items():
        store.create(NODES, build_node(name, node.address, share))
        store.kubelets[name] = node

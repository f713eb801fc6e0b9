"""The memory of a cluster's VMs, as KubeVirt exports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.prometheus.client import open_prometheus

if TYPE_CHECKING:
    from freepage.prometheus.client import Settings

# On the host; in the guest: MemTotal and MemFree.
VM_MEMORY = ("resident", "available", "unused")


async def read_vm_memory(settings: Settings) -> dict[tuple[str, str], dict[str, float | None]]:
    """Read the memory of every VM KubeVirt exports, now: bytes by (namespace, name), then by the names in VM_MEMORY.

    One query, however many VMs there are.
    """
    query = f'{{__name__=~"kubevirt_vmi_memory_({"|".join(VM_MEMORY)})_bytes"}}'
    async with open_prometheus(settings) as client:
        found = await client.query(query)
    memory: dict[tuple[str, str], dict[str, float | None]] = {}
    for series in found:
        labels = series.labels
        vm = labels.get("namespace", ""), labels.get("name", "")
        name = labels["__name__"].removeprefix("kubevirt_vmi_memory_").removesuffix("_bytes")
        memory.setdefault(vm, {})[name] = series.points[-1][1]
    return memory

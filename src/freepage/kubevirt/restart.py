"""Restarting a VM, so that a changed setting takes effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.kube.errors import ClusterError
from freepage.kube.resources import VMS, dig, name_of, namespace_of
from freepage.kube.waiting import poll
from freepage.kubevirt.installation import full_name
from freepage.kubevirt.vms import find_vmi

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object

RESTART_DEADLINE_S = 600.0
# Those of KubeVirt's run strategies with which virt-api refuses a restart.
_WITHOUT_RESTART = frozenset({"Halted", "Once"})


def find_obstacle(vm: Object) -> str | None:
    """Return why KubeVirt would refuse to restart a VM, by its VirtualMachine; None where nothing says so."""
    running = dig(vm, "spec", "running")
    strategy = dig(vm, "spec", "runStrategy") or {True: "Always", False: "Halted"}.get(running)
    if strategy not in _WITHOUT_RESTART:
        return None
    return f"KubeVirt restarts no VM whose run strategy is {strategy}"


async def restart_vm(api: ClusterApi, instance: Object, deadline_s: float = RESTART_DEADLINE_S) -> Object:
    """Restart a VM by its VirtualMachine and return its new instance once it runs; ClusterError after the deadline."""
    name, namespace = name_of(instance), namespace_of(instance)
    await api.put_subresource(VMS, name, "restart", namespace=namespace, body={})

    async def find_successor() -> Object | None:
        now = await find_vmi(api, namespace, name)
        return now if _is_successor(now, instance) else None

    found = await poll(find_successor, deadline_s)
    if found is None:
        last = await find_vmi(api, namespace, name)
        raise ClusterError(
            f"VM {full_name(instance)} does not run again {deadline_s:.0f} s after its restart: {_describe(last)}",
            hint=f"kubectl describe vm,vmi {name} -n {namespace}",
        )
    return found


def _is_successor(now: Object | None, before: Object) -> bool:
    other = bool(dig(now, "metadata", "uid") != dig(before, "metadata", "uid"))
    return other and dig(now, "status", "phase") == "Running"


def _describe(instance: Object | None) -> str:
    """Describe the state of a VM that does not run: its phase, and its conditions that are not true."""
    if instance is None:
        return "it has not been created again"
    conditions = [
        f"{c.get('type')}: {c.get('message') or c.get('reason')}"
        for c in dig(instance, "status", "conditions") or ()
        if c.get("status") != "True" and (c.get("message") or c.get("reason"))
    ]
    return "; ".join([f"phase {dig(instance, 'status', 'phase')}", *conditions])

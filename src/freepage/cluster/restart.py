"""Restarting a VM so that a changed setting takes effect, and proving by its new domain XML that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cluster.errors import ClusterError, NotFoundError
from freepage.cluster.installation import full_name
from freepage.cluster.launchers import list_launchers, see_reporting
from freepage.cluster.resources import MACHINE_INSTANCES, MACHINES, dig, name_of, namespace_of
from freepage.cluster.waiting import poll

if TYPE_CHECKING:
    from freepage.cluster.api import ClusterApi
    from freepage.cluster.launchers import Sighting
    from freepage.cluster.resources import Object

RESTART_DEADLINE_S = 600.0
# KubeVirt says that a VM runs a moment before its launcher's log can be read.
_SEEN_DEADLINE_S = 30.0


async def restart_machine(
    api: ClusterApi, instance: Object, deadline_s: float = RESTART_DEADLINE_S
) -> Object:
    """Restart a VM by its VirtualMachine and give its new instance once it runs; ClusterError after the deadline."""
    name, namespace = name_of(instance), namespace_of(instance)
    await api.put_subresource(MACHINES, name, "restart", namespace=namespace, body={})

    async def find_successor() -> Object | None:
        now = await _find_instance(api, name, namespace)
        return now if _is_successor(now, instance) else None

    found = await poll(find_successor, deadline_s)
    if found is None:
        last = await _find_instance(api, name, namespace)
        raise ClusterError(
            f"VM {full_name(instance)} does not run again {deadline_s:.0f} s after its restart: {_describe(last)}",
            hint=f"kubectl describe vm,vmi {name} -n {namespace}",
        )
    return found


def _is_successor(now: Object | None, before: Object) -> bool:
    other = bool(dig(now, "metadata", "uid") != dig(before, "metadata", "uid"))
    return other and dig(now, "status", "phase") == "Running"


async def _find_instance(api: ClusterApi, name: str, namespace: str) -> Object | None:
    try:
        return await api.get(MACHINE_INSTANCES, name, namespace)
    except NotFoundError:
        return None


def _describe(instance: Object | None) -> str:
    """Say how far a VM got: its phase, and the conditions that are not as they should be."""
    if instance is None:
        return "it has not been created again"
    conditions = [
        f"{c.get('type')}: {c.get('message') or c.get('reason')}"
        for c in dig(instance, "status", "conditions") or ()
        if c.get("status") != "True" and (c.get("message") or c.get("reason"))
    ]
    return "; ".join([f"phase {dig(instance, 'status', 'phase')}", *conditions])


async def see_started(api: ClusterApi, instance: Object, *, may_exec: bool) -> Sighting:
    """See the real state of a VM that has just started."""

    async def see() -> Sighting:
        launchers = await list_launchers(api, namespace_of(instance))
        return await see_reporting(api, instance, launchers, may_exec=may_exec)

    async def see_surely() -> Sighting | None:
        seen = await see()
        return seen if seen.reporting is not None else None

    return await poll(see_surely, _SEEN_DEADLINE_S) or await see()

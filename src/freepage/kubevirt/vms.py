"""VMs as a cluster has them: the VirtualMachine, and its instance where it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.fpr.objects import has_ended
from freepage.kube.errors import NotFoundError
from freepage.kube.resources import MANAGED_BY, MANAGER, VMIS, VMS, dig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object

# Namespace and name.
VmName = tuple[str, str]


async def list_running(api: ClusterApi, namespace: str | None = None) -> list[Object]:
    """List the instances that run or are about to."""
    return [i for i in await api.list(VMIS, namespace) if not has_ended(i)]


def is_ours(instance: Object) -> bool:
    """Return whether a VM belongs to a run of freepage's."""
    return bool(dig(instance, "metadata", "labels", MANAGED_BY) == MANAGER)


async def find_vmi(api: ClusterApi, namespace: str, name: str) -> Object | None:
    """Find a VM's instance; None where it does not run."""
    try:
        found = await api.get(VMIS, name, namespace)
    except NotFoundError:
        return None
    return None if has_ended(found) else found


async def find_vm(api: ClusterApi, namespace: str, name: str) -> tuple[Object, Object | None]:
    """Find a VirtualMachine and its instance; NotFoundError says what is there instead."""
    instance = await find_vmi(api, namespace, name)
    try:
        return await api.get(VMS, name, namespace), instance
    except NotFoundError as error:
        if instance is None:
            raise NotFoundError(
                f"there is no VM {namespace}/{name}", hint=f"kubectl get vm,vmi -n {namespace}"
            ) from error
        raise NotFoundError(
            f"{namespace}/{name} is a VirtualMachineInstance without a VirtualMachine: it cannot be changed while it runs",
            hint="delete it and create it again, with or without the annotation",
        ) from error


def list_names(names: Sequence[str], most: int = 5) -> str:
    """Return a count of VMs in words with the first few names: "7 VMs (a/b, c/d and 5 more)"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} VM{'' if len(names) == 1 else 's'} ({', '.join(names[:most])}{more})"

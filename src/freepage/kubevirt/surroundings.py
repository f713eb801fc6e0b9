"""All of a cluster that decides beside its VMs, read as far as this user may: permitted devices, instance types and preferences."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.fpr.eligibility import Surroundings
from freepage.fpr.instance_types import TypeCatalog, read_references
from freepage.fpr.passthrough import PermittedDevices, read_permitted
from freepage.kube.errors import ForbiddenError
from freepage.kube.resources import (
    CONTROLLER_REVISIONS,
    INSTANCE_TYPE_KINDS,
    INSTANCE_TYPES_GROUP,
    name_of,
    namespace_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from freepage.fpr.instance_types import TypeReference
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object, Resource

# KubeVirt's copies of instance types and preferences carry it; those of other controllers are not listed.
_COPIED_FROM = "instancetype.kubevirt.io/object-name"


async def read_surroundings(
    api: ClusterApi, vms: Iterable[Object], *, kubevirt: Object | None = None, namespace: str | None = None
) -> Surroundings:
    """Read what the VMs name, of one namespace or of all; nothing is asked where they name nothing.

    What this user may not list is missing, and noted as such.
    """
    devices = PermittedDevices() if kubevirt is None else read_permitted([kubevirt])
    references = [reference for vm in vms for reference in read_references(vm)]
    return Surroundings(
        devices, await _read_types(api, references, namespace) if references else TypeCatalog()
    )


async def _read_types(
    api: ClusterApi, references: Sequence[TypeReference], namespace: str | None
) -> TypeCatalog:
    versions = await api.served_versions(INSTANCE_TYPES_GROUP)
    if not versions:
        return TypeCatalog()
    named = {reference.kind for reference in references}
    resources = [replace(r, version=versions[0]) for r in INSTANCE_TYPE_KINDS if r.kind in named]
    catalog = await _list_all(api, resources, namespace)
    # Most copies are of an object as it still is, which tells as much.
    if all(catalog.find_spec(r) is not None for r in references if r.revision is not None):
        return catalog
    copies = await _list_all(api, [CONTROLLER_REVISIONS], namespace, labels=_COPIED_FROM)
    return TypeCatalog({**catalog.objects, **copies.objects}, catalog.denied | copies.denied)


async def _list_all(
    api: ClusterApi, resources: Sequence[Resource], namespace: str | None, labels: str | None = None
) -> TypeCatalog:
    async def list_one(resource: Resource) -> list[Object] | None:
        try:
            return await api.list(resource, namespace if resource.namespaced else None, labels=labels)
        except ForbiddenError:
            return None

    listed = dict(
        zip(
            (r.kind for r in resources),
            await asyncio.gather(*(list_one(r) for r in resources)),
            strict=True,
        )
    )
    objects = {(kind, namespace_of(o), name_of(o)): o for kind, found in listed.items() for o in found or ()}
    return TypeCatalog(objects, frozenset(kind for kind, found in listed.items() if found is None))

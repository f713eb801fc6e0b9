"""The objects that runs have left in a namespace, found by labels alone, and their removal."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freepage.kube.errors import ClusterError, NotFoundError
from freepage.kube.resources import (
    CONFIG_MAPS,
    MANAGED_BY,
    MANAGER,
    PODS,
    ROLE_LABEL,
    RUN_LABEL,
    SECRETS,
    VMIS,
    dig,
    name_of,
)
from freepage.kube.retries import may_retry
from freepage.kube.waiting import poll
from freepage.kubevirt.launchers import LAUNCHER, LAUNCHER_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object, Resource

ALIVE = "freepage/alive"
OWNER_ROLE = "owner"
# A run that is not over renews its sign of life four times as often.
ALIVE_FOR_S = 120.0
GONE_DEADLINE_S = 180.0
# In the order in which they are removed.
_RUNNING = (VMIS, PODS)
_STORED = (SECRETS, CONFIG_MAPS)
RESOURCES = (*_RUNNING, *_STORED)


@dataclass(frozen=True)
class Leftover:
    """One object of a run; `owner` is the run's ConfigMap, removed last."""

    resource: Resource
    name: str
    owner: bool


@dataclass(frozen=True)
class Leftovers:
    """The objects of one run, in the order of their removal; silent_s: since its last sign of life (None: there is none)."""

    run: str
    objects: tuple[Leftover, ...]
    silent_s: float | None

    @property
    def alive(self) -> bool:
        return self.silent_s is not None and self.silent_s < ALIVE_FOR_S


async def find_leftovers(api: ClusterApi, namespace: str, run: str | None = None) -> list[Leftovers]:
    """Return the objects of every run in a namespace, or of one, by name of the run."""
    objects: dict[str, list[Leftover]] = defaultdict(list)
    silent_s: dict[str, float | None] = {}
    for resource in RESOURCES:
        for obj in await _list(api, resource, namespace, run):
            name = str(dig(obj, "metadata", "labels", RUN_LABEL) or "")
            leftover = Leftover(
                resource, name_of(obj), dig(obj, "metadata", "labels", ROLE_LABEL) == OWNER_ROLE
            )
            if leftover.owner:
                silent_s[name] = _silent_s(obj)
            # A launcher carries its VM's labels, and goes with it.
            if dig(obj, "metadata", "labels", LAUNCHER_KEY) != LAUNCHER:
                objects[name].append(leftover)
    return [
        Leftovers(name, tuple(sorted(found, key=lambda o: o.owner)), silent_s.get(name))
        for name, found in sorted(objects.items())
    ]


async def _list(api: ClusterApi, resource: Resource, namespace: str, run: str | None) -> list[Object]:
    """List a run's objects of one resource; a cluster without KubeVirt has no VMs."""
    labels = f"{MANAGED_BY}={MANAGER}" if run is None else f"{MANAGED_BY}={MANAGER},{RUN_LABEL}={run}"
    try:
        return await api.list(resource, namespace, labels=labels)
    except NotFoundError:
        return []


def _silent_s(owner: Object) -> float | None:
    try:
        last = datetime.fromisoformat(str(dig(owner, "metadata", "annotations", ALIVE)))
        return (datetime.now(UTC) - last).total_seconds()
    except (ValueError, TypeError):
        return None


async def remove_leftovers(api: ClusterApi, namespace: str, leftovers: Leftovers) -> None:
    """Remove all objects of a run: those that run first, and once they are gone the rest, its owner last."""
    for resources in (_RUNNING, _STORED):
        await _delete(api, namespace, [o for o in leftovers.objects if o.resource in resources])
        await wait_until_gone(api, namespace, leftovers.run, resources)


async def _delete(api: ClusterApi, namespace: str, objects: Sequence[Leftover]) -> None:
    for leftover in objects:
        await api.delete(
            leftover.resource,
            leftover.name,
            namespace=namespace,
            propagation="Foreground" if leftover.owner else "Background",
        )


async def wait_until_gone(
    api: ClusterApi,
    namespace: str,
    run: str,
    resources: Sequence[Resource] = RESOURCES,
    deadline_s: float = GONE_DEADLINE_S,
) -> None:
    """Wait until a run has no object of some resources any more; ClusterError names those that stay.

    A cluster that is away meanwhile is asked again.
    """

    async def is_gone() -> bool | None:
        try:
            return None if await _list_names(api, namespace, run, resources) else True
        except ClusterError as error:
            if not may_retry(error, safe=True):
                raise
            return None

    if not await poll(is_gone, deadline_s):
        remaining = ", ".join(await _list_names(api, namespace, run, resources))
        raise ClusterError(
            f"of run {run} in namespace {namespace}, {remaining} is not gone after {deadline_s:.0f} s",
            hint=f"see kubectl describe (a finalizer, or a node that is gone, may hold it), then `freepage clean --run {run}`",
        )


async def _list_names(api: ClusterApi, namespace: str, run: str, resources: Sequence[Resource]) -> list[str]:
    return [f"{k.kind} {name_of(o)}" for k in resources for o in await _list(api, k, namespace, run)]

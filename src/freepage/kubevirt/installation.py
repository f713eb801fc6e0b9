"""KubeVirt as a cluster has it: its versions, and the objects that hold the setting of FPR."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.rule import JSON_PATCH, read_setting
from freepage.kube.errors import ClusterError, NotFoundError
from freepage.kube.resources import (
    HYPERCONVERGED_V1,
    HYPERCONVERGED_V1BETA1,
    KUBEVIRTS,
    MANAGED_BY,
    dig,
    name_of,
    namespace_of,
)

if TYPE_CHECKING:
    from freepage.fpr.rule import ReportingSetting
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object, Resource

FIRST_KUBEVIRT = (1, 0)
_HYPERCONVERGED_OPERATOR = "hco-operator"
# The version to use first where a cluster serves several.
_HYPERCONVERGED = (HYPERCONVERGED_V1, HYPERCONVERGED_V1BETA1)


@dataclass(frozen=True)
class Installation:
    """KubeVirt in one cluster.

    kubevirt: the KubeVirt object, by which KubeVirt decides. hyperconverged: what OpenShift Virtualization's operator
    makes it from, in the version of `hyperconverged_resource`; None where that operator is not used.
    """

    kubernetes: str
    kubevirt: Object
    hyperconverged: Object | None = None
    hyperconverged_resource: Resource | None = None
    hyperconverged_versions: tuple[str, ...] = ()

    @property
    def version(self) -> str | None:
        """KubeVirt's own version; None where its operator has not reported one."""
        return read_version(self.kubevirt)

    @property
    def setting(self) -> ReportingSetting:
        return read_setting([self.kubevirt])

    @property
    def overridden(self) -> bool:
        """True where the HyperConverged object overrides its own setting by a JSON patch of KubeVirt's."""
        patch = dig(self.hyperconverged, "metadata", "annotations", JSON_PATCH)
        return "virtualMachineOptions" in str(patch or "")


async def find_installation(api: ClusterApi) -> Installation:
    """Find KubeVirt; NotFoundError where there is none, ClusterError where it is older than FPR (1.0)."""
    kubernetes, versions, hyperconverged_versions = await asyncio.gather(
        api.server_version(),
        api.served_versions(KUBEVIRTS.group),
        api.served_versions(HYPERCONVERGED_V1.group),
    )
    if not versions:
        raise NotFoundError(
            f"the cluster {api.server} has no KubeVirt (it does not serve {KUBEVIRTS.group})",
            hint="install KubeVirt or OpenShift Virtualization, or choose another cluster by --context",
        )
    kubevirt = await _find_kubevirt(api)
    resource = next((r for r in _HYPERCONVERGED if r.version in hyperconverged_versions), None)
    hyperconverged = None if resource is None else next(iter(await api.list(resource)), None)
    found = Installation(
        kubernetes,
        kubevirt,
        hyperconverged,
        resource if hyperconverged is not None else None,
        tuple(hyperconverged_versions),
    )
    _check(found)
    return found


async def _find_kubevirt(api: ClusterApi) -> Object:
    kubevirts = await api.list(KUBEVIRTS)
    if not kubevirts:
        raise NotFoundError(
            f"the cluster {api.server} knows KubeVirt, but has no KubeVirt object",
            hint="KubeVirt is not, or no longer, installed there: create its KubeVirt object",
        )
    return kubevirts[0]


def _check(found: Installation) -> None:
    check_version(found.version)
    managed = dig(found.kubevirt, "metadata", "labels", MANAGED_BY) == _HYPERCONVERGED_OPERATOR
    if managed and found.hyperconverged is None:
        raise NotFoundError(
            f"KubeVirt {full_name(found.kubevirt)} is managed by {_HYPERCONVERGED_OPERATOR}, but there is no HyperConverged object",
            hint="see whether that operator runs; what is written into the KubeVirt object it would revert",
        )


def read_version(kubevirt: Object | None) -> str | None:
    """Return KubeVirt's own version by its object; None where its operator has not reported one."""
    status = dig(kubevirt, "status") or {}
    version = status.get("observedKubeVirtVersion") or status.get("operatorVersion")
    return None if version is None else str(version)


def check_version(version: str | None) -> None:
    """Raise ClusterError for a KubeVirt that is older than FPR."""
    numbers = re.match(r"v?(\d{1,9})\.(\d{1,9})", version or "")
    if numbers and (int(numbers[1]), int(numbers[2])) < FIRST_KUBEVIRT:
        raise ClusterError(
            f"KubeVirt {version} knows nothing of Free Page Reporting",
            hint="1.0 is the first that does",
        )


def full_name(obj: Object) -> str:
    """Return "namespace/name", or the name alone of what has no namespace."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)

"""The kinds of objects that freepage reads and writes in a cluster, by group, version and plural."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One kind as the API serves it; `group` is "" for the core."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
EVENTS = Resource("", "v1", "events", "Event")
KUBEVIRTS = Resource("kubevirt.io", "v1", "kubevirts", "KubeVirt")
VMS = Resource("kubevirt.io", "v1", "virtualmachines", "VirtualMachine")
VMIS = Resource("kubevirt.io", "v1", "virtualmachineinstances", "VirtualMachineInstance")
HYPERCONVERGED_V1BETA1 = Resource("hco.kubevirt.io", "v1beta1", "hyperconvergeds", "HyperConverged")
HYPERCONVERGED_V1 = Resource("hco.kubevirt.io", "v1", "hyperconvergeds", "HyperConverged")
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
INSTANCE_TYPES_GROUP = "instancetype.kubevirt.io"
# What a VM may name its instance type and its preference by; served as v1beta1 since KubeVirt 1.0.
INSTANCE_TYPE_KINDS = tuple(
    Resource(INSTANCE_TYPES_GROUP, "v1beta1", f"{kind.lower()}s", kind, namespaced="Cluster" not in kind)
    for kind in (
        "VirtualMachineInstancetype",
        "VirtualMachineClusterInstancetype",
        "VirtualMachinePreference",
        "VirtualMachineClusterPreference",
    )
)
ROUTES = Resource("route.openshift.io", "v1", "routes", "Route")

# The labels of everything freepage creates, by which it is found and removed.
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "freepage"
RUN_LABEL = "freepage/run"
INSTANCE_LABEL = "freepage/instance"
ROLE_LABEL = "freepage/role"


def name_of(obj: Object) -> str:
    """Return an object's name; "" where it has none."""
    return str((obj.get("metadata") or {}).get("name", ""))


def namespace_of(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("namespace", ""))


def dig(tree: Any, *path: str | int) -> Any:
    """Follow keys (and list positions) into a JSON tree; None where the way ends."""
    for key in path:
        if isinstance(tree, dict):
            tree = tree.get(key)
        elif isinstance(tree, list) and isinstance(key, int) and -len(tree) <= key < len(tree):
            tree = tree[key]
        else:
            return None
    return tree

"""Every kind the test cluster serves, and what discovery says of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.seams import Object
    from lab.store import Key

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_VERBS = ("get", "list", "watch")


@dataclass(frozen=True)
class Kind:
    """One kind; `versions` in order of preference, the last one is how objects are stored.

    status: its status is a subresource of its own. custom: it comes from a CustomResourceDefinition. hidden: nothing is
    stored (reviews, and other groups' subresources).
    """

    group: str
    plural: str
    kind: str
    versions: tuple[str, ...] = ("v1",)
    namespaced: bool = True
    verbs: tuple[str, ...] = ALL_VERBS
    short: tuple[str, ...] = ()
    status: bool = False
    custom: bool = False
    hidden: bool = False
    subresources: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.group, self.plural

    def api_version(self, version: str) -> str:
        return f"{self.group}/{version}" if self.group else version

    def resources(self) -> list[Object]:
        """Return its entries of an APIResourceList, its own and its subresources'."""
        own = {
            "name": self.plural,
            "singularName": self.kind.lower(),
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": list(self.verbs),
        }
        if self.short:
            own["shortNames"] = list(self.short)
        below = dict(self.subresources)
        if self.status:
            below["status"] = (self.kind, ("get", "patch", "update"))
        return ([own] if self.verbs else []) + [
            {
                "name": f"{self.plural}/{name}",
                "singularName": "",
                "namespaced": self.namespaced,
                "kind": kind,
                "verbs": list(verbs),
            }
            for name, (kind, verbs) in below.items()
        ]


def _review(group: str, plural: str, kind: str) -> Kind:
    return Kind(group, plural, kind, namespaced=False, verbs=("create",), hidden=True)


def _rbac(plural: str, kind: str, *, namespaced: bool) -> Kind:
    return Kind("rbac.authorization.k8s.io", plural, kind, namespaced=namespaced)


CORE = (
    Kind("", "namespaces", "Namespace", namespaced=False, short=("ns",), status=True),
    Kind("", "nodes", "Node", namespaced=False, short=("no",), status=True),
    Kind(
        "",
        "pods",
        "Pod",
        short=("po",),
        status=True,
        subresources={
            "log": ("Pod", ("get",)),
            "exec": ("PodExecOptions", ("create", "get")),
            "attach": ("PodAttachOptions", ("create", "get")),
        },
    ),
    Kind("", "configmaps", "ConfigMap", short=("cm",)),
    Kind("", "secrets", "Secret"),
    Kind("", "events", "Event", short=("ev",)),
    Kind(
        "",
        "serviceaccounts",
        "ServiceAccount",
        short=("sa",),
        subresources={"token": ("TokenRequest", ("create",))},
    ),
    _rbac("clusterroles", "ClusterRole", namespaced=False),
    _rbac("clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _rbac("roles", "Role", namespaced=True),
    _rbac("rolebindings", "RoleBinding", namespaced=True),
    _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    Kind(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        namespaced=False,
        short=("crd", "crds"),
        status=True,
    ),
)

_PUT = ("update",)
KUBEVIRT = (
    Kind("kubevirt.io", "kubevirts", "KubeVirt", short=("kv", "kvs"), status=True, custom=True),
    Kind("kubevirt.io", "virtualmachines", "VirtualMachine", short=("vm", "vms"), status=True, custom=True),
    Kind(
        "kubevirt.io",
        "virtualmachineinstances",
        "VirtualMachineInstance",
        short=("vmi", "vmis"),
        custom=True,
    ),
    Kind(
        "subresources.kubevirt.io",
        "virtualmachines",
        "VirtualMachine",
        verbs=(),
        hidden=True,
        subresources=dict.fromkeys(("restart", "start", "stop"), ("VirtualMachine", _PUT)),
    ),
    Kind(
        "subresources.kubevirt.io",
        "virtualmachineinstances",
        "VirtualMachineInstance",
        verbs=(),
        hidden=True,
        subresources={"console": ("VirtualMachineInstance", ("get",))},
    ),
)

INSTANCE_TYPES = tuple(
    Kind(
        "instancetype.kubevirt.io",
        f"{kind.lower()}s",
        kind,
        versions=("v1beta1",),
        namespaced="Cluster" not in kind,
    )
    for kind in (
        "VirtualMachineInstancetype",
        "VirtualMachineClusterInstancetype",
        "VirtualMachinePreference",
        "VirtualMachineClusterPreference",
    )
)
REVISIONS = Kind("apps", "controllerrevisions", "ControllerRevision")
ROUTES = Kind("route.openshift.io", "routes", "Route")


def hyperconverged(versions: tuple[str, ...]) -> Kind:
    """Describe HyperConverged; it is stored as v1beta1, as HCO 1.18 does."""
    return Kind(
        "hco.kubevirt.io",
        "hyperconvergeds",
        "HyperConverged",
        versions,
        short=("hco", "hcos"),
        status=True,
        custom=True,
    )


@dataclass(frozen=True)
class Target:
    """The parts of a request's path; `version` and what is below may be empty."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str


_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?/?"
)


def parse_path(path: str) -> Target | None:
    """Read a resource's path; None for any other."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    target = Target(**{key: value or "" for key, value in found.groupdict().items()})
    if target.namespace and target.plural in {"status", "finalize"} and not target.name and not target.group:
        return Target("", target.version, "", "namespaces", target.namespace, target.plural)
    return target


class Catalog:
    """The kinds that are served."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self.kinds = kinds

    def find(self, target: Target) -> Kind | None:
        return next(
            (
                kind
                for kind in self.kinds
                if kind.key == (target.group, target.plural) and target.version in kind.versions
            ),
            None,
        )

    def find_plural(self, group: str, kind: str) -> str:
        """Return a kind's plural; "" for one that is not served."""
        return next((k.plural for k in self.kinds if (k.group, k.kind) == (group, kind) and k.verbs), "")

    def discover(self, path: str) -> Object | None:
        """Answer a discovery path; None for any other, and for groups that are not served."""
        parts = path.strip("/").split("/")
        match parts:
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
            case ["apis"]:
                groups = [self._group(name) for name in self._groups()]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
            case ["apis", group] if group in self._groups():
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["api", version]:
                return self._resources("", version)
            case ["apis", group, version]:
                return self._resources(group, version)
        return None

    def _groups(self) -> list[str]:
        return sorted({kind.group for kind in self.kinds if kind.group})

    def _group(self, name: str) -> Object:
        versions = next(kind.versions for kind in self.kinds if kind.group == name)
        listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": listed, "preferredVersion": listed[0]}

    def _resources(self, group: str, version: str) -> Object | None:
        served = [kind for kind in self.kinds if kind.group == group and version in kind.versions]
        if not served:
            return None
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": served[0].api_version(version),
            "resources": [entry for kind in served for entry in kind.resources()],
        }

"""The objects of a cluster that nobody has used yet: namespaces, roles, KubeVirt as its operators install it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab import kinds
from lab.access import RBAC
from lab.controllers import equip_namespaces
from lab.hyperconverged import (
    HYPERCONVERGEDS,
    KUBEVIRT_NAME,
    NAME,
    build_condition,
    build_kubevirt_spec,
    build_status,
)
from lab.kubevirt import KUBEVIRTS
from lab.schemas import check
from lab.store import NAMESPACES

if TYPE_CHECKING:
    from lab.kinds import Kind
    from lab.schemas import Schemas
    from lab.seams import Object
    from lab.store import MemoryStore

DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
# Who installed KubeVirt: the versions of HyperConverged that are served.
OPERATORS: dict[str, tuple[str, ...]] = {
    "kubevirt": (),
    "hco-v1beta1": ("v1beta1",),
    "hco": ("v1", "v1beta1"),
    "none": (),
}
DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/readyz", "/version", "/version/")
REVIEWS = [
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        "verbs": ["create"],
    },
    {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
]
ALL_RULES = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]


@dataclass(frozen=True)
class Make:
    """The kind of cluster: who installed KubeVirt (a key of OPERATORS), in which version, and whether on OpenShift."""

    operator: str = "kubevirt"
    kubevirt_version: str = "v1.9.0"
    openshift: bool = False

    @property
    def has_operator(self) -> bool:
        return bool(OPERATORS[self.operator])

    @property
    def namespace(self) -> str:
        """Where KubeVirt is installed."""
        if not self.has_operator:
            return "kubevirt"
        return "openshift-cnv" if self.openshift else "kubevirt-hyperconverged"

    @property
    def hyperconverged_schema(self) -> str:
        release = "v1.17.3" if self.operator == "hco-v1beta1" else "v1.18.1"
        return f"hco-{release}-hco00.crd.yaml"

    def kinds(self) -> tuple[Kind, ...]:
        found = list(kinds.CORE)
        if self.operator != "none":
            found += [*kinds.KUBEVIRT, *kinds.INSTANCE_TYPES, kinds.REVISIONS]
        if self.has_operator:
            found.append(kinds.hyperconverged(OPERATORS[self.operator]))
        if self.openshift:
            found.append(kinds.ROUTES)
        return tuple(found)


def furnish(store: MemoryStore, make: Make, schemas: Schemas) -> None:
    """Put into an empty store what a new cluster has."""
    for name in (
        "default",
        "kube-system",
        "kube-public",
        *(("openshift-monitoring",) if make.openshift else ()),
    ):
        create_namespace(store, name)
    _furnish_roles(store)
    if make.operator != "none":
        create_namespace(store, make.namespace)
        _install_kubevirt(store, make, schemas)
        for kind in make.kinds():
            if kind.custom:
                store.create(DEFINITIONS, build_definition(kind, schemas))
    equip_namespaces(store, openshift=make.openshift)


def create_namespace(store: MemoryStore, name: str) -> None:
    store.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def _furnish_roles(store: MemoryStore) -> None:
    """Create the roles everybody has from Kubernetes itself."""
    bootstrap = [
        ("cluster-admin", ALL_RULES, ["system:masters"]),
        ("system:basic-user", REVIEWS, ["system:authenticated"]),
        (
            "system:discovery",
            [{"nonResourceURLs": list(DISCOVERY), "verbs": ["get"]}],
            ["system:authenticated"],
        ),
        (
            "system:public-info-viewer",
            [{"nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version"], "verbs": ["get"]}],
            ["system:authenticated", "system:unauthenticated"],
        ),
    ]
    for name, rules, groups in bootstrap:
        role = {"metadata": {"name": name}, "rules": rules}
        store.create((RBAC, "clusterroles"), _rbac("ClusterRole", role))
        subjects = [{"kind": "Group", "apiGroup": RBAC, "name": group} for group in groups]
        reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
        binding = {"metadata": {"name": name}, "subjects": subjects, "roleRef": reference}
        store.create((RBAC, "clusterrolebindings"), _rbac("ClusterRoleBinding", binding))


def _rbac(kind: str, rest: Object) -> Object:
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, **rest}


def _install_kubevirt(store: MemoryStore, make: Make, schemas: Schemas) -> None:
    metadata: Object = {"name": "kubevirt", "namespace": make.namespace}
    spec: Object = {"configuration": {}}
    if make.has_operator:
        hyperconverged = store.create(HYPERCONVERGEDS, build_hyperconverged(make, schemas))
        spec = build_kubevirt_spec(hyperconverged)
        metadata["name"] = KUBEVIRT_NAME
        metadata["labels"] = {"app": NAME, "app.kubernetes.io/managed-by": "hco-operator"}
        store.merge(HYPERCONVERGEDS, make.namespace, NAME, {"status": build_status(hyperconverged)})
    status = build_kubevirt_status(make.kubevirt_version)
    store.create(
        KUBEVIRTS,
        {
            "apiVersion": "kubevirt.io/v1",
            "kind": "KubeVirt",
            "metadata": metadata,
            "spec": spec,
            "status": status,
        },
    )


def build_hyperconverged(make: Make, schemas: Schemas) -> Object:
    """Return the HyperConverged object as its operator has it at first: all defaults."""
    obj = {
        "apiVersion": "hco.kubevirt.io/v1beta1",
        "kind": "HyperConverged",
        "metadata": {"name": NAME, "namespace": make.namespace},
        "spec": {},
    }
    return check(schemas.find("hyperconvergeds", "HyperConverged", "v1beta1", custom=True), obj).object


def build_kubevirt_status(version: str) -> Object:
    conditions = [("Available", "True"), ("Progressing", "False"), ("Degraded", "False"), ("Created", "True")]
    status: Object = {
        "phase": "Deployed",
        "operatorVersion": version,
        "observedKubeVirtVersion": version,
        "targetKubeVirtVersion": version,
        "observedGeneration": 1,
    }
    listed = [build_condition(name, value, "AllComponentsReady", status) for name, value in conditions]
    return status | {"conditions": listed}


def build_definition(kind: Kind, schemas: Schemas) -> Object:
    """Return a kind's CustomResourceDefinition, without its schemas, which are large and which nobody asks for."""
    versions = [
        {"name": version, "served": True, "storage": version == kind.versions[-1]}
        for version in kind.versions
    ]
    names = {
        "plural": kind.plural,
        "singular": kind.kind.lower(),
        "kind": kind.kind,
        "shortNames": list(kind.short),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {"group": kind.group, "names": names, "scope": "Namespaced", "versions": versions},
        "status": {"storedVersions": [kind.versions[-1]]},
    }

"""Builds the pods and stored objects that a run creates in a cluster; its VMs are in vmi_manifests."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.kube.resources import (
    INSTANCE_LABEL,
    MANAGED_BY,
    MANAGER,
    PODS,
    ROLE_LABEL,
    RUN_LABEL,
)
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.image.architecture import Architecture
    from freepage.kube.resources import Object

WORKER_KEY = "worker"
WORKER_FOLDER = "/freepage"
WORKER_PATH = f"{WORKER_FOLDER}/{WORKER_KEY}"
HOSTNAME_LABEL = "kubernetes.io/hostname"
ARCHITECTURE_LABEL = "kubernetes.io/arch"
LONGEST_LABEL = 63
# What one user of a plain cluster may be; OpenShift gives every namespace users of its own.
PLAIN_USER = 65534
# A pod needs this beside what its processes allocate: the worker, and page tables (an entry of 8 bytes a page).
POD_RESERVE_BYTES = 24 * MIB
PAGE_TABLE_SHARE = 1 / 256
# Programs and their output need more.
PROGRAM_RESERVE_BYTES = 512 * MIB
# A sampler reads a few small files a second.
SAMPLER_BYTES = 32 * MIB


@dataclass(frozen=True)
class RunScope:
    """The part all objects of one run share: their namespace and labels, their owner, and how images are pulled.

    worker_map: the ConfigMap that carries the worker. owner: the ConfigMap all others are removed with; None before it
    exists (a dry run). user: the one that pods run as, None where the cluster chooses. trial_deadline_s, run_deadline_s:
    when instances, and samplers, end by themselves should freepage be gone. architecture: that of the worker, and so of the
    nodes.
    """

    namespace: str
    run: str
    worker_map: str
    owner: Object | None
    user: int | None
    trial_deadline_s: int
    run_deadline_s: int
    architecture: Architecture
    pull_secret: str | None = None


@dataclass(frozen=True)
class PodShape:
    """One pod with a worker: its own name is the instance's in the cluster; `instance` is the one in the study.

    node: the value of its label HOSTNAME_LABEL. memory_bytes: what its processes allocate at most. programs: whether it runs any beside the worker.
    """

    name: str
    instance: str
    node: str
    image: str
    memory_bytes: int
    data_bytes: int = 0
    programs: bool = False

    @property
    def request_bytes(self) -> int:
        """Return the memory it requests of its node; without programs of its own that is its limit as well."""
        reserve = PROGRAM_RESERVE_BYTES if self.programs else POD_RESERVE_BYTES
        return round(self.memory_bytes * (1 + PAGE_TABLE_SHARE)) + reserve


def build_labels(run: str, role: str, instance: str | None = None) -> dict[str, str]:
    """Return the labels by which objects of freepage are found and removed."""
    labels = {MANAGED_BY: MANAGER, RUN_LABEL: run, ROLE_LABEL: role}
    return labels if instance is None else labels | {INSTANCE_LABEL: instance[:LONGEST_LABEL].rstrip("-")}


def build_owner_reference(owner: Object) -> Object:
    """Return the reference that has an object removed with its owner."""
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "blockOwnerDeletion": False,
    }


def build_worker_map(scope: RunScope, binary: bytes) -> Object:
    """Return the ConfigMap that carries the worker's static binary."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": build_metadata(scope, scope.worker_map, "worker"),
        "immutable": True,
        "binaryData": {WORKER_KEY: base64.b64encode(binary).decode()},
    }


def build_worker_pod(scope: RunScope, shape: PodShape) -> Object:
    """Return a pod whose only process is the worker, spoken to by attaching to it."""
    mounts = [{"name": "worker", "mountPath": WORKER_FOLDER, "readOnly": True}]
    volumes: list[Object] = [
        {"name": "worker", "configMap": {"name": scope.worker_map, "defaultMode": 0o555}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
    ]
    mounts.append({"name": "tmp", "mountPath": "/tmp"})  # noqa: S108 - the pod's own
    if shape.data_bytes:
        volumes.append({"name": "data", "emptyDir": {"sizeLimit": format_mebibytes(shape.data_bytes)}})
        mounts.append({"name": "data", "mountPath": "/data"})
    memory = format_mebibytes(shape.request_bytes)
    resources: Object = {"requests": {"cpu": "100m", "memory": memory}}
    if not shape.programs:
        # Page cache counts against a limit: with one, a pod's I/O would never be cached.
        resources["limits"] = {"memory": memory}
    container = {
        "name": "worker",
        "image": shape.image,
        "command": [WORKER_PATH],
        "stdin": True,
        "stdinOnce": False,
        "resources": resources,
        "volumeMounts": mounts,
        "securityContext": _unprivileged(),
    }
    contents = _PodContents("pod", shape.instance, container, volumes, scope.trial_deadline_s)
    return _pod(scope, shape.name, shape.node, contents)


def build_sampler_pod(scope: RunScope, name: str, node: str, image: str, command: list[str]) -> Object:
    """Return the pod that prints the counters of one node's kernel."""
    memory = format_mebibytes(SAMPLER_BYTES)
    container = {
        "name": "worker",
        "image": image,
        "command": [WORKER_PATH, *command],
        "resources": {"requests": {"cpu": "20m", "memory": memory}, "limits": {"memory": memory}},
        "volumeMounts": [{"name": "worker", "mountPath": WORKER_FOLDER, "readOnly": True}],
        "securityContext": _unprivileged(),
    }
    volumes = [{"name": "worker", "configMap": {"name": scope.worker_map, "defaultMode": 0o555}}]
    return _pod(scope, name, node, _PodContents("sampler", None, container, volumes, scope.run_deadline_s))


def build_secret(scope: RunScope, name: str, data: dict[str, bytes]) -> Object:
    """Return a Secret, as for the user data a VM starts from."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": build_metadata(scope, name, "user-data"),
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


@dataclass(frozen=True)
class _PodContents:
    role: str
    instance: str | None
    container: Object
    volumes: list[Object]
    deadline_s: int


def _pod(scope: RunScope, name: str, node: str, contents: _PodContents) -> Object:
    spec: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "activeDeadlineSeconds": contents.deadline_s,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": build_node_selector(scope, node),
        "securityContext": _pod_security(scope.user),
        "containers": [contents.container],
        "volumes": contents.volumes,
    }
    if scope.pull_secret is not None:
        spec["imagePullSecrets"] = [{"name": scope.pull_secret}]
    metadata = build_metadata(scope, name, contents.role, contents.instance)
    return {"apiVersion": PODS.api_version, "kind": PODS.kind, "metadata": metadata, "spec": spec}


def build_node_selector(scope: RunScope, node: str) -> dict[str, str]:
    """Return what binds a pod or VM to a node, given by its label HOSTNAME_LABEL."""
    return {HOSTNAME_LABEL: node, ARCHITECTURE_LABEL: scope.architecture.name}


def build_metadata(scope: RunScope, name: str, role: str, instance: str | None = None) -> Object:
    metadata: Object = {
        "name": name,
        "namespace": scope.namespace,
        "labels": build_labels(scope.run, role, instance),
    }
    if scope.owner is not None:
        metadata["ownerReferences"] = [build_owner_reference(scope.owner)]
    return metadata


def _pod_security(user: int | None) -> Object:
    """Return the security context Kubernetes calls "restricted"; the user is named only where the cluster does not choose one."""
    security: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return security if user is None else security | {"runAsUser": user, "runAsGroup": user, "fsGroup": user}


def _unprivileged() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def format_mebibytes(size_bytes: int) -> str:
    return f"{-(-size_bytes // MIB)}Mi"

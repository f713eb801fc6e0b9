"""Every object a run creates in a cluster, as pure functions of what it is for."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.eligibility import ANNOTATION
from freepage.kube.resources import (
    INSTANCE_LABEL,
    MANAGED_BY,
    MANAGER,
    PODS,
    ROLE_LABEL,
    RUN_LABEL,
    VMIS,
)
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.kube.resources import Object

WORKER_KEY = "worker"
WORKER_FOLDER = "/freepage"
WORKER_PATH = f"{WORKER_FOLDER}/{WORKER_KEY}"
HOSTNAME_LABEL = "kubernetes.io/hostname"
LONGEST_LABEL = 63
KERNEL_PATH = "/boot/vmlinuz"
INITRAMFS_PATH = "/boot/initramfs"
TOOLS_DISK_PATH = "/disk/tools.img"
# What one user of a plain cluster may be; OpenShift gives every namespace users of its own.
PLAIN_USER = 65534
# A pod needs this beside what its processes allocate: the worker, and page tables (an entry of 8 bytes a page).
POD_RESERVE_BYTES = 24 * MIB
PAGE_TABLE_SHARE = 1 / 256
# Programs and their output need more.
PROGRAM_RESERVE_BYTES = 512 * MIB
# What KubeVirt reckons for a launcher beside its guest's memory, since 1.0: 210 to 220 MiB, and this a thread that runs.
LAUNCHER_BYTES = 210 * MIB
LAUNCHER_CPU_BYTES = 8 * MIB
# A sampler reads a few small files a second.
SAMPLER_BYTES = 32 * MIB
# Quiet but for what ends the guest; the worker has the console to itself.
KERNEL_ARGUMENTS = ("console=ttyS0", "quiet", "loglevel=1", "panic=-1", "reboot=t", "oops=panic")


@dataclass(frozen=True)
class RunScope:
    """What all objects of one run share: where they are, whose they are, and how images are pulled.

    owner: the run's ConfigMap, which also carries the worker; None before it exists (a dry run). user: what pods run
    as, None where the cluster chooses. The deadlines: when instances, and samplers, end by themselves should freepage
    be gone.
    """

    namespace: str
    run: str
    worker_map: str
    owner: Object | None
    user: int | None
    trial_deadline_s: int
    run_deadline_s: int
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
        """What it asks its node for; without programs of its own it may not exceed it."""
        reserve = PROGRAM_RESERVE_BYTES if self.programs else POD_RESERVE_BYTES
        return round(self.memory_bytes * (1 + PAGE_TABLE_SHARE)) + reserve


@dataclass(frozen=True)
class VmiShape:
    """One VM: `image` is freepage's own (kernelBoot), or `disk_image` any containerDisk that starts from `secret`.

    tools: whether it gets the image's tools as a disk. data: the file system of a disk of its own, `data_bytes` large.
    """

    name: str
    instance: str
    node: str
    reporting: bool
    memory_bytes: int
    cpus: int
    image: str | None = None
    disk_image: str | None = None
    secret: str | None = None
    tools: bool = False
    data: str | None = None
    data_bytes: int = 0

    @property
    def request_bytes(self) -> int:
        """What its launcher asks its node for at least: KubeVirt adds its own processes, page tables and a share a CPU."""
        tables_bytes = self.memory_bytes // 512
        return self.memory_bytes + LAUNCHER_BYTES + tables_bytes + LAUNCHER_CPU_BYTES * (self.cpus + 1)


def build_labels(run: str, role: str, instance: str | None = None) -> dict[str, str]:
    """Return the labels by which what freepage created is found and removed."""
    labels = {MANAGED_BY: MANAGER, RUN_LABEL: run, ROLE_LABEL: role}
    return labels if instance is None else labels | {INSTANCE_LABEL: instance[:LONGEST_LABEL].rstrip("-")}


def build_owner_reference(owner: Object) -> Object:
    """Return what makes an object go with its owner."""
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
        "metadata": _metadata(scope, scope.worker_map, "worker"),
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
        volumes.append({"name": "data", "emptyDir": {"sizeLimit": _mebibytes(shape.data_bytes)}})
        mounts.append({"name": "data", "mountPath": "/data"})
    memory = _mebibytes(shape.request_bytes)
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
    contents = _Contents("pod", shape.instance, container, volumes, scope.trial_deadline_s)
    return _pod(scope, shape.name, shape.node, contents)


def build_sampler_pod(scope: RunScope, name: str, node: str, image: str, command: list[str]) -> Object:
    """Return the pod that prints what one node's kernel says of itself."""
    memory = _mebibytes(SAMPLER_BYTES)
    container = {
        "name": "worker",
        "image": image,
        "command": [WORKER_PATH, *command],
        "resources": {"requests": {"cpu": "20m", "memory": memory}, "limits": {"memory": memory}},
        "volumeMounts": [{"name": "worker", "mountPath": WORKER_FOLDER, "readOnly": True}],
        "securityContext": _unprivileged(),
    }
    volumes = [{"name": "worker", "configMap": {"name": scope.worker_map, "defaultMode": 0o555}}]
    return _pod(scope, name, node, _Contents("sampler", None, container, volumes, scope.run_deadline_s))


def build_vmi(scope: RunScope, shape: VmiShape) -> Object:
    """Return a VM: no network, no graphics, one serial console; FPR off by its own annotation, on by the cluster's default."""
    metadata = _metadata(scope, shape.name, "vm", shape.instance)
    if not shape.reporting:
        metadata["annotations"] = {ANNOTATION: "true"}
    memory = _mebibytes(shape.memory_bytes)
    disks, volumes = _disks(scope, shape)
    domain: Object = {
        "cpu": {"sockets": 1, "maxSockets": 1, "cores": shape.cpus, "threads": 1},
        "memory": {"guest": memory, "maxGuest": memory},
        "resources": {"requests": {"cpu": f"{100 * shape.cpus}m", "memory": memory}},
        "devices": {
            "autoattachMemBalloon": True,
            "autoattachGraphicsDevice": False,
            "autoattachPodInterface": False,
            "autoattachSerialConsole": True,
            "logSerialConsole": True,
            "disks": disks,
        },
    }
    if shape.image is not None:
        domain["firmware"] = {"kernelBoot": _kernel_boot(scope, shape, shape.image)}
    return {
        "apiVersion": VMIS.api_version,
        "kind": VMIS.kind,
        "metadata": metadata,
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "evictionStrategy": "None",
            "nodeSelector": {HOSTNAME_LABEL: shape.node},
            "domain": domain,
            "volumes": volumes,
        },
    }


def build_secret(scope: RunScope, name: str, data: dict[str, bytes]) -> Object:
    """Return a Secret, as for the user data a VM starts from."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(scope, name, "user-data"),
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


@dataclass(frozen=True)
class _Contents:
    role: str
    instance: str | None
    container: Object
    volumes: list[Object]
    deadline_s: int


def _pod(scope: RunScope, name: str, node: str, contents: _Contents) -> Object:
    spec: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "activeDeadlineSeconds": contents.deadline_s,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {HOSTNAME_LABEL: node},
        "securityContext": _pod_security(scope.user),
        "containers": [contents.container],
        "volumes": contents.volumes,
    }
    if scope.pull_secret is not None:
        spec["imagePullSecrets"] = [{"name": scope.pull_secret}]
    metadata = _metadata(scope, name, contents.role, contents.instance)
    return {"apiVersion": PODS.api_version, "kind": PODS.kind, "metadata": metadata, "spec": spec}


def _metadata(scope: RunScope, name: str, role: str, instance: str | None = None) -> Object:
    metadata: Object = {
        "name": name,
        "namespace": scope.namespace,
        "labels": build_labels(scope.run, role, instance),
    }
    if scope.owner is not None:
        metadata["ownerReferences"] = [build_owner_reference(scope.owner)]
    return metadata


def _pod_security(user: int | None) -> Object:
    """Return what Kubernetes calls "restricted"; the user is named only where the cluster does not choose one."""
    security: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return security if user is None else security | {"runAsUser": user, "runAsGroup": user, "fsGroup": user}


def _unprivileged() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _kernel_boot(scope: RunScope, shape: VmiShape, image: str) -> Object:
    words = [*KERNEL_ARGUMENTS, "freepage.console=1", f"freepage.deadline={scope.trial_deadline_s}"]
    if shape.tools:
        words.append("freepage.tools=ext4")
    if shape.data is not None:
        words += [f"freepage.data={shape.data}", "freepage.format=1"]
    container: Object = {"image": image, "kernelPath": KERNEL_PATH, "initrdPath": INITRAMFS_PATH}
    if scope.pull_secret is not None:
        container["imagePullSecret"] = scope.pull_secret
    return {"kernelArgs": " ".join(words), "container": container}


def _disks(scope: RunScope, shape: VmiShape) -> tuple[list[Object], list[Object]]:
    """Return the disks of a VM and the volumes behind them."""
    volumes: list[Object] = []
    if shape.disk_image is not None:
        volumes.append({"name": "system", "containerDisk": _container_disk(scope, shape.disk_image)})
    if shape.tools and shape.image is not None:
        tools = _container_disk(scope, shape.image) | {"path": TOOLS_DISK_PATH}
        volumes.append({"name": "tools", "containerDisk": tools})
    if shape.secret is not None:
        volumes.append({"name": "seed", "cloudInitNoCloud": {"secretRef": {"name": shape.secret}}})
    if shape.data is not None:
        volumes.append({"name": "data", "emptyDisk": {"capacity": _mebibytes(shape.data_bytes)}})
    disks: list[Object] = [
        {"name": v["name"], "serial": v["name"], "disk": {"bus": "virtio"}} for v in volumes
    ]
    return disks, volumes


def _container_disk(scope: RunScope, image: str) -> Object:
    disk: Object = {"image": image}
    return disk if scope.pull_secret is None else disk | {"imagePullSecret": scope.pull_secret}


def _mebibytes(size_bytes: int) -> str:
    return f"{-(-size_bytes // MIB)}Mi"

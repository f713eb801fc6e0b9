"""Builds the VMs that a run creates in a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.rule import ANNOTATION
from freepage.kube.resources import VMIS
from freepage.targets.cluster.manifests import build_metadata, build_node_selector, format_mebibytes

if TYPE_CHECKING:
    from freepage.kube.resources import Object
    from freepage.targets.cluster.manifests import RunScope

KERNEL_PATH = "/boot/vmlinuz"
INITRAMFS_PATH = "/boot/initramfs"
TOOLS_DISK_PATH = "/disk/tools.img"
# Quiet but for what ends the guest; the worker has the console to itself.
KERNEL_ARGUMENTS = ("quiet", "loglevel=1", "panic=-1", "reboot=t", "oops=panic")


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
    def images(self) -> int:
        """Return how many images its launcher has beside its own: to boot from, and as disks."""
        return sum((self.image is not None, self.disk_image is not None, self.tools))


def build_vmi(scope: RunScope, shape: VmiShape) -> Object:
    """Return a VM: no network, no graphics, one serial console; FPR off by its own annotation, on by the cluster's default."""
    metadata = build_metadata(scope, shape.name, "vm", shape.instance)
    if not shape.reporting:
        metadata["annotations"] = {ANNOTATION: "true"}
    memory = format_mebibytes(shape.memory_bytes)
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
            # What KubeVirt assumes otherwise is its own control plane's.
            "architecture": scope.architecture.name,
            "nodeSelector": build_node_selector(scope, shape.node),
            "domain": domain,
            "volumes": volumes,
        },
    }


def _kernel_boot(scope: RunScope, shape: VmiShape, image: str) -> Object:
    words = [f"console={scope.architecture.console}", *KERNEL_ARGUMENTS]
    words += ["freepage.console=1", f"freepage.deadline={scope.trial_deadline_s}"]
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
        volumes.append({"name": "data", "emptyDisk": {"capacity": format_mebibytes(shape.data_bytes)}})
    disks: list[Object] = [
        {"name": v["name"], "serial": v["name"], "disk": {"bus": "virtio"}} for v in volumes
    ]
    return disks, volumes


def _container_disk(scope: RunScope, image: str) -> Object:
    disk: Object = {"image": image}
    return disk if scope.pull_secret is None else disk | {"imagePullSecret": scope.pull_secret}

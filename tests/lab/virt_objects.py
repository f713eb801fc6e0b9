"""Objects that KubeVirt's controllers make of VMs and VMIs: instances, launcher pods, statuses."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from freepage.kube.quantities import parse_quantity
from lab.bundle import KVM
from lab.images import CONTAINER_DISK_IMAGE, LAUNCHER_IMAGE
from lab.store import random_suffix

if TYPE_CHECKING:
    from lab.seams import Object

FINALIZER = "foregroundDeleteVirtualMachine"
MIB = 1024**2
USER = 107
_PRIVATE = "/var/run/kubevirt-private"
_FOLDERS = {
    "private": _PRIVATE,
    "sockets": "/var/run/kubevirt/sockets",
    "ephemeral-disks": "/var/run/kubevirt-ephemeral-disks",
    "libvirt-runtime": "/var/run/libvirt",
}
# What virt-launcher and its helpers need beside the guest, as KubeVirt reckons: monitor, launcher, logger, libvirt, QEMU, and
# QEMU's I/O thread.
_FIXED_OVERHEAD = (25 + 100 + 25 + 40 + 50 + 8) * MIB
_ARM64_OVERHEAD = 128 * MIB
_BOOT_VOLUME = "kernel-boot-volume"
# A program that ends at once, mounted into every image, since an image need not have one.
_PROGRAMS = {"name": "virt-bin-share-dir", "image": {"reference": CONTAINER_DISK_IMAGE}}
_PROGRAMS_PATH = "/init/usr/bin"
# The guest's console as the log of a container of its own; it ends when it is asked to, as a sidecar.
_TAIL = 'trap "exit 0" TERM; while [ ! -e "$1" ]; do sleep 0.1; done; tail -n +1 -f "$1" & wait'


def build_instance(vm: Object) -> Object:
    """Return the VMI of a VM: its template under the VM's name, owned by it."""
    template = copy.deepcopy(vm["spec"]["template"])
    metadata = {
        key: value
        for key, value in (template.get("metadata") or {}).items()
        if key in {"labels", "annotations"}
    }
    owner = _owner(vm, "VirtualMachine")
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            **metadata,
            "name": vm["metadata"]["name"],
            "namespace": vm["metadata"]["namespace"],
            "ownerReferences": [owner],
            "finalizers": [FINALIZER],
        },
        "spec": template["spec"],
    }


def build_launcher(instance: Object, kubevirt: Object, accelerator: str) -> Object:
    """Return the virt-launcher pod of a VMI.

    Images come as image volumes, as KubeVirt has them by default where Kubernetes knows them; an init container started from
    each shows whether it can be pulled.
    """
    metadata, spec = instance["metadata"], instance["spec"]
    name, uid = metadata["name"], metadata["uid"]
    own = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid, "vm.kubevirt.io/name": name}
    annotations = {"kubevirt.io/domain": name, "kubectl.kubernetes.io/default-container": "compute"}
    grace_s = spec.get("terminationGracePeriodSeconds", 30)
    volumes = _volumes(spec)
    pulled = [_pulled_image(volume) for volume in volumes if "image" in volume]
    selector = {"kubernetes.io/arch": spec["architecture"]} if "architecture" in spec else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"virt-launcher-{name}-{random_suffix()}",
            "namespace": metadata["namespace"],
            "labels": {**(metadata.get("labels") or {}), **own},
            "annotations": {**(metadata.get("annotations") or {}), **annotations},
            "ownerReferences": [_owner(instance, "VirtualMachineInstance")],
        },
        "spec": {
            "hostname": spec.get("hostname") or name,
            "restartPolicy": "Never",
            "nodeSelector": {
                "kubevirt.io/schedulable": "true",
                **selector,
                **(spec.get("nodeSelector") or {}),
            },
            # Longer than the guest's, so that the launcher can end it.
            "terminationGracePeriodSeconds": grace_s + 15,
            "securityContext": {"runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": True, "fsGroup": USER},
            "volumes": [*volumes, *([_PROGRAMS] if pulled else [])],
            "initContainers": [*pulled, *([_console_log(uid)] if logs_console(instance, kubevirt) else [])],
            "containers": [_compute(instance, kubevirt, accelerator, volumes, grace_s)],
        },
        "status": {"phase": "Pending"},
    }


def logs_console(instance: Object, kubevirt: Object) -> bool:
    """Return whether the guest's console is logged: the VMI's own word counts before the cluster's."""
    devices = instance["spec"]["domain"].get("devices") or {}
    if devices.get("autoattachSerialConsole") is False:
        return False
    disabled = "disableSerialConsoleLog" in (_configuration(kubevirt).get("virtualMachineOptions") or {})
    return devices.get("logSerialConsole", not disabled)


def describe_running(instance: Object, pod: Object) -> Object:
    """Return what a VMI's status says once its guest runs."""
    domain = instance["spec"]["domain"]
    cpu = domain.get("cpu") or {}
    memory = (domain.get("memory") or {}).get("guest") or domain["resources"]["requests"]["memory"]
    return {
        "activePods": {pod["metadata"]["uid"]: pod["spec"]["nodeName"]},
        "currentCPUTopology": {part: cpu.get(part, 1) for part in ("cores", "sockets", "threads")},
        # Only an agent in the guest could tell.
        "guestOSInfo": {},
        "launcherContainerImageVersion": LAUNCHER_IMAGE,
        "machine": {"type": (domain.get("machine") or {}).get("type", "q35")},
        "memory": {"guestAtBoot": memory, "guestCurrent": memory, "guestRequested": memory},
        "migrationTransport": "Unix",
        "nodeName": pod["spec"]["nodeName"],
        "qosClass": pod["status"].get("qosClass", "Burstable"),
        "runtimeUser": USER,
    }


def _compute(
    instance: Object, kubevirt: Object, accelerator: str, volumes: list[Object], grace_s: float
) -> Object:
    metadata = instance["metadata"]
    arguments = ["--name", metadata["name"], "--namespace", metadata["namespace"], "--uid", metadata["uid"]]
    return {
        "name": "compute",
        "image": LAUNCHER_IMAGE,
        "command": ["/usr/bin/env", "python3", "-IS", "/run/virt-launcher/launcher.py"],
        "args": [*arguments, "--grace-period-seconds", str(grace_s)],
        "resources": _resources(instance["spec"], _configuration(kubevirt), accelerator),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
        "volumeMounts": [{"name": v["name"], "mountPath": _mount_path(v)} for v in volumes],
    }


def _console_log(uid: str) -> Object:
    return {
        "name": "guest-console-log",
        "image": LAUNCHER_IMAGE,
        "command": ["/bin/sh", "-c", _TAIL, "virt-tail", f"{_PRIVATE}/{uid}/virt-serial0-log"],
        "restartPolicy": "Always",
        "resources": {"requests": {"memory": "35M", "cpu": "5m"}, "limits": {"memory": "60M", "cpu": "15m"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "private", "mountPath": _PRIVATE, "readOnly": True}],
    }


def _pulled_image(volume: Object) -> Object:
    """Return the init container that is started from the image of a volume."""
    source = volume["image"]
    policy = {"imagePullPolicy": source["pullPolicy"]} if "pullPolicy" in source else {}
    return {
        "name": f"volume{volume['name']}",
        "image": source["reference"],
        **policy,
        "command": [f"{_PROGRAMS_PATH}/container-disk"],
        "args": ["--no-op"],
        "resources": {"requests": {"memory": "1M", "cpu": "10m"}, "limits": {"memory": "40M", "cpu": "100m"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": _PROGRAMS["name"], "mountPath": _PROGRAMS_PATH, "readOnly": True}],
    }


def _volumes(spec: Object) -> list[Object]:
    """Return the pod's volumes: the launcher's own folders, images to boot from, secrets with user data."""
    found: list[Object] = [{"name": name, "emptyDir": {}} for name in _FOLDERS]
    boot = ((spec["domain"].get("firmware") or {}).get("kernelBoot") or {}).get("container")
    if boot:
        found.append(_image_volume(_BOOT_VOLUME, boot))
    for volume in spec.get("volumes") or []:
        if "containerDisk" in volume:
            found.append(_image_volume(volume["name"], volume["containerDisk"]))
        secret = (volume.get("cloudInitNoCloud") or {}).get("secretRef")
        if secret:
            found.append({"name": volume["name"], "secret": {"secretName": secret["name"]}})
    return found


def _image_volume(name: str, source: Object) -> Object:
    policy = {"pullPolicy": source["imagePullPolicy"]} if "imagePullPolicy" in source else {}
    return {"name": name, "image": {"reference": source["image"], **policy}}


def _mount_path(volume: Object) -> str:
    name = volume["name"]
    if "secret" in volume:
        return f"{_PRIVATE}/secret/{name}"
    if "image" in volume:
        return "/var/run/kubevirt/" + ("kernel-boot" if name == _BOOT_VOLUME else f"container-disks/{name}")
    return _FOLDERS[name]


def _resources(spec: Object, configuration: Object, accelerator: str) -> Object:
    """Return what the pod asks for: the guest's memory, less where the cluster overcommits, and what comes on top."""
    domain = spec["domain"]
    asked = domain.get("resources") or {}
    developer = configuration.get("developerConfiguration") or {}
    vcpus = _count_vcpus(domain)
    guest = parse_quantity((domain.get("memory") or {}).get("guest") or asked["requests"]["memory"]) or 0
    firmware = _ARM64_OVERHEAD if spec.get("architecture") == "arm64" else 0
    ratio = float(configuration.get("additionalGuestMemoryOverheadRatio") or 1)
    overhead = (guest / 512 + 8 * MIB * vcpus + _FIXED_OVERHEAD + firmware) * ratio
    given = (asked.get("requests") or {}).get("memory")
    memory = parse_quantity(given) if given else guest * 100 / developer.get("memoryOvercommit", 100)
    extra = 0 if asked.get("overcommitGuestOverhead") else overhead
    cpu = (asked.get("requests") or {}).get(
        "cpu"
    ) or f"{vcpus * 1000 // developer.get('cpuAllocationRatio', 10)}m"
    limits: dict[str, Any] = dict(asked.get("limits") or {})
    if "memory" in limits:
        limits["memory"] = str(int((parse_quantity(limits["memory"]) or 0) + overhead))
    if accelerator == "kvm":
        limits[KVM] = "1"
    return {"requests": {"cpu": str(cpu), "memory": str(int((memory or 0) + extra))}, "limits": limits}


def _count_vcpus(domain: Object) -> int:
    cpu = domain.get("cpu") or {}
    return cpu.get("sockets", 1) * cpu.get("cores", 1) * cpu.get("threads", 1)


def _configuration(kubevirt: Object) -> Object:
    return (kubevirt.get("spec") or {}).get("configuration") or {}


def _owner(obj: Object, kind: str) -> Object:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": kind,
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }

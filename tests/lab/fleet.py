"""A large cluster without a single VM: synthetic VMIs of real size, their launcher pods and those pods' logs.

Every VMI carries the label `fleet/variant`, by which a test knows what it is.
"""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.bootstrap import create_namespace
from lab.kubevirt import INSTANCES, VMS
from lab.seams import NotStartedError
from lab.store import PODS, merged, timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.seams import Object
    from lab.store import Key, MemoryStore

NODES = ("", "nodes")
NAMESPACE_COUNT = 10
NODE_COUNT = 10
# How often a launcher defines its domain at its start, each time with a dump in its log.
DEFINITIONS = 2
ANNOTATION = "kubevirt.io/free-page-reporting-disabled"
VARIANT_LABEL = "fleet/variant"
LINUX = {"id": "fedora", "name": "Fedora Linux", "kernelRelease": "6.11.4-301.fc41.x86_64", "versionId": "41"}


@dataclass(frozen=True)
class Variant:
    """One sort of VMI: what it has beside an ordinary one, and what its domain XML says of FPR.

    rotated: the log no longer has the domain XML. migrated: a second launcher pod is left of a live migration. template:
    annotations its VirtualMachine's template has, where they differ from the VMI's. typed: its VirtualMachine names an instance
    type and a preference, of the whole cluster ("Cluster") or of its namespace ("").
    """

    name: str
    reporting: str = "on"
    spec: Object = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    guest: Object | None = field(default_factory=lambda: LINUX)
    template: dict[str, str] | None = None
    rotated: bool = False
    migrated: bool = False
    typed: str | None = None


def _devices(**devices: Any) -> Object:
    return {"domain": {"devices": devices}}


OFF = {ANNOTATION: "true"}
WINDOWS = {"id": "mswindows", "name": "Microsoft Windows", "kernelRelease": "20348", "versionId": "2022"}
VARIANTS = (
    Variant("on"),
    Variant("off-by-annotation", "off", annotations=OFF),
    Variant("on-agentless", guest=None),
    Variant("dedicated-cpus", "off", spec={"domain": {"cpu": {"dedicatedCpuPlacement": True}}}),
    Variant("typed", typed=""),
    Variant("huge-pages", "off", spec={"domain": {"memory": {"hugepages": {"pageSize": "2Mi"}}}}),
    Variant("vfio", spec=_devices(gpus=[{"name": "gpu", "deviceName": "nvidia.com/A2"}])),
    Variant("windows", guest=WINDOWS),
    Variant("typed-by-cluster", typed="Cluster"),
    Variant("old-kernel", guest={**LINUX, "id": "rhel", "kernelRelease": "4.18.0-193.el8.x86_64"}),
    Variant("restart-pending", "on", template=OFF),
    Variant("realtime", "off", spec={"domain": {"cpu": {"dedicatedCpuPlacement": True, "realtime": {}}}}),
    Variant("migrated", migrated=True),
    Variant("no-balloon", "none", spec=_devices(autoattachMemBalloon=False)),
    Variant("log-rotated", rotated=True),
    # Started while the whole cluster had it off: what it should be is not what it is.
    Variant("started-before", "off"),
)


@asynccontextmanager
async def open_fleet(store: MemoryStore, count: int) -> AsyncIterator[None]:
    """Fill a store with `count` VMIs, with kubelets that serve their launchers' logs."""
    instances = [_add_instance(store, n, variant) for n, variant in enumerate(_pick(count))]
    by_pod = {
        (pod["metadata"]["namespace"], pod["metadata"]["name"]): found for pod, found in _flatten(instances)
    }
    for n in range(NODE_COUNT):
        store.kubelets[node_name(n)] = FleetKubelet(by_pod)
    ending = asyncio.create_task(_end_pods(store))
    try:
        yield
    finally:
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)


def _pick(count: int) -> list[Variant]:
    return [VARIANTS[n % len(VARIANTS)] for n in range(count)]


@dataclass(frozen=True)
class Launched:
    """A VMI with its launcher pods; `pods` in the order they were started."""

    instance: Object
    variant: Variant
    pods: tuple[Object, ...]


def _flatten(launched: list[Launched]) -> list[tuple[Object, Launched]]:
    return [(pod, found) for found in launched for pod in found.pods]


def build_managed_fields(obj: Object) -> list[Object]:
    """Return what Kubernetes notes of who set which field: about as large as the object itself."""

    def name_fields(tree: Any) -> Object:
        if isinstance(tree, list):
            keyed = [part for part in tree if isinstance(part, dict) and "name" in part]
            return {f'k:{{"name":"{part["name"]}"}}': {".": {}, **name_fields(part)} for part in keyed}
        return (
            {f"f:{key}": name_fields(value) for key, value in tree.items()} if isinstance(tree, dict) else {}
        )

    entry = {
        "manager": "virt-controller",
        "operation": "Update",
        "apiVersion": obj["apiVersion"],
        "time": timestamp(),
    }
    return [{**entry, "fieldsType": "FieldsV1", "fieldsV1": name_fields(obj)}]


def node_name(n: int) -> str:
    return f"worker-{n % NODE_COUNT}"


def _add_instance(store: MemoryStore, n: int, variant: Variant) -> Launched:
    """Add one VM with all that belongs to it; the first one of a namespace or node adds that as well."""
    namespace, name = f"team-{n % NAMESPACE_COUNT}", f"vm-{n:04}"
    if n < NAMESPACE_COUNT:
        create_namespace(store, namespace)
    if n < NODE_COUNT:
        store.create(NODES, build_node(node_name(n)))
    vm = build_vm(namespace, name, variant)
    if variant.typed is not None:
        vm["spec"] |= _add_types(store, namespace, name, variant.typed)
    owner = _create(store, VMS, vm)
    instance = _create(store, INSTANCES, build_instance(namespace, name, variant, owner, node_name(n)))
    nodes = [node_name(n), node_name(n + 1)] if variant.migrated else [node_name(n)]
    pods = tuple(_create(store, PODS, build_launcher(instance, node)) for node in nodes)
    if variant.migrated:
        status = {
            "status": {"nodeName": nodes[1], "migrationState": {"completed": True, "targetNode": nodes[1]}}
        }
        instance = store.merge(INSTANCES, namespace, name, status)
        _complete(store, pods[0])
    return Launched(instance, variant, pods)


def _add_types(store: MemoryStore, namespace: str, name: str, scope: str) -> Object:
    """Add an instance type and a preference for one VM; return what its spec says of them.

    KubeVirt keeps a copy of what a VM started with; the instance type of a namespace is changed afterwards.
    """
    named = {}
    for field_, part, spec in (
        ("instancetype", "Instancetype", {"cpu": {"guest": 4}, "memory": {"guest": "8Gi"}}),
        ("preference", "Preference", {"devices": {"preferredDiskBus": "virtio"}}),
    ):
        kind = f"VirtualMachine{scope}{part}"
        metadata = {"name": f"{name}-{field_}", **({} if scope else {"namespace": namespace})}
        group = "instancetype.kubevirt.io"
        obj = {"apiVersion": f"{group}/v1beta1", "kind": kind, "metadata": metadata, "spec": spec}
        _create(store, (group, f"{kind.lower()}s"), obj)
        named[field_] = {"kind": kind, "name": metadata["name"]}
    if not scope:
        named["instancetype"]["revisionName"] = _add_revision(store, namespace, f"{name}-instancetype")
    return named


def _add_revision(store: MemoryStore, namespace: str, name: str) -> str:
    labels = {"instancetype.kubevirt.io/object-name": name}
    revision = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": f"{name}-copy", "namespace": namespace, "labels": labels},
        "data": {"spec": {"cpu": {"guest": 4}, "memory": {"guest": "8Gi"}}},
        "revision": 1,
    }
    return _create(store, ("apps", "controllerrevisions"), revision)["metadata"]["name"]


def _create(store: MemoryStore, key: Key, obj: Object) -> Object:
    obj["metadata"]["managedFields"] = build_managed_fields(obj)
    return store.create(key, obj)


def _complete(store: MemoryStore, pod: Object) -> None:
    store.merge(
        PODS, pod["metadata"]["namespace"], pod["metadata"]["name"], {"status": {"phase": "Succeeded"}}
    )


async def _end_pods(store: MemoryStore) -> None:
    async for change, pod in store.watch(PODS):
        if change != "DELETED" and pod["metadata"].get("deletionTimestamp"):
            store.delete(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])


def build_node(name: str) -> Object:
    status = {
        "capacity": {"cpu": "64", "memory": "527988716Ki", "pods": "500"},
        "allocatable": {"cpu": "63500m", "memory": "526837740Ki", "pods": "500"},
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is ready"}
        ],
        "nodeInfo": {"architecture": "amd64", "kernelVersion": "6.12.0", "kubeletVersion": "v1.35.2"},
    }
    labels = {
        "kubernetes.io/hostname": name,
        "node-role.kubernetes.io/worker": "",
        "kubevirt.io/schedulable": "true",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": status,
    }


def build_spec(name: str, variant: Variant) -> Object:
    """Return a VMI's spec as KubeVirt has it once its defaults are written out."""
    ordinary = {
        "architecture": "amd64",
        "domain": {
            "cpu": {"cores": 1, "maxSockets": 16, "model": "host-model", "sockets": 4, "threads": 1},
            "devices": {
                "disks": [
                    {"name": "rootdisk", "disk": {"bus": "virtio"}, "bootOrder": 1},
                    {"name": "cloudinitdisk", "disk": {"bus": "virtio"}},
                ],
                "interfaces": [
                    {
                        "name": "default",
                        "masquerade": {},
                        "model": "virtio",
                        "macAddress": "02:00:00:00:00:01",
                    }
                ],
                "rng": {},
            },
            "features": {"acpi": {"enabled": True}, "smm": {"enabled": True}},
            "firmware": {"bootloader": {"efi": {}}, "uuid": "2a1d6c4e-6f0b-5d0e-9d11-8c2a6f6d2f10"},
            "machine": {"type": "pc-q35-rhel9.6.0"},
            "memory": {"guest": "8Gi", "maxGuest": "32Gi"},
            "resources": {"requests": {"memory": "8Gi"}},
        },
        "evictionStrategy": "LiveMigrate",
        "hostname": name,
        "networks": [{"name": "default", "pod": {}}],
        "terminationGracePeriodSeconds": 180,
        "volumes": [
            {"name": "rootdisk", "dataVolume": {"name": f"{name}-root"}},
            {"name": "cloudinitdisk", "cloudInitNoCloud": {"secretRef": {"name": f"{name}-cloudinit"}}},
        ],
    }
    return merged(ordinary, variant.spec)


def build_vm(namespace: str, name: str, variant: Variant) -> Object:
    annotations = variant.annotations if variant.template is None else variant.template
    labels = {"kubevirt.io/domain": name, VARIANT_LABEL: variant.name}
    spec = build_spec(name, variant)
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name, VARIANT_LABEL: variant.name},
        },
        "spec": {
            "runStrategy": "Always",
            "template": {"metadata": {"annotations": dict(annotations), "labels": labels}, "spec": spec},
        },
        "status": {"created": True, "printableStatus": "Running", "ready": True},
    }


def build_instance(namespace: str, name: str, variant: Variant, owner: Object, node: str) -> Object:
    reference = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "name": name,
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    annotations = {
        "kubevirt.io/latest-observed-api-version": "v1",
        "kubevirt.io/storage-observed-api-version": "v1",
        "vm.kubevirt.io/os": "linux",
        **variant.annotations,
    }
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": annotations,
            "labels": {"kubevirt.io/domain": name, "kubevirt.io/nodeName": node, VARIANT_LABEL: variant.name},
            "finalizers": ["kubevirt.io/virtualMachineControllerFinalize", "foregroundDeleteVirtualMachine"],
            "ownerReferences": [reference],
        },
        "spec": build_spec(name, variant),
        "status": build_status(variant, node),
    }


def build_status(variant: Variant, node: str) -> Object:
    now = timestamp()
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        for kind in (
            "Ready",
            "LiveMigratable",
            "StorageLiveMigratable",
            *(("AgentConnected",) if variant.guest else ()),
        )
    ]
    transitions = [
        {"phase": phase, "phaseTransitionTimestamp": now}
        for phase in ("Pending", "Scheduling", "Scheduled", "Running")
    ]
    status = {
        "activePods": {"7d0d3f4c-9d0e-4f38-a1fe-000000000000": node},
        "conditions": conditions,
        "currentCPUTopology": {"cores": 1, "sockets": 4, "threads": 1},
        "interfaces": [
            {
                "infoSource": "domain, guest-agent",
                "interfaceName": "eth0",
                "ipAddress": "10.128.3.17",
                "ipAddresses": ["10.128.3.17", "fe80::ff:fe00:1"],
                "mac": "02:00:00:00:00:01",
                "name": "default",
                "queueCount": 1,
            }
        ],
        "launcherContainerImageVersion": "registry.example/kubevirt/virt-launcher:v1.9.0",
        "machine": {"type": "pc-q35-rhel9.6.0"},
        "memory": {"guestAtBoot": "8Gi", "guestCurrent": "8Gi", "guestRequested": "8Gi"},
        "migrationMethod": "LiveMigration",
        "nodeName": node,
        "phase": "Running",
        "phaseTransitionTimestamps": transitions,
        "qosClass": "Burstable",
        "runtimeUser": 107,
        "selinuxContext": "system_u:object_r:container_file_t:s0:c21,c746",
        "virtualMachineRevisionName": "revision-start-vm-7d0d3f4c-1",
        "volumeStatus": [
            {"name": "cloudinitdisk", "size": 1048576, "target": "vdb"},
            {"name": "rootdisk", "target": "vda"},
        ],
    }
    return status | ({"guestOSInfo": variant.guest} if variant.guest else {})


def build_launcher(instance: Object, node: str) -> Object:
    metadata = instance["metadata"]
    reference = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {
        "kubevirt.io": "virt-launcher",
        "kubevirt.io/created-by": metadata["uid"],
        "vm.kubevirt.io/name": metadata["name"],
    }
    containers = [build_container("compute", "8613Mi"), build_container("guest-console-log", "35M")]
    ready = [
        {"type": kind, "status": "True", "lastTransitionTime": timestamp()}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    running = [
        {
            "name": c["name"],
            "ready": True,
            "started": True,
            "restartCount": 0,
            "image": c["image"],
            "state": {"running": {}},
        }
        for c in containers
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"virt-launcher-{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {
                "kubevirt.io/domain": metadata["name"],
                "post.hook.backup.velero.io/container": "compute",
            },
            "ownerReferences": [reference],
        },
        "spec": {
            "containers": containers,
            "nodeName": node,
            "nodeSelector": {"kubernetes.io/arch": "amd64", "kubevirt.io/schedulable": "true"},
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 210,
            "serviceAccountName": "default",
            "volumes": [{"name": name, "emptyDir": {}} for name in VOLUMES],
        },
        "status": {
            "phase": "Running",
            "conditions": ready,
            "containerStatuses": running,
            "qosClass": "Burstable",
        },
    }


VOLUMES = (
    "private",
    "public",
    "sockets",
    "virt-bin-share-dir",
    "libvirt-runtime",
    "ephemeral-disks",
    "container-disks",
    "hotplug-disks",
)


def build_container(name: str, memory: str) -> Object:
    return {
        "name": name,
        "image": "registry.example/kubevirt/virt-launcher:v1.9.0",
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "/usr/bin/virt-launcher-monitor",
            "--qemu-timeout",
            "299s",
            "--name",
            name,
            "--ephemeral-disk-dir",
        ],
        "env": [
            {"name": key, "value": "/var/run/kubevirt-private"}
            for key in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
        ],
        "resources": {
            "requests": {"cpu": "400m", "memory": memory},
            "limits": {"devices.kubevirt.io/kvm": "1"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 107,
        },
        "volumeMounts": [{"name": volume, "mountPath": f"/var/run/kubevirt/{volume}"} for volume in VOLUMES],
    }


def build_domain_xml(launched: Launched) -> str:
    """Return a domain as libvirt has it, of about real size."""
    metadata = launched.instance["metadata"]
    disks = "".join(
        f"""
    <disk type='block' device='disk' model='virtio-non-transitional'>
      <driver name='qemu' type='raw' cache='none' error_policy='stop' io='native' discard='unmap'/>
      <source dev='/dev/{name}' index='{n}'/>
      <backingStore/>
      <target dev='vd{"ab"[n]}' bus='virtio'/>
      <alias name='ua-{name}'/>
      <address type='pci' domain='0x0000' bus='0x0{n + 5}' slot='0x00' function='0x0'/>
    </disk>"""
        for n, name in enumerate(("rootdisk", "cloudinitdisk"))
    )
    ports = "".join(
        f"""
    <controller type='pci' index='{n}' model='pcie-root-port'>
      <model name='pcie-root-port'/>
      <target chassis='{n}' port='0x{n + 15:x}'/>
      <alias name='pci.{n}'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x{n % 8}'/>
    </controller>"""
        for n in range(1, 13)
    )
    balloon = (
        "<memballoon model='none'/>"
        if launched.variant.reporting == "none"
        else f"""<memballoon model='virtio-non-transitional' freePageReporting='{launched.variant.reporting}'>
      <stats period='10'/>
      <alias name='balloon0'/>
      <address type='pci' domain='0x0000' bus='0x08' slot='0x00' function='0x0'/>
    </memballoon>"""
    )
    return f"""<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{metadata["namespace"]}_{metadata["name"]}</name>
  <uuid>2a1d6c4e-6f0b-5d0e-9d11-8c2a6f6d2f10</uuid>
  <metadata><kubevirt xmlns='http://kubevirt.io'><uid>{metadata["uid"]}</uid></kubevirt></metadata>
  <maxMemory slots='16' unit='KiB'>33554432</maxMemory>
  <memory unit='KiB'>8388608</memory>
  <currentMemory unit='KiB'>8388608</currentMemory>
  <vcpu placement='static' current='4'>16</vcpu>
  <os><type arch='x86_64' machine='pc-q35-rhel9.6.0'>hvm</type><smbios mode='sysinfo'/></os>
  <features><acpi/><smm state='on'/></features>
  <cpu mode='host-model'><topology sockets='16' cores='1' threads='1'/></cpu>
  <devices>
    <emulator>/usr/libexec/qemu-kvm</emulator>{disks}{ports}
    <serial type='unix'><source mode='bind' path='/var/run/kubevirt-private/{metadata["uid"]}/virt-serial0'/></serial>
    {balloon}
    <rng model='virtio-non-transitional'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""


def build_log(launched: Launched) -> str:
    """Return what virt-launcher has logged: the domain early on, unless that is rotated away, and much that is not it."""
    domain = base64.b64encode(build_domain_xml(launched).encode()).decode()
    before = [
        "Collected all requested hook sidecar sockets",
        "Connecting to libvirt daemon: qemu+unix:///session",
    ]
    after = [f"Synced vmi ({n})" for n in range(60)]
    dump = (
        []
        if launched.variant.rotated
        else DEFINITIONS * [f"Domain XML generated. Base64 dump {domain}", "Domain defined."]
    )
    metadata = launched.instance["metadata"]
    return "".join(_log_line(text, metadata) for text in (*before, *dump, *after))


def _log_line(text: str, metadata: Object) -> str:
    line = {
        "component": "virt-launcher",
        "kind": "",
        "level": "info",
        "msg": text,
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "pos": "libvirt_helper.go:134",
        "timestamp": f"{metadata['creationTimestamp'][:-1]}.120000Z",
        "uid": metadata["uid"],
    }
    return json.dumps(line, separators=(",", ":")) + "\n"


class FleetKubelet:
    """A node of the fleet (seams.Kubelet): logs, and virsh dumpxml; nothing else runs there."""

    def __init__(self, launched: dict[tuple[str, str], Launched]) -> None:
        self._launched = launched

    async def read_log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        since_s: float | None = None,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        launched = self._launched[namespace, pod]
        # Where a VM was migrated to, its domain was never generated.
        target = launched.pods[0]["metadata"]["name"] != pod
        log = "" if container != "compute" or target else build_log(launched)
        lines = log.splitlines(keepends=True)
        lines = lines if tail_lines is None else lines[len(lines) - tail_lines :]
        stamp = f"{launched.instance['metadata']['creationTimestamp'][:-1]}.120000000Z " if timestamps else ""
        yield "".join(stamp + line for line in lines).encode()[:limit_bytes]
        if follow:
            await asyncio.Event().wait()

    async def attach(self, namespace: str, pod: str, container: str) -> Answered:
        raise NotStartedError(f'container "{container}" in pod "{pod}" is a synthetic one')

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool
    ) -> Answered:
        launched = self._launched[namespace, pod]
        if command[0] != "virsh":
            raise FileNotFoundError(f'exec: "{command[0]}": executable file not found in $PATH')
        if "dumpxml" in command and "-c" in command:
            return Answered(1, build_domain_xml(launched).encode(), 0)
        return Answered(2, b"error: failed to connect to the hypervisor\n", 1)

    async def open_console(self, namespace: str, instance: str) -> Answered:
        raise NotStartedError("a synthetic VM has no console")


class Answered:
    """A command that is over already (seams.Duplex)."""

    def __init__(self, stream: int, output: bytes, status: int) -> None:
        self._output = [(stream, output)]
        self._status = status

    async def write(self, data: bytes) -> None:
        raise BrokenPipeError

    async def close_stdin(self) -> None:
        return

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        for part in self._output:
            yield part

    async def wait(self) -> int:
        return self._status

    async def close(self) -> None:
        return

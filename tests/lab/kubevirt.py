"""KubeVirt's own admission: the rules of its webhooks that matter to who creates and changes VMs, and its subresources."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING

from lab.admission import judge_dns_label, parse_quantity
from lab.statuses import Cause, bad_request, conflict, denied, not_found
from lab.store import copied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.kinds import Kind
    from lab.seams import Object
    from lab.store import MemoryStore

VMS = ("kubevirt.io", "virtualmachines")
INSTANCES = ("kubevirt.io", "virtualmachineinstances")
KUBEVIRTS = ("kubevirt.io", "kubevirts")

MOST_USER_DATA_BYTES = 2048
_CLOUD_INIT = ("cloudInitNoCloud", "cloudInitConfigDrive")
# Labels that only KubeVirt itself sets.
_RESERVED = ("kubevirt.io/created-by", "kubevirt.io/migrationJobUID", "kubevirt.io/nodeName")


def fill_in(kind: Kind, obj: Object) -> None:
    """Write KubeVirt's defaults into a new VMI or VM."""
    if kind.key == INSTANCES:
        _fill_in_instance(obj["spec"])
    if kind.key == VMS:
        domain = obj["spec"]["template"]["spec"].setdefault("domain", {})
        domain.setdefault("machine", {}).setdefault("type", "q35")


def _fill_in_instance(spec: Object) -> None:
    spec.setdefault("architecture", "amd64")
    domain = spec["domain"]
    domain.setdefault("machine", {}).setdefault("type", "q35")
    domain.setdefault("firmware", {}).setdefault("uuid", str(uuid.uuid4()))
    domain.setdefault("features", {}).setdefault("acpi", {}).setdefault("enabled", True)
    cpu = domain.setdefault("cpu", {})
    for part in ("sockets", "cores", "threads"):
        cpu.setdefault(part, 1)
    cpu.setdefault("model", "host-model")
    cpu.setdefault("maxSockets", cpu["sockets"] * 4)
    _fill_in_memory(domain)


def _fill_in_memory(domain: Object) -> None:
    """Guest memory defaults to what is requested, and may grow fourfold unless maxGuest says otherwise."""
    memory = domain.setdefault("memory", {})
    requests = domain.setdefault("resources", {}).setdefault("requests", {})
    if "guest" not in memory and "memory" in requests:
        memory["guest"] = requests["memory"]
    if "guest" not in memory:
        return
    requests.setdefault("memory", memory["guest"])
    hotplug = parse_quantity(memory["guest"]) >= 1024**3 and "realtime" not in domain["cpu"]
    if hotplug and "maxGuest" not in memory:
        memory["maxGuest"] = str(round(parse_quantity(memory["guest"]) * 4))


def refuse_create(kind: Kind, obj: Object) -> None:
    """Refuse what KubeVirt's webhooks refuse."""
    if kind.key == INSTANCES:
        causes = [*_judge_labels(obj), *_judge_instance(obj["spec"], "spec")]
        webhook = "virtualmachineinstances-create-validator.kubevirt.io"
    elif kind.key == VMS:
        causes = [*_judge_machine(obj["spec"])]
        webhook = "virtualmachine-validator.kubevirt.io"
    else:
        return
    if causes:
        raise denied(webhook, causes)


def refuse_update(kind: Kind, before: Object, after: Object) -> None:
    """Refuse a change: a VMI's spec belongs to KubeVirt; a VM is judged as when it was created."""
    if kind.key == INSTANCES and before.get("spec") != after.get("spec"):
        words = "update of VMI object is restricted"
        raise denied(
            "virtualmachineinstances-update-validator.kubevirt.io",
            [Cause("FieldValueNotSupported", "spec", words)],
        )
    if kind.key == VMS:
        refuse_create(kind, after)


def _judge_labels(obj: Object) -> Iterator[Cause]:
    for label in obj["metadata"].get("labels") or ():
        if label in _RESERVED:
            words = f"creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited: {label}"
            yield Cause("FieldValueNotSupported", "metadata.labels", words)


def _judge_machine(spec: Object) -> Iterator[Cause]:
    if ("running" in spec) == ("runStrategy" in spec):
        words = "One of Running or RunStrategy must be specified, and they are mutually exclusive"
        yield Cause("FieldValueInvalid", "spec.running", words)
    yield from _judge_instance(spec["template"]["spec"], "spec.template.spec")


def _judge_instance(spec: Object, path: str) -> Iterator[Cause]:
    domain = spec.get("domain") or {}
    yield from _judge_volumes(spec, path)
    yield from _judge_kernel_boot((domain.get("firmware") or {}).get("kernelBoot"), path)
    yield from _judge_memory(domain, path)
    yield from _judge_networks(spec, path)
    hostname = spec.get("hostname")
    if hostname and judge_dns_label(hostname):
        words = f"{path}.hostname does not conform to the kubernetes DNS_LABEL rules : {judge_dns_label(hostname)}"
        yield Cause("FieldValueInvalid", f"{path}.hostname", words)


def _judge_volumes(spec: Object, path: str) -> Iterator[Cause]:
    """Judge that volumes and disks name each other, and that cloud-init has one source that is small enough."""
    devices = (spec.get("domain") or {}).get("devices") or {}
    used = {item["name"] for key in ("disks", "filesystems") for item in devices.get(key) or ()}
    volumes = [volume["name"] for volume in spec.get("volumes") or ()]
    for n, disk in enumerate(devices.get("disks") or ()):
        if disk["name"] not in volumes:
            where = f"{path}.domain.devices.disks[{n}].name"
            yield Cause("FieldValueInvalid", where, f"{where} '{disk['name']}' not found.")
    for n, volume in enumerate(spec.get("volumes") or ()):
        if volume["name"] not in used:
            where = f"{path}.domain.volumes[{n}].name"
            yield Cause("FieldValueInvalid", where, f"{where} '{volume['name']}' not found.")
        for source in _CLOUD_INIT:
            if source in volume:
                yield from _judge_cloud_init(volume[source], f"{path}.volumes[{n}].{source}")


def _judge_cloud_init(source: Object, path: str) -> Iterator[Cause]:
    given = [key for key in ("userData", "userDataBase64", "secretRef") if source.get(key)]
    if len(given) != 1:
        words = f"{path} must have one exactly one userdata source set."
        yield Cause("FieldValueInvalid", path, words)
        return
    data = source[given[0]]
    size = len(base64.b64decode(data)) if given[0] == "userDataBase64" else len(data)
    if size > MOST_USER_DATA_BYTES:
        words = (
            f"{path} userdata exceeds {MOST_USER_DATA_BYTES} byte limit. "
            "Should use UserDataSecretRef for larger data."
        )
        yield Cause("FieldValueInvalid", path, words)


def _judge_kernel_boot(boot: Object | None, path: str) -> Iterator[Cause]:
    path = f"{path}.domain.firmware.kernelBoot"
    if boot is None:
        return
    container = boot.get("container")
    if container is None:
        if boot.get("kernelArgs"):
            words = "kernel arguments cannot be provided without an external kernel"
            yield Cause("FieldValueInvalid", f"{path}.kernelArgs", words)
        return
    if not container.get("image"):
        words = f"{path}.container must be defined with an image"
        yield Cause("FieldValueRequired", f"{path}.container.image", words)
    files = {key: container[key] for key in ("kernelPath", "initrdPath") if container.get(key)}
    if not files:
        words = f"{path}.container must be defined with at least one of the following: kernelPath, initrdPath"
        yield Cause("FieldValueRequired", f"{path}.container", words)
    for key, file in files.items():
        if not file.startswith("/") or file == "/" or ".." in file.split("/"):
            words = f"{path}.container.{key} must be an absolute path to a file without relative elements"
            yield Cause("FieldValueInvalid", f"{path}.container.{key}", words)


def _judge_memory(domain: Object, path: str) -> Iterator[Cause]:
    memory = domain.get("memory") or {}
    guest = memory.get("guest")
    limit = ((domain.get("resources") or {}).get("limits") or {}).get("memory")
    if guest and limit and parse_quantity(guest) > parse_quantity(limit):
        words = f"{path}.domain.memory.guest '{guest}' must be equal to or less than the memory limit {path}.domain.resources.limits.memory '{limit}'"
        yield Cause("FieldValueInvalid", f"{path}.domain.memory.guest", words)
    if guest and parse_quantity(memory.get("maxGuest", guest)) < parse_quantity(guest):
        words = f"{path}.domain.memory.maxGuest must not be less than the guest memory"
        yield Cause("FieldValueInvalid", f"{path}.domain.memory.maxGuest", words)


def _judge_networks(spec: Object, path: str) -> Iterator[Cause]:
    interfaces = ((spec.get("domain") or {}).get("devices") or {}).get("interfaces") or ()
    names = {network["name"] for network in spec.get("networks") or ()}
    for n, interface in enumerate(interfaces):
        if interface["name"] not in names:
            where = f"{path}.domain.devices.interfaces[{n}].name"
            yield Cause("FieldValueInvalid", where, f"{where} '{interface['name']}' not found.")


def run_strategy(machine: Object) -> str:
    """Return a VM's run strategy, whichever of its two fields says it."""
    spec = machine["spec"]
    return spec.get("runStrategy") or ("Always" if spec.get("running") else "Halted")


def change_state(store: MemoryStore, namespace: str, name: str, action: str, options: Object) -> None:
    """Do a VM's restart, start or stop as virt-api does: by its run strategy, or by a request in its status."""
    machine = _find_machine(store, namespace, name)
    strategy = run_strategy(machine)
    instance = next((i for i in store.peek_all(INSTANCES, namespace) if i["metadata"]["name"] == name), None)
    _refuse_state(action, strategy, name, running=instance is not None)
    if options.get("dryRun"):
        return
    if action == "restart" or strategy in {"Manual", "RerunOnFailure"}:
        requests: list[Object] = []
        if action != "start" and instance is not None:
            requests.append({"action": "Stop", "uid": instance["metadata"]["uid"]})
        if action != "stop":
            requests.append({"action": "Start"})
        store.merge(VMS, namespace, name, {"status": {"stateChangeRequests": requests}})
        return
    wanted = "Always" if action == "start" else "Halted"
    changed = {"runStrategy": wanted} if "runStrategy" in machine["spec"] else {"running": wanted == "Always"}
    store.merge(VMS, namespace, name, {"spec": changed})


def _find_machine(store: MemoryStore, namespace: str, name: str) -> Object:
    try:
        return copied(store.peek(VMS, namespace, name))
    except KeyError:
        raise not_found("kubevirt.io", "virtualmachine", name) from None


def _refuse_state(action: str, strategy: str, name: str, *, running: bool) -> None:
    why = None
    if action == "restart" and strategy in {"Halted", "Once"}:
        why = f"RunStategy {strategy} does not support manual restart requests"
    elif action in {"restart", "stop"} and not running:
        why = "VM is not running: Halted" if action == "restart" else "VM is not running"
    elif action == "start" and running:
        why = "VM is already running"
    if why:
        raise conflict("kubevirt.io", "virtualmachine", name, why)


def check_console(instance: Object) -> None:
    """Refuse a console that virt-api refuses."""
    devices = instance["spec"]["domain"].get("devices") or {}
    phase = instance.get("status", {}).get("phase")
    if devices.get("autoattachSerialConsole") is False:
        raise bad_request("No serial consoles are present.")
    if phase == "Failed":
        name = instance["metadata"]["name"]
        raise conflict("kubevirt.io", "virtualmachineinstance", name, "VMI is in failed status")
    if phase != "Running":
        raise bad_request("VMI is not running")

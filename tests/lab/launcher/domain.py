"""The libvirt domain of a VirtualMachineInstance. Runs inside of its launcher, with the standard library alone."""

from __future__ import annotations

import string
from dataclasses import dataclass
from xml.etree import ElementTree as ET

PRIVATE = "/var/run/kubevirt-private"
KERNEL_BOOT = "/var/run/kubevirt/kernel-boot"
_MACHINES = {"x86_64": "q35", "aarch64": "virt"}
_KIB, _MIB = 1024, 1024**2
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {f"{letter}i": 1024**power for power, letter in enumerate("KMGT", 1)}
_BUSES = {"virtio": "vd", "sata": "sd", "scsi": "sd", "usb": "sd"}


@dataclass(frozen=True)
class Host:
    """The executor of guests: "kvm" or "tcg", and the machine's name."""

    accelerator: str
    architecture: str


@dataclass(frozen=True)
class Disk:
    """A disk's file, as a disk or a CD, on a bus; `direct`: past the page cache, where the file system can do that."""

    path: str
    kind: str
    bus: str
    format: str = "raw"
    serial: str = ""
    read_only: bool = False
    direct: bool = False


def build_domain(instance: dict, *, reporting: bool, host: Host, disks: list[Disk]) -> str:
    """Return a VM's domain XML; `reporting` is the decision on free page reporting, made by who asks for the VM."""
    metadata, wanted = instance["metadata"], instance["spec"]["domain"]
    name = f"{metadata['namespace']}_{metadata['name']}"
    firmware = wanted.get("firmware") or {}
    parts = [
        _element("name", name),
        *([_element("uuid", firmware["uuid"])] if "uuid" in firmware else []),
        _metadata(metadata["uid"]),
        _element("memory", str(guest_bytes(instance)), unit="b"),
        _element("vcpu", str(count_vcpus(wanted)), placement="static"),
        _boot(firmware.get("kernelBoot"), host),
        _features(host),
        _cpu(wanted.get("cpu") or {}, host),
        _devices(instance, reporting=reporting, host=host, disks=disks),
    ]
    root = _element("domain", *parts, type="kvm" if host.accelerator == "kvm" else "qemu")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def guest_bytes(instance: dict) -> int:
    """Return what the guest sees as its memory."""
    domain = instance["spec"]["domain"]
    asked = (domain.get("memory") or {}).get("guest")
    requests = (domain.get("resources") or {}).get("requests") or {}
    return parse_bytes(asked or requests["memory"])


def count_vcpus(domain: dict) -> int:
    cpu = domain.get("cpu") or {}
    return cpu.get("sockets", 1) * cpu.get("cores", 1) * cpu.get("threads", 1)


def parse_bytes(quantity: object) -> int:
    """Read a quantity of memory ("16Gi")."""
    text = str(quantity)
    unit = text.lstrip(string.digits + ".")
    return int(float(text.removesuffix(unit)) * _UNITS[unit])


def _boot(kernel_boot: dict | None, host: Host) -> ET.Element:
    parts = [_element("type", "hvm", arch=host.architecture, machine=_MACHINES[host.architecture])]
    container = (kernel_boot or {}).get("container") or {}
    for tag, key in (("kernel", "kernelPath"), ("initrd", "initrdPath")):
        if key in container:
            parts.append(_element(tag, KERNEL_BOOT + container[key]))
    if kernel_boot and "kernelArgs" in kernel_boot:
        parts.append(_element("cmdline", kernel_boot["kernelArgs"]))
    return _element("os", *parts)


def _features(host: Host) -> ET.Element:
    if host.accelerator == "kvm":
        return _element("features", _element("acpi"))
    # QEMU's translations of one small guest's programs need little, and count as the VM's memory.
    cache = _element("tcg", _element("tb-cache", "32", unit="MiB"))
    return _element("features", _element("acpi"), cache)


def _cpu(cpu: dict, host: Host) -> ET.Element:
    shape = {part: str(cpu.get(part, 1)) for part in ("sockets", "cores", "threads")}
    parts = [_element("topology", **shape)]
    if host.accelerator == "kvm":
        return _element("cpu", *parts, mode="host-passthrough")
    if host.architecture == "x86_64":
        # Emulated, "rep stosb" goes byte by byte.
        parts.append(_element("feature", name="erms", policy="disable"))
    return _element("cpu", *parts, mode="maximum")


def _devices(instance: dict, *, reporting: bool, host: Host, disks: list[Disk]) -> ET.Element:
    devices = instance["spec"]["domain"].get("devices") or {}
    parts = [
        _element("emulator", f"/usr/bin/qemu-system-{host.architecture}"),
        _element("controller", type="usb", model="none"),
        _element("channel", _element("target", type="virtio", name="org.qemu.guest_agent.0"), type="unix"),
        _balloon(devices, reporting=reporting),
        *_disks(disks),
    ]
    if devices.get("autoattachSerialConsole") is not False:
        parts += _console(f"{PRIVATE}/{instance['metadata']['uid']}/virt-serial0")
    if "rng" in devices:
        parts.append(_element("rng", _element("backend", "/dev/urandom", model="random"), model="virtio"))
    return _element("devices", *parts)


def _balloon(devices: dict, *, reporting: bool) -> ET.Element:
    if devices.get("autoattachMemBalloon") is False:
        return _element("memballoon", model="none")
    stats = _element("stats", period="10")
    choice = "on" if reporting else "off"
    return _element("memballoon", stats, model="virtio-non-transitional", freePageReporting=choice)


def _console(path: str) -> list[ET.Element]:
    """Return a serial port on a socket, whose output is kept in a file as well."""
    serial = [_element("source", mode="bind", path=path), _element("log", file=f"{path}-log", append="on")]
    console = [_element("source", mode="bind", path=path), _element("target", type="serial", port="0")]
    port = _element("target", port="0")
    return [_element("serial", *serial, port, type="unix"), _element("console", *console, type="unix")]


def _disks(disks: list[Disk]) -> list[ET.Element]:
    letters = {prefix: iter(string.ascii_lowercase) for prefix in _BUSES.values()}
    return [_disk(disk, _BUSES[disk.bus] + next(letters[_BUSES[disk.bus]])) for disk in disks]


def _disk(disk: Disk, device: str) -> ET.Element:
    cache = "none" if disk.direct else "writethrough"
    parts = [
        _element("driver", name="qemu", type=disk.format, cache=cache, discard="unmap"),
        _element("source", file=disk.path),
        _element("target", dev=device, bus=disk.bus),
    ]
    if disk.serial:
        parts.append(_element("serial", disk.serial))
    if disk.read_only:
        parts.append(_element("readonly"))
    model = {"model": "virtio-non-transitional"} if disk.bus == "virtio" else {}
    return _element("disk", *parts, type="file", device=disk.kind, **model)


def _metadata(uid: str) -> ET.Element:
    mark = _element("kubevirt", _element("uid", uid))
    mark.set("xmlns", "http://kubevirt.io")
    return _element("metadata", mark)


def _element(tag: str, *content: ET.Element | str, **attributes: str) -> ET.Element:
    made = ET.Element(tag, attributes)
    for part in content:
        if isinstance(part, str):
            made.text = part
        else:
            made.append(part)
    return made

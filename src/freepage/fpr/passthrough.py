"""Devices of the host that are passed through to a VM, and whether they pin its memory so that none can be given back.

QEMU ignores reports as soon as one device needs all guest memory pinned: every PCI device and every mediated one of
VFIO (ram_block_uncoordinated_discard_disable in hw/vfio), and vhost-vdpa (hw/virtio/vhost-vdpa.c). USB devices do not
touch guest memory. On s390x KubeVirt gives mediated devices the model vfio-ap, which allows discarding (hw/vfio/ap.c).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freepage.fpr.effect import Effect
from freepage.fpr.objects import entries, look_up, section
from freepage.fpr.rule import hyperconverged_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from freepage.fpr.objects import Object

PCI, MEDIATED, USB = "PCI", "mediated", "USB"
_LISTS = {"pciHostDevices": PCI, "mediatedDevices": MEDIATED, "usb": USB, "usbHostDevices": USB}
# KubeVirt's own ways to join a network, and those of its network binding plugins that are known to use a tap device or a
# socket. How a plugin of another name joins is told by its registration (domainAttachmentType).
_ORDINARY_BINDINGS = frozenset({"passt", "slirp", "macvtap", "managedtap", "l2bridge"})
_ORDINARY_ATTACHMENTS = frozenset({"tap", "managedTap"})


@dataclass(frozen=True)
class PermittedDevices:
    """The devices of the host that a cluster permits in VMs, as far as its configuration was seen.

    source: the kind of object it was read from; None where there was none. kinds: of each resource's name, whether it
    stands for PCI, mediated or USB devices. attachments: how each network binding plugin joins a VM to its network.
    """

    source: str | None = None
    kinds: Mapping[str, frozenset[str]] = field(default_factory=dict)
    attachments: Mapping[str, str] = field(default_factory=dict)


def read_permitted(objects: Iterable[Object]) -> PermittedDevices:
    """Read permittedHostDevices from the KubeVirt object, which decides, else from the HyperConverged object."""
    known = list(objects)
    for kubevirt in (o for o in known if o.get("kind") == "KubeVirt"):
        return _read_configuration(section(kubevirt, "spec", "configuration"), "KubeVirt")
    for hyperconverged in (o for o in known if o.get("kind") == "HyperConverged"):
        return _read_configuration(hyperconverged_spec(hyperconverged), "HyperConverged")
    return PermittedDevices()


def _read_configuration(configuration: Object, source: str) -> PermittedDevices:
    kinds: dict[str, frozenset[str]] = defaultdict(frozenset)
    for key, kind in _LISTS.items():
        for device in entries(configuration, "permittedHostDevices", key):
            kinds[str(device.get("resourceName", ""))] |= {kind}
    bindings = section(configuration, "network", "binding")
    attachments = {name: str(section(b).get("domainAttachmentType") or "") for name, b in bindings.items()}
    return PermittedDevices(source, kinds, attachments)


def find_passthrough(instance: Object, permitted: PermittedDevices) -> Effect:
    """Find what is passed through to a VM and pins its memory, or may: by its spec, and its status where a claim gives the device."""
    devices = section(instance, "spec", "domain", "devices")
    pinned: dict[str, list[str]] = defaultdict(list)
    unknown = []
    for device in entries(devices, "hostDevices"):
        doubt = _doubt_pinning(device, instance, permitted)
        if doubt is None:
            pinned["hostDevices"].append(_name(device))
        elif doubt:
            unknown.append(f"whether hostDevices {_name(device)} pins all memory: {doubt}")
    # A graphics card is never a USB device; on s390x there is none that is not PCI.
    pinned["gpus"] = [_name(gpu) for gpu in entries(devices, "gpus")]
    interfaces = entries(devices, "interfaces")
    pinned["SR-IOV interfaces"] = [_name(i) for i in interfaces if i.get("sriov") is not None]
    found = [f"{what} pin all memory (VFIO): {', '.join(names)}" for what, names in pinned.items() if names]
    return Effect(tuple(found), (*unknown, *_doubt_bindings(interfaces, permitted)))


def _name(device: Object) -> str:
    return str(device.get("deviceName") or device.get("name") or "without a name")


def _doubt_pinning(device: Object, instance: Object, permitted: PermittedDevices) -> str | None:
    """Return what would tell whether a device pins memory; None where it does, "" where it does not."""
    architecture = find_architecture(instance)
    if device.get("claimName") is not None:
        kinds = _kinds_by_claim(device, instance)
        # Through KubeVirt 1.9 a claim gives PCI and mediated devices only, of which s390x has one kind that pins nothing.
        if not kinds:
            return "its claim's device would tell" if architecture in {"s390x", None} else None
    else:
        kinds = permitted.kinds.get(_name(device), frozenset())
    if PCI in kinds:
        return None
    if MEDIATED in kinds and architecture != "s390x":
        return None if architecture else "the VM's architecture would tell (not on s390x)"
    return "" if kinds else _where_told(permitted)


def _where_told(permitted: PermittedDevices) -> str:
    if permitted.source is None:
        return "permittedHostDevices of the KubeVirt object would tell (USB does not), and it is not at hand"
    return f"the {permitted.source} object has no such resource in permittedHostDevices (USB would not)"


def _kinds_by_claim(device: Object, instance: Object) -> frozenset[str]:
    """Return the kind of device that a claim gave a running VM; none where its status does not say."""
    kinds = {"pciAddress": PCI, "mDevUUID": MEDIATED, "usbAddress": USB}
    for status in entries(instance, "status", "deviceStatus", "hostDeviceStatuses"):
        if status.get("name") == device.get("name"):
            attributes = section(status, "deviceResourceClaimStatus", "attributes")
            given = [kind for key, kind in kinds.items() if attributes.get(key) is not None]
            # A mediated device may name the PCI device it lies on as well.
            return frozenset({MEDIATED} if MEDIATED in given else given)
    return frozenset()


def _doubt_bindings(interfaces: list[Object], permitted: PermittedDevices) -> Iterator[str]:
    """Yield a doubt for each network binding plugin that may be vhost-vdpa, which pins all memory as VFIO does."""
    for interface in interfaces:
        name = look_up(interface, "binding", "name")
        if not isinstance(name, str) or name.lower() in _ORDINARY_BINDINGS:
            continue
        if permitted.attachments.get(name) not in _ORDINARY_ATTACHMENTS:
            yield f"whether the network binding {name} pins all memory (vhost-vdpa does, a tap device does not)"


def find_architecture(instance: Object) -> str | None:
    """Return a VM's architecture: KubeVirt writes it into every instance; else what its guest says; None where neither does."""
    found = look_up(instance, "spec", "architecture") or look_up(instance, "status", "guestOSInfo", "machine")
    return found if isinstance(found, str) and found else None

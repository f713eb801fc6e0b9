"""The shape of the objects that an audit reads: which parts are mappings, lists, strings and booleans by their API.

An API server keeps no object of another shape. A file may hold any: edited by hand, made by a template, cut or damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freepage.kube.object_files import Skipped
from freepage.kube.object_lists import TYPES, describe_type
from freepage.kube.resources import dig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.kube.resources import Object

# A type; a mapping of keys with their shapes, other keys having any; [shape], a list of it; {ANY: shape}, of any key.
Shape = type | dict[str, Any] | list[Any]
ANY = "*"

_STRINGS = {ANY: str}
_METADATA = {
    "name": str,
    "namespace": str,
    "uid": str,
    "creationTimestamp": str,
    "deletionTimestamp": str,
    "labels": _STRINGS,
    "annotations": _STRINGS,
}
_CONDITIONS = [{"type": str, "status": str, "reason": str, "message": str}]
_DEVICES = {
    "autoattachMemBalloon": bool,
    "gpus": [dict],
    "hostDevices": [dict],
    "interfaces": [dict],
}
_SPEC = {
    "architecture": str,
    "domain": {
        "cpu": {"dedicatedCpuPlacement": bool, "realtime": dict},
        "memory": {"hugepages": dict},
        "launchSecurity": dict,
        "devices": _DEVICES,
    },
}
_MATCHER = {"name": str, "kind": str, "revisionName": str}
_REFERENCE = {"name": str, "kind": str, "controllerRevisionRef": {"name": str}}
_OPTIONS = {"virtualMachineOptions": {"disableFreePageReporting": bool}}
_DEVICE_LISTS = {"pciHostDevices": [dict], "mediatedDevices": [dict], "usb": [dict]}
_INSTANCETYPE = {
    "spec": {
        "annotations": _STRINGS,
        "cpu": {"dedicatedCPUPlacement": bool, "realtime": dict},
        "memory": {"hugepages": dict},
        "launchSecurity": dict,
        "gpus": [dict],
        "hostDevices": [dict],
    }
}
_PREFERENCE = {"spec": {"annotations": _STRINGS, "devices": {"preferredAutoattachMemBalloon": bool}}}
# By API group and kind: every kind of object that an audit of files reads.
_SHAPES: dict[tuple[str, str], dict[str, Any]] = {
    ("kubevirt.io", "KubeVirt"): {
        "spec": {
            "configuration": {
                "virtualMachineOptions": {"disableFreePageReporting": dict},
                "permittedHostDevices": _DEVICE_LISTS,
            }
        },
        "status": {"observedKubeVirtVersion": str, "operatorVersion": str},
    },
    ("hco.kubevirt.io", "HyperConverged"): {"spec": {**_OPTIONS, "virtualization": _OPTIONS}},
    ("kubevirt.io", "VirtualMachine"): {
        "spec": {
            "instancetype": _MATCHER,
            "preference": _MATCHER,
            "template": {"metadata": {"labels": _STRINGS, "annotations": _STRINGS}, "spec": _SPEC},
        },
        "status": {
            "created": bool,
            "conditions": _CONDITIONS,
            "instancetypeRef": _REFERENCE,
            "preferenceRef": _REFERENCE,
        },
    },
    ("kubevirt.io", "VirtualMachineInstance"): {
        "spec": _SPEC,
        "status": {
            "phase": str,
            "nodeName": str,
            "conditions": _CONDITIONS,
            "guestOSInfo": _STRINGS,
        },
    },
    ("instancetype.kubevirt.io", "VirtualMachineInstancetype"): _INSTANCETYPE,
    ("instancetype.kubevirt.io", "VirtualMachineClusterInstancetype"): _INSTANCETYPE,
    ("instancetype.kubevirt.io", "VirtualMachinePreference"): _PREFERENCE,
    ("instancetype.kubevirt.io", "VirtualMachineClusterPreference"): _PREFERENCE,
    ("apps", "ControllerRevision"): {"data": dict},
    ("", "Pod"): {"spec": {"nodeName": str}, "status": {"phase": str, "conditions": _CONDITIONS}},
}
_GROUPS = {kind: group for group, kind in _SHAPES}


def is_read(obj: Object) -> bool:
    """Return whether an audit reads objects of this kind; one that names no group is taken for KubeVirt's own."""
    version = obj.get("apiVersion")
    group = version.rpartition("/")[0] if isinstance(version, str) and version else _GROUPS.get(obj["kind"])
    return (group, obj["kind"]) in _SHAPES


def find_misshape(obj: Object) -> str | None:
    """Return what of an object is not as its API has it, as "spec.domain.cpu is a string, not a mapping"; None where all is.

    Null stands for what is missing, as for Kubernetes. Only what an audit reads is looked at.
    """
    shape = {"apiVersion": str, "metadata": _METADATA, **_SHAPES[_GROUPS[obj["kind"]], obj["kind"]]}
    fault = _compare(obj, shape, "")
    if fault is None and not dig(obj, "metadata", "name"):
        return "it has no metadata.name"
    return fault


def part_sound(objects: Iterable[Object]) -> tuple[list[Object], list[Skipped]]:
    """Part the objects that have their API's shape from those that do not, of which it is said why."""
    sound, skipped = [], []
    for obj in objects:
        fault = find_misshape(obj)
        if fault is None:
            sound.append(_drop_nulls(obj))
        else:
            skipped.append(Skipped(_name(obj), fault))
    return sound, skipped


def _drop_nulls(obj: Object) -> Object:
    """Return an object without the nulls in its metadata: a namespace of null is none."""
    metadata = obj["metadata"]
    if None not in metadata.values():
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if value is not None}}


def _name(obj: Object) -> str:
    """Return kind, namespace and name of an object of any shape."""
    names = (dig(obj, "metadata", "namespace"), dig(obj, "metadata", "name"))
    return f"{obj['kind']} {'/'.join(n for n in names if isinstance(n, str) and n) or 'without a name'}"


def _compare(value: Any, shape: Shape, path: str) -> str | None:
    """Return the first fault below a path; the value itself is not null."""
    kind = shape if isinstance(shape, type) else type(shape)
    if not isinstance(value, kind):
        return f"{path} is {describe_type(value)}, not {TYPES[kind]}"
    faults = (_compare(*part) for part in _list_parts(value, shape, path))
    return next((fault for fault in faults if fault is not None), None)


def _list_parts(value: Any, shape: Shape, path: str) -> list[tuple[Any, Shape, str]]:
    """Return the parts of a mapping or a list that have a shape, each with its path."""
    if isinstance(shape, type):
        return []
    if isinstance(shape, list):
        return [(part, shape[0], f"{path}[{at}]") for at, part in enumerate(value)]
    if ANY in shape:
        parts = [(part, shape[ANY], f"{path}[{key}]") for key, part in value.items()]
    else:
        parts = [(value.get(key), each, f"{path}.{key}".lstrip(".")) for key, each in shape.items()]
    return [part for part in parts if part[0] is not None]

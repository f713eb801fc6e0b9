"""Objects of a cluster with KubeVirt as its API gives them, to be changed one field at a time."""

from __future__ import annotations

import copy

KUBEVIRT = {
    "kind": "KubeVirt",
    "metadata": {"namespace": "kubevirt", "name": "kubevirt"},
    "spec": {"configuration": {}},
}
VMI = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstance",
    "metadata": {"namespace": "shop", "name": "db", "annotations": {}},
    "spec": {"domain": {"cpu": {"cores": 2}, "memory": {"guest": "4Gi"}, "devices": {}}},
    "status": {
        "nodeName": "worker-0",
        "guestOSInfo": {"id": "fedora", "kernelRelease": "6.8.5-301.fc40.x86_64"},
    },
}


def changed(obj, path, value):
    made = copy.deepcopy(obj)
    *parents, key = path.split(".")
    tree = made
    for name in parents:
        tree = tree.setdefault(name, {})
    tree[key] = value
    return made


def vm_of(vmi, **template):
    return {
        "kind": "VirtualMachine",
        "metadata": {"namespace": "shop", "name": "db"},
        "spec": {"template": {"metadata": {"annotations": {}}, "spec": vmi["spec"]} | template},
    }


def typed_vm(*, status=None, **named):
    """A VirtualMachine that names parts, as instancetype="u1" or preference={"name": ..., "kind": ...}."""
    vm = vm_of(VMI)
    matchers = {key: {"name": value} if isinstance(value, str) else value for key, value in named.items()}
    return {**vm, "spec": {**vm["spec"], **matchers}, "status": status or {}}


def type_object(kind, name, spec, *, namespace="", uid="uid-1", generation=1):
    metadata = {"name": name, "uid": uid, "generation": generation}
    return {
        "kind": kind,
        "metadata": {**metadata, "namespace": namespace} if namespace else metadata,
        "spec": spec,
    }


def revision(name, spec, namespace="shop"):
    """KubeVirt's copy of an instance type or a preference."""
    labels = {"instancetype.kubevirt.io/object-name": "any"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"kind": "ControllerRevision", "metadata": metadata, "data": {"spec": spec}}

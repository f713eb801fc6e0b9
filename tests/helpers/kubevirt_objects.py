"""Objects of a cluster with KubeVirt, as its API has them."""

from __future__ import annotations

import copy

KUBEVIRT = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "KubeVirt",
    "metadata": {"namespace": "kubevirt", "name": "kubevirt", "resourceVersion": "10"},
    "spec": {"configuration": {}},
    "status": {"observedKubeVirtVersion": "v1.9.0"},
}


def build_instance(name="db", namespace="shop", **status):
    """Return a running VirtualMachineInstance; `status` is merged into its own."""
    guest = {"id": "fedora", "kernelRelease": "6.8.5-301.fc40.x86_64"}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"namespace": namespace, "name": name, "uid": f"uid-{name}", "annotations": {}},
        "spec": {"domain": {"cpu": {"cores": 2}, "memory": {"guest": "4Gi"}, "devices": {}}},
        "status": {"phase": "Running", "nodeName": "worker-0", "guestOSInfo": guest, **status},
    }


def build_vm(name="db", namespace="shop", *, annotations=None, **status):
    """Return a VirtualMachine whose template is that of `build_instance`."""
    template = {"metadata": {"annotations": annotations or {}}, "spec": build_instance()["spec"]}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"template": copy.deepcopy(template)},
        "status": status,
    }


def build_launcher(instance, *, node=None, reason=None):
    """Return the launcher of an instance; `reason`: why no node takes it."""
    uid, name = instance["metadata"]["uid"], instance["metadata"]["name"]
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": reason}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"virt-launcher-{name}-x",
            "namespace": instance["metadata"]["namespace"],
            "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid},
        },
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": "Pending", "conditions": [condition] if reason else []},
    }

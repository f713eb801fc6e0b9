"""Nodes, and outlines of clusters that have them, without a cluster."""

from __future__ import annotations

from types import SimpleNamespace

from freepage.image.architecture import AMD64
from freepage.kube.login import Login
from freepage.kubevirt.installation import Installation
from freepage.records import Arm
from freepage.study.plan import InstancePlan
from freepage.targets.base import Accelerator
from freepage.targets.cluster.choices import ClusterChoices
from freepage.targets.cluster.outline import ClusterOutline

IMAGE = "registry/freepage:1"
CHOICES = ClusterChoices(Login(), image=IMAGE)


def node(name, *, memory="16Gi", labels=None, architecture="amd64", **spec):
    fixed = {
        "kubevirt.io/schedulable": "true",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/os": "linux",
    }
    return {
        "metadata": {"name": name, "labels": fixed | (labels or {})},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": "3920m", "memory": memory},
            "capacity": {"memory": "17Gi"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"architecture": architecture, "kernelVersion": "5.14.0"},
        },
    }


def outline_of(*nodes, choices=CHOICES, kubevirt=None, architecture=AMD64, **known):
    """An outline of a cluster with these nodes, its KubeVirt object, and whatever else is known."""
    installation = None if kubevirt is None else Installation("v1.31.2", kubevirt)
    return ClusterOutline(
        choices=choices,
        namespace="bench",
        nodes=nodes,
        with_vms=True,
        installation=installation,
        accelerator=Accelerator("kvm", ""),
        user=None,
        architecture=architecture,
        **known,
    )


def configured(**configuration):
    """A KubeVirt object with this configuration."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
        "spec": {"configuration": configuration},
    }


def plan_of(name, *, carrier=Arm.VM, memory_bytes=0, tools=None):
    return InstancePlan(name, carrier, cpus=1, vm_memory_bytes=memory_bytes, schedules=(), tools=tools)


def trial_of(*plans, duration_s=60.0):
    return SimpleNamespace(id="001-cycle-vm-1", order=0, duration_s=duration_s, instances=plans)

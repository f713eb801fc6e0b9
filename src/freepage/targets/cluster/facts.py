"""Reads a cluster's nodes and KubeVirt object before anything runs there."""

from __future__ import annotations

import platform
from functools import partial
from typing import TYPE_CHECKING

from freepage.errors import HostError
from freepage.image.architecture import find_host_architecture
from freepage.kube.quantities import parse_quantity
from freepage.kube.resources import dig, name_of
from freepage.metrics import METRICS
from freepage.targets.base import Accelerator
from freepage.targets.cluster.manifests import ARCHITECTURE_LABEL, HOSTNAME_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.kube.resources import Object
    from freepage.metrics import MetricValues

SCHEDULABLE = "kubevirt.io/schedulable"
_SYSTEM_LABEL = "kubernetes.io/os"
# How many nodes a sentence names.
MOST_NAMED = 5
_ROLES = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


def read_accelerator(kubevirt: Object | None) -> Accelerator:
    """Read what KubeVirt executes guests by from its own object: KVM unless that asks for emulation."""
    if kubevirt is None:
        return Accelerator("kvm", "KubeVirt takes KVM unless told otherwise; its own object may not be read")
    path = ("spec", "configuration", "developerConfiguration", "useEmulation")
    if dig(kubevirt, *path) is True:
        return Accelerator("tcg", f"KubeVirt's {'.'.join(path)} is true")
    return Accelerator("kvm", f"KubeVirt's {'.'.join(path)} is not set")


def choose_nodes(
    nodes: Sequence[Object], wanted: Sequence[str], *, with_vms: bool, architecture: str | None = None
) -> tuple[Object, ...]:
    """Choose the nodes to measure: those wanted by name, else the largest that takes pods (and VMs, where any run).

    architecture: the one that the worker is built for, in Kubernetes' words; None is this host's own. HostError names a
    node that is not there or takes no work.
    """
    architecture = architecture or _host_name()
    find_exclusion = partial(_find_exclusion, with_vms=with_vms, architecture=architecture)
    by_name = {name_of(node): node for node in nodes}
    for name in wanted:
        if name not in by_name:
            raise HostError(
                f"the cluster has no node {name}", hint=f"it has {', '.join(sorted(by_name)) or 'none'}"
            )
        cause = find_exclusion(by_name[name])
        if cause is not None:
            raise HostError(f"node {name} {cause}", hint=_advise(by_name[name], architecture))
    if wanted:
        return tuple(by_name[name] for name in wanted)
    fit = [n for n in nodes if find_exclusion(n) is None]
    if not fit:
        causes = [f"{name} {find_exclusion(node)}" for name, node in by_name.items()]
        raise HostError(
            "no node of the cluster takes this work", hint="; ".join(causes[:MOST_NAMED]) or "it has none"
        )
    workers = [n for n in fit if not any(role in (dig(n, "metadata", "labels") or {}) for role in _ROLES)]
    return (max(workers or fit, key=lambda n: (allocatable_bytes(n), name_of(n))),)


def describe_left_out(nodes: Sequence[Object], *, with_vms: bool, architecture: str) -> str | None:
    """Describe which nodes would take this work, were they of the architecture that the worker is built for; None for none."""
    others = [
        f"{name_of(node)} ({architecture_of(node) or 'not known'})"
        for node in nodes
        if _find_unfitness(node, with_vms=with_vms) is None and architecture_of(node) != architecture
    ]
    if not others:
        return None
    more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    named = f"left out by their architecture: {', '.join(others[:MOST_NAMED])}{more}"
    return f"{named}; what runs on nodes is built here for {architecture}"


def _advise(node: Object, architecture: str) -> str:
    found = architecture_of(node)
    other = "choose another with --nodes"
    return (
        other
        if found in {None, architecture}
        else f"{other}, or run freepage on {found}, or with CC set to its compiler"
    )


def _find_exclusion(node: Object, *, with_vms: bool, architecture: str) -> str | None:
    cause = _find_unfitness(node, with_vms=with_vms)
    found = architecture_of(node)
    if cause is not None or found == architecture:
        return cause
    is_other = "does not say its architecture" if found is None else f"is {found}"
    return f"{is_other}, and what runs on nodes is built here for {architecture}"


def _find_unfitness(node: Object, *, with_vms: bool) -> str | None:
    """Return why a node takes no work of any architecture; None where it takes some."""
    system = dig(node, "metadata", "labels", _SYSTEM_LABEL) or dig(
        node, "status", "nodeInfo", "operatingSystem"
    )
    if system not in {None, "linux"}:
        return f"runs {system}, and pods and VMs need linux"
    if dig(node, "spec", "unschedulable"):
        return "is cordoned"
    ready = [c for c in dig(node, "status", "conditions") or () if c.get("type") == "Ready"]
    if ready and ready[0].get("status") != "True":
        return f"is not ready ({ready[0].get('message') or ready[0].get('reason')})"
    taints = [t for t in dig(node, "spec", "taints") or () if t.get("effect") in {"NoSchedule", "NoExecute"}]
    if taints:
        return f"has the taint {taints[0].get('key')}"
    if with_vms and dig(node, "metadata", "labels", SCHEDULABLE) != "true":
        return f"takes no VMs (its label {SCHEDULABLE} is not true)"
    return None


def architecture_of(node: Object) -> str | None:
    """Return a node's architecture in Kubernetes' words; None where it does not say it."""
    label = dig(node, "metadata", "labels", ARCHITECTURE_LABEL)
    found = label or dig(node, "status", "nodeInfo", "architecture")
    return None if found is None else str(found)


def _host_name() -> str:
    host = find_host_architecture()
    return platform.machine() if host is None else host.name


def hostname_of(node: Object) -> str:
    """Return the label that selects a node, which a cloud may give another value than its name."""
    return str(dig(node, "metadata", "labels", HOSTNAME_LABEL) or name_of(node))


def allocatable_bytes(node: Object) -> int:
    """Return the memory that a node gives to all of its pods together."""
    return round(parse_quantity(dig(node, "status", "allocatable", "memory")) or 0)


def read_facts(nodes: Sequence[Object], seen: Mapping[str, MetricValues]) -> dict[str, object]:
    """Return the conditions of all measured nodes by the names of targets.local.facts.read_host_facts.

    Sizes are sums; words that differ between nodes are joined. `seen` are the samplers' values by node; without it the
    memory that is available is what the nodes may give to pods.
    """
    names = [name_of(n) for n in nodes]
    infos = [dig(n, "status", "nodeInfo") or {} for n in nodes]
    words: dict[str, list[str | None]] = {
        "hostname": list(names),
        "architecture": [i.get("architecture") for i in infos],
        "kernel": [i.get("kernelVersion") for i in infos],
        "distribution": [i.get("osImage") for i in infos],
        "kubelet": [i.get("kubeletVersion") for i in infos],
        "container_runtime": [i.get("containerRuntimeVersion") for i in infos],
    }
    return {
        **{key: _join(values) for key, values in words.items()},
        "nodes": len(nodes),
        "cpus_logical": sum(max(1, int(parse_quantity(_allocatable(n, "cpu")) or 1)) for n in nodes),
        "memory_total_bytes": sum(_total_bytes(n, seen.get(name_of(n), {})) for n in nodes),
        "memory_available_bytes": sum(_available_bytes(n, seen.get(name_of(n), {})) for n in nodes),
        "swap_total_bytes": _sum_seen(names, seen, "swap_total_bytes"),
    }


def _allocatable(node: Object, what: str) -> object:
    return dig(node, "status", "allocatable", what)


def _total_bytes(node: Object, seen: MetricValues) -> int:
    return round(
        seen.get("mem_total_bytes") or parse_quantity(dig(node, "status", "capacity", "memory")) or 0
    )


def _available_bytes(node: Object, seen: MetricValues) -> int:
    available = seen.get("mem_available_bytes")
    allocatable = allocatable_bytes(node)
    return allocatable if available is None else min(allocatable, round(available))


def _sum_seen(names: Sequence[str], seen: Mapping[str, MetricValues], metric: str) -> int | None:
    assert metric in METRICS  # noqa: S101 - a misspelt id would silently be missing
    values = [seen.get(name, {}).get(metric) for name in names]
    known = [v for v in values if v is not None]
    return round(sum(known)) if known and len(known) == len(values) else None


def _join(values: Sequence[str | None]) -> str | None:
    return ", ".join(dict.fromkeys(v for v in values if v)) or None

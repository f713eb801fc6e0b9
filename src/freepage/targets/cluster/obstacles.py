"""The reasons why a trial cannot run in a cluster, as far as they are known before anything is created there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.errors import CapacityError, FreepageError, HostError
from freepage.kube.resources import dig, name_of
from freepage.records import Arm
from freepage.targets.cluster.facts import allocatable_bytes, hostname_of
from freepage.targets.cluster.instances import build_shape
from freepage.targets.cluster.launcher_memory import LauncherMemory, read_overhead_ratio
from freepage.targets.cluster.manifests import SAMPLER_BYTES, PodShape
from freepage.units import format_bytes

if TYPE_CHECKING:
    from freepage.image.architecture import Architecture
    from freepage.kube.resources import Object
    from freepage.study.plan import Trial
    from freepage.targets.cluster.outline import ClusterOutline

ENFORCED = "pod-security.kubernetes.io/enforce"
_CONFIGURATION = ("spec", "configuration")
_GATES = (*_CONFIGURATION, "developerConfiguration", "featureGates")
_SECCOMP = (*_CONFIGURATION, "seccompConfiguration", "virtualMachineInstanceProfile", "customProfile")


def build_launcher_memory(outline: ClusterOutline) -> LauncherMemory:
    """Return what launchers request by KubeVirt's reckoning, as this cluster has it."""
    return LauncherMemory(outline.architecture, read_overhead_ratio(outline.kubevirt))


def find_obstacle(outline: ClusterOutline, trial: Trial, memory: LauncherMemory) -> FreepageError | None:
    """Return why a trial cannot run in this cluster, though others may; None when nothing is known to prevent it."""
    try:
        _check_reporting(outline, trial)
        _check_pod_security(outline, trial)
        _check_memory(outline, trial, memory)
    except FreepageError as error:
        return error
    return None


def _check_reporting(outline: ClusterOutline, trial: Trial) -> None:
    installation = outline.installation
    wanted = any(plan.carrier is Arm.VM_FPR for plan in trial.instances)
    if wanted and installation is not None and installation.setting.enabled is False:
        raise HostError(
            f"Free Page Reporting is disabled for the whole cluster ({installation.setting.source})",
            hint="`freepage enable` switches it on, --arms pod,vm leaves it out",
        )


def _check_pod_security(outline: ClusterOutline, trial: Trial) -> None:
    has_vms = any(plan.carrier is not Arm.POD for plan in trial.instances)
    if has_vms and _refuses_launchers(outline.pod_security, outline.kubevirt):
        name = outline.namespace
        raise HostError(
            f'namespace {name} enforces the pod security standard "restricted", which the pods that KubeVirt runs VMs in '
            "do not meet (they have no seccompProfile)",
            hint=f"kubectl label --overwrite namespace {name} {ENFORCED}=privileged, another --namespace, or --arms pod",
        )


def _check_memory(outline: ClusterOutline, trial: Trial, memory: LauncherMemory) -> None:
    overload = find_overload(outline, trial, memory)
    if overload is not None:
        hint = "use a smaller --scale, more --nodes, or fewer instances"
        raise CapacityError(f"{trial.id} asks for {overload}", hint=hint)


def find_overload(outline: ClusterOutline, trial: Trial, memory: LauncherMemory) -> str | None:
    """Return which node cannot give what a trial's instances ask it for, other work there not counted; None if all can.

    Raises HostError for an instance that no image was given for.
    """
    asked = {hostname_of(node): SAMPLER_BYTES for node in outline.nodes}
    for number, plan in enumerate(trial.instances):
        shape = build_shape(outline, "", number, plan)
        pod_bytes = shape.request_bytes if isinstance(shape, PodShape) else memory.estimate_bytes(shape)
        asked[shape.node] += pod_bytes
    for node in outline.nodes:
        wanted, given = asked[hostname_of(node)], allocatable_bytes(node)
        if wanted > given:
            return (
                f"{format_bytes(wanted)} of memory on node {name_of(node)}, which gives {format_bytes(given)}"
            )
    return None


def describe_pod_security(name: str, namespace: Object | None, kubevirt: Object | None) -> str | None:
    """Describe why it is not known whether a namespace takes the pods that KubeVirt runs VMs in; None where it is."""
    if namespace is None:
        return f"whether namespace {name} takes the pods of VMs is not known: it may not be read"
    enforced = dig(namespace, "metadata", "labels", ENFORCED)
    if enforced in {None, "privileged"} or _refuses_launchers(enforced, kubevirt):
        return None
    standard = f'namespace {name} enforces the pod security standard "{enforced}"'
    return f"{standard}: whether the pods of VMs meet it is not known"


def _refuses_launchers(enforced: str | None, kubevirt: Object | None) -> bool:
    """Return whether a namespace is known to refuse virt-launcher pods.

    They lack a seccompProfile only, unless KubeVirt was told to give them one; and with its old feature gate PSA it lifts
    the namespace's standard by itself.
    """
    return enforced == "restricted" and not dig(kubevirt, *_SECCOMP) and "PSA" not in _read_gates(kubevirt)


def describe_architectures(kubevirt: Object | None, architecture: Architecture) -> str | None:
    """Describe what may keep KubeVirt from VMs of the nodes' architecture; None where nothing is known to.

    Its admission refuses a VM of another architecture than its control plane's, unless the feature gate MultiArchitecture
    is on: by name, or because a version has it on.
    """
    configured = dig(kubevirt, *_CONFIGURATION, "architectureConfiguration", "defaultArchitecture")
    default = configured or dig(kubevirt, "status", "defaultArchitecture")
    if default in {None, architecture.name} or "MultiArchitecture" in _read_gates(kubevirt):
        return None
    needed = f"VMs on nodes of {architecture} may need its feature gate MultiArchitecture, which its object does not name"
    return f"KubeVirt's default architecture is {default}: {needed}"


def _read_gates(kubevirt: Object | None) -> frozenset[str]:
    gates = dig(kubevirt, *_GATES)
    return frozenset(map(str, gates)) if isinstance(gates, list) else frozenset()

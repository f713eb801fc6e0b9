"""A cluster as far as it is known before anything is created there, and one that is assumed where none can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.kube.resources import name_of
from freepage.targets.base import Accelerator
from freepage.targets.cluster.manifests import ARCHITECTURE_LABEL, HOSTNAME_LABEL, PLAIN_USER
from freepage.units import GIB, format_bytes

if TYPE_CHECKING:
    from freepage.image.architecture import Architecture
    from freepage.kube.resources import Object
    from freepage.kubevirt.installation import Installation
    from freepage.targets.cluster.choices import ClusterChoices

# Large enough for every study that comes with freepage at its own size.
ASSUMED_CPUS = 64
ASSUMED_BYTES = 256 * GIB
ASSUMED_NODE = "node-0"
# The namespace of a login that names none.
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True)
class ClusterOutline:
    """All that a run's objects are built from: what was chosen, and what is known of the cluster.

    nodes: those to measure. installation: None where no VMs will run, or nobody was asked. user: the one that pods run
    as, None where the cluster chooses. architecture: that of the worker, and so of the nodes. pod_security: the standard
    that the namespace enforces, None where it names none or may not be read. notes: what a reader of the plan should know,
    a sentence each.
    """

    choices: ClusterChoices
    namespace: str
    nodes: tuple[Object, ...]
    with_vms: bool
    installation: Installation | None
    accelerator: Accelerator
    user: int | None
    architecture: Architecture
    pod_security: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(name_of(node) for node in self.nodes)

    @property
    def kubevirt(self) -> Object | None:
        return None if self.installation is None else self.installation.kubevirt


def assume_cluster(
    choices: ClusterChoices, architecture: Architecture, reason: str, *, with_vms: bool
) -> ClusterOutline:
    """Return an outline of a cluster that nobody was asked about, for `reason`; its notes name all that is assumed."""
    namespace = choices.login.namespace or DEFAULT_NAMESPACE
    names = choices.nodes or (ASSUMED_NODE,)
    size = f"{ASSUMED_CPUS} CPUs and {format_bytes(ASSUMED_BYTES)} of memory for pods each"
    nodes = f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names)}"
    place = f"namespace {namespace} without quota and pod security standard"
    assumed = [
        f"{nodes}, {architecture}, with {size}",
        f"{place}, in which pods run as user {PLAIN_USER} (OpenShift would choose one)",
        *(["KubeVirt 1.9 with FPR enabled for the cluster, executing guests by KVM"] if with_vms else []),
    ]
    return ClusterOutline(
        choices=choices,
        namespace=namespace,
        nodes=tuple(_assume_node(name, architecture) for name in names),
        with_vms=with_vms,
        installation=None,
        accelerator=Accelerator("kvm", "assumed"),
        user=PLAIN_USER,
        architecture=architecture,
        notes=(f"no cluster was asked: {reason}", *(f"assumed: {words}" for words in assumed)),
    )


def _assume_node(name: str, architecture: Architecture) -> Object:
    size = {"cpu": str(ASSUMED_CPUS), "memory": str(ASSUMED_BYTES)}
    return {
        "metadata": {
            "name": name,
            "labels": {HOSTNAME_LABEL: name, ARCHITECTURE_LABEL: architecture.name},
        },
        "status": {
            "allocatable": size,
            "capacity": size,
            "nodeInfo": {"architecture": architecture.name},
        },
    }

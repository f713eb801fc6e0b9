"""FPR in every running VM of a cluster: expected by the rule, real in the domain XML, and where the two differ."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freepage.fpr.eligibility import NOTHING_AROUND, assess_instance, expect_next_start
from freepage.fpr.stranded import Stranded, stranded_bytes
from freepage.kube.resources import VMS, dig
from freepage.kubevirt.installation import find_installation, full_name
from freepage.kubevirt.kubelets import Kubelets
from freepage.kubevirt.launchers import Observation, list_launchers, observe_reporting
from freepage.kubevirt.shapes import part_sound
from freepage.kubevirt.surroundings import read_surroundings
from freepage.kubevirt.vms import list_running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.fpr.eligibility import Eligibility, Surroundings
    from freepage.fpr.rule import ReportingSetting
    from freepage.kube.api import ClusterApi
    from freepage.kube.object_files import Skipped
    from freepage.kube.resources import Object
    from freepage.kubevirt.installation import Installation
    from freepage.kubevirt.launchers import Launcher

STATES = ("on", "off", "no effect", "unknown")


@dataclass(frozen=True)
class AuditedVm:
    """One running VM: what is expected of it, what is real, and what follows.

    real: FPR in its domain XML (None: not seen, for the reason in `source`). disagreement: why the two differ.
    restart: what its next start would change. stranded: the memory FPR would give back of it, where metrics know it.
    phase: of its instance (None: it has none, or says none).
    silent_node: the node that did not answer, where it is unknown for that.
    """

    eligibility: Eligibility
    real: bool | None
    source: str
    disagreement: str | None
    restart: str | None
    stranded: Stranded | None = None
    phase: str | None = None
    silent_node: str | None = None

    @property
    def name(self) -> str:
        """Namespace and name, or the name alone of what a file has without a namespace."""
        return "/".join(filter(None, (self.eligibility.namespace, self.eligibility.name)))

    @property
    def state(self) -> str:
        """One of STATES."""
        if self.real is None:
            return "unknown"
        if not self.real:
            return "off"
        return "no effect" if self.eligibility.ineffective else "on"


@dataclass(frozen=True)
class Audit:
    """A cluster's setting and its VMs, by namespace and name.

    version: KubeVirt's own (None: not known). notes: what could not be seen. skipped: objects that were not read, and why.
    """

    setting: ReportingSetting
    vms: list[AuditedVm]
    version: str | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def count_expected(self, expected: bool | None) -> int:
        return sum(vm.eligibility.expected is expected for vm in self.vms)

    @property
    def silent(self) -> int:
        """The number of VMs of which FPR is expected to be on without effect."""
        return sum(vm.eligibility.expected is True and bool(vm.eligibility.ineffective) for vm in self.vms)

    def count(self, state: str) -> int:
        return sum(vm.state == state for vm in self.vms)

    @property
    def unread(self) -> dict[str, int]:
        """The nodes that did not answer, and of how many VMs nothing is known for that."""
        return Counter(vm.silent_node for vm in self.vms if vm.silent_node is not None)

    @property
    def stranded(self) -> Stranded | None:
        """The memory FPR would give back of all VMs that have it off; None where metrics know of none."""
        known = [vm.stranded for vm in self.vms if vm.state == "off" and vm.stranded is not None]
        if not known:
            return None
        return Stranded(sum(s.lower_bytes for s in known), sum(s.upper_bytes for s in known))


async def audit_cluster(api: ClusterApi, namespace: str | None = None, *, may_exec: bool = False) -> Audit:
    """Audit every running VM of a namespace, or of all; `may_exec` asks libvirt where a log does not tell."""
    # First, for a cluster without KubeVirt has none of what follows either.
    found = await find_installation(api)
    return await audit_vms(api, found, namespace, may_exec=may_exec)


async def audit_vms(
    api: ClusterApi, found: Installation, namespace: str | None = None, *, may_exec: bool = False
) -> Audit:
    """Audit the running VMs against the setting of an installation that was found already."""
    instances, vms, launchers = await asyncio.gather(
        list_running(api, namespace),
        api.list(VMS, namespace),
        list_launchers(api, namespace),
    )
    instances, skipped = part_sound(instances)
    vms, others = part_sound(vms)
    by_name = {full_name(vm): vm for vm in vms}
    around = await read_surroundings(api, vms, kubevirt=found.kubevirt, namespace=namespace)
    observations = await observe_all(api, instances, launchers, may_exec=may_exec)
    audited = [
        compare(instance, by_name.get(full_name(instance)), found.setting, observation, around)
        for instance, observation in zip(instances, observations, strict=True)
    ]
    return Audit(
        found.setting,
        sorted(audited, key=lambda vm: (vm.eligibility.namespace, vm.eligibility.name)),
        found.version,
        skipped=(*skipped, *others),
    )


def add_stranded(audit: Audit, memory: Mapping[tuple[str, str], Mapping[str, float | None]]) -> Audit:
    """Add what metrics tell of the VMs' memory: by (namespace, name), KubeVirt's "resident", "available" and "unused".

    KubeVirt exports no swap: what the host has swapped out of a VM is not counted.
    """

    def estimate(vm: AuditedVm) -> Stranded | None:
        known = memory.get((vm.eligibility.namespace, vm.eligibility.name), {})
        resident, total, unused = (known.get(key) for key in ("resident", "available", "unused"))
        if resident is None or total is None or unused is None:
            return None
        return stranded_bytes(resident, 0.0, total, unused)

    return replace(audit, vms=[replace(vm, stranded=estimate(vm)) for vm in audit.vms])


async def observe_all(
    api: ClusterApi,
    instances: Sequence[Object],
    launchers: Mapping[str, Sequence[Launcher]],
    *,
    may_exec: bool,
) -> list[Observation]:
    """Observe the real state of many VMs, those of nodes that answer whatever others do."""
    kubelets = Kubelets()
    return await asyncio.gather(
        *(
            observe_reporting(api, instance, launchers, may_exec=may_exec, kubelets=kubelets)
            for instance in instances
        )
    )


def compare(
    instance: Object,
    vm: Object | None,
    setting: ReportingSetting,
    observation: Observation,
    around: Surroundings = NOTHING_AROUND,
) -> AuditedVm:
    """Compare what was observed of a VM with what is expected of it, now and after its next start."""
    eligibility = assess_instance(instance, setting, vm, around)
    restart = eligibility.restart
    if observation.reporting is not None:
        then = expect_next_start(instance, vm, setting, around)
        changes = then not in {None, observation.reporting}
        restart = _describe_restart(eligibility, vm, then) if changes else None
    return AuditedVm(
        eligibility,
        observation.reporting,
        observation.source,
        _describe_disagreement(eligibility, observation),
        restart,
        phase=dig(instance, "status", "phase"),
        silent_node=observation.silent_node,
    )


def _describe_disagreement(eligibility: Eligibility, observation: Observation) -> str | None:
    if eligibility.expected is None or observation.reporting in {None, eligibility.expected}:
        return None
    return (
        f"expected {'on' if eligibility.expected else 'off'}, but {'on' if observation.reporting else 'off'} in its "
        "domain XML: the cluster's setting or its annotation has changed since it started"
    )


def _describe_restart(eligibility: Eligibility, vm: Object | None, then: bool | None) -> str:
    if vm is None:
        return f"FPR will be {'on' if then else 'off'} once it is created again: it has no VirtualMachine to restart"
    return eligibility.restart or f"restart it to have FPR {'on' if then else 'off'}"

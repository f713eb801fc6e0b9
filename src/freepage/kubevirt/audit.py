"""FPR in every running VM of a cluster: what the rule lets expect, what the domain XML shows, and where the two differ."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freepage.fpr.eligibility import expect_next_start, judge_instance
from freepage.fpr.stranded import Stranded, stranded_bytes
from freepage.kube.resources import VMS
from freepage.kubevirt.installation import find_installation, full_name
from freepage.kubevirt.launchers import Observation, list_launchers, see_reporting
from freepage.kubevirt.vms import list_running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.fpr.eligibility import Judgement, Switch
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.launchers import Launcher

# How many logs are read at once: an API server gives one user some dozens of requests before it makes them wait.
MOST_AT_ONCE = 32
STATES = ("on", "off", "no effect", "unknown")


@dataclass(frozen=True)
class Finding:
    """One running VM: what is expected of it, what is real, and what follows.

    real: FPR in its domain XML (None: not seen, for the reason in `source`). disagreement: why the two differ.
    restart: what its next start would change. stranded: what FPR would give back of it, where metrics tell.
    """

    vm: Judgement
    real: bool | None
    source: str
    disagreement: str | None
    restart: str | None
    stranded: Stranded | None = None

    @property
    def state(self) -> str:
        """Give one of STATES."""
        if self.real is None:
            return "unknown"
        if not self.real:
            return "off"
        return "no effect" if self.vm.ineffective else "on"


@dataclass(frozen=True)
class Audit:
    """A cluster's setting and its running VMs, by namespace and name."""

    switch: Switch
    findings: list[Finding]

    def count(self, state: str) -> int:
        return sum(f.state == state for f in self.findings)

    @property
    def stranded(self) -> Stranded | None:
        """Give what FPR would give back of all VMs that have it off; None where metrics tell of none."""
        known = [f.stranded for f in self.findings if f.state == "off" and f.stranded is not None]
        if not known:
            return None
        return Stranded(sum(s.lower_bytes for s in known), sum(s.upper_bytes for s in known))


async def audit_cluster(api: ClusterApi, namespace: str | None = None, *, may_exec: bool = False) -> Audit:
    """Audit every running VM of a namespace, or of all; `may_exec` asks libvirt where a log does not tell."""
    # First, for a cluster without KubeVirt has none of what follows either.
    found = await find_installation(api)
    instances, machines, launchers = await asyncio.gather(
        list_running(api, namespace),
        api.list(VMS, namespace),
        list_launchers(api, namespace),
    )
    by_name = {full_name(m): m for m in machines}
    seen = await see_all(api, instances, launchers, may_exec=may_exec)
    findings = [
        judge_sighting(instance, by_name.get(full_name(instance)), found.switch, sighting)
        for instance, sighting in zip(instances, seen, strict=True)
    ]
    return Audit(found.switch, sorted(findings, key=lambda f: (f.vm.namespace, f.vm.name)))


def add_stranded(audit: Audit, memory: Mapping[tuple[str, str], Mapping[str, float | None]]) -> Audit:
    """Add what metrics tell of the VMs' memory: by (namespace, name), KubeVirt's "resident", "available" and "unused".

    KubeVirt exports no swap: what the host has swapped out of a VM is not counted.
    """

    def estimate(finding: Finding) -> Stranded | None:
        known = memory.get((finding.vm.namespace, finding.vm.name), {})
        resident, total, unused = (known.get(key) for key in ("resident", "available", "unused"))
        if resident is None or total is None or unused is None:
            return None
        return stranded_bytes(resident, 0.0, total, unused)

    return replace(audit, findings=[replace(f, stranded=estimate(f)) for f in audit.findings])


async def see_all(
    api: ClusterApi,
    instances: Sequence[Object],
    launchers: Mapping[str, Sequence[Launcher]],
    *,
    may_exec: bool,
) -> list[Observation]:
    """See the real state of many VMs, some at a time."""
    slots = asyncio.Semaphore(MOST_AT_ONCE)

    async def see(instance: Object) -> Observation:
        async with slots:
            return await see_reporting(api, instance, launchers, may_exec=may_exec)

    return await asyncio.gather(*(see(i) for i in instances))


def judge_sighting(
    instance: Object, machine: Object | None, switch: Switch, sighting: Observation
) -> Finding:
    """Set what was seen of a VM beside what is expected of it, now and after its next start."""
    vm = judge_instance(instance, switch, machine)
    restart = vm.restart
    if sighting.reporting is not None:
        then = expect_next_start(instance, machine, switch)
        restart = _describe_restart(vm, machine, then) if then not in {None, sighting.reporting} else None
    return Finding(vm, sighting.reporting, sighting.source, _disagree(vm, sighting), restart)


def _disagree(vm: Judgement, sighting: Observation) -> str | None:
    if vm.expected is None or sighting.reporting in {None, vm.expected}:
        return None
    return (
        f"expected {'on' if vm.expected else 'off'}, but {'on' if sighting.reporting else 'off'} in its domain XML: "
        "the cluster's setting or its annotation has changed since it started"
    )


def _describe_restart(vm: Judgement, machine: Object | None, then: bool | None) -> str:
    if machine is None:
        return f"FPR will be {'on' if then else 'off'} once it is created again: it has no VirtualMachine to restart"
    return vm.restart or f"restart it to have FPR {'on' if then else 'off'}"

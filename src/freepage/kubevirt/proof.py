"""Proving a change of FPR by the domain XML of a VM that has started since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.fpr.eligibility import assess_next_start
from freepage.fpr.rule import ReportingSetting
from freepage.kube.errors import ClusterError
from freepage.kube.resources import PODS, namespace_of
from freepage.kube.waiting import poll
from freepage.kubevirt.installation import full_name
from freepage.kubevirt.launchers import list_launchers, observe_reporting
from freepage.kubevirt.restart import find_obstacle
from freepage.kubevirt.surroundings import read_surroundings
from freepage.kubevirt.vms import find_vm

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.launchers import Observation

# KubeVirt says that a VM runs a moment before its launcher's log can be read.
_OBSERVED_DEADLINE_S = 30.0


async def find_witness(api: ClusterApi, namespace: str, name: str) -> Object:
    """Find a running VM (its instance) whose next start follows the cluster's setting and nothing else.

    ClusterError where it does not, or where that is not known.
    """
    vm, instance = await find_vm(api, namespace, name)
    if instance is None:
        raise ClusterError(
            f"{namespace}/{name} does not run: it proves nothing", hint="start it, or name another"
        )
    obstacle = find_obstacle(vm)
    if obstacle is not None:
        raise ClusterError(
            f"{namespace}/{name} proves nothing, for it cannot be restarted: {obstacle}", hint="name another"
        )
    around = await read_surroundings(api, [vm], namespace=namespace)
    then = assess_next_start(instance, vm, ReportingSetting(enabled=True, source=""), around)
    if then.missing:
        raise ClusterError(
            f"whether {namespace}/{name} will follow the cluster's setting is not known, so it proves nothing: {'; '.join(then.missing)}",
            hint="name a VM without an instance type or preference, or have the right to read them (freepage rbac switch)",
        )
    if not then.expected:
        raise ClusterError(
            f"{namespace}/{name} has FPR off whatever the cluster says: it proves nothing",
            hint="`freepage audit` shows why, and which VMs would do",
        )
    return instance


async def prove(api: ClusterApi, instance: Object, *, enabled: bool) -> str:
    """Compare the domain XML of a VM that has just started with the setting, and return where it was read.

    libvirt is asked only where the log does not tell and this user may. ClusterError where the two differ, or nothing was seen.
    """
    seen = await _observe_started(api, instance)
    if seen.reporting is None:
        raise ClusterError(
            f"not proved: {full_name(instance)} has started, but {seen.source}",
            hint="freepage audit --exec asks libvirt (it needs pods/exec)",
        )
    if seen.reporting is not enabled:
        raise ClusterError(
            f"{full_name(instance)} has started, and FPR is {'on' if seen.reporting else 'off'} in {seen.source}",
            hint="see `freepage status` and `freepage audit`; `freepage restore` puts back what was there before",
        )
    return seen.source


async def _observe_started(api: ClusterApi, instance: Object) -> Observation:
    namespace = namespace_of(instance)
    may_exec = await api.may("create", PODS, namespace=namespace, subresource="exec")

    async def observe() -> Observation:
        launchers = await list_launchers(api, namespace)
        return await observe_reporting(api, instance, launchers, may_exec=may_exec)

    async def observe_known() -> Observation | None:
        seen = await observe()
        return seen if seen.reporting is not None else None

    return await poll(observe_known, _OBSERVED_DEADLINE_S) or await observe()

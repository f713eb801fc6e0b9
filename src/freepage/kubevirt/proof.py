"""Proving a change of FPR by the domain XML of a VM that has started since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.fpr.eligibility import Switch, expect_next_start
from freepage.kube.errors import ClusterError
from freepage.kube.resources import PODS, namespace_of
from freepage.kube.waiting import poll
from freepage.kubevirt.installation import full_name
from freepage.kubevirt.launchers import list_launchers, see_reporting
from freepage.kubevirt.vms import find_vm

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.launchers import Observation

# KubeVirt says that a VM runs a moment before its launcher's log can be read.
_SEEN_DEADLINE_S = 30.0


async def find_witness(api: ClusterApi, namespace: str, name: str) -> Object:
    """Find a running VM (its instance) whose next start follows the cluster's setting and nothing else; ClusterError where it does not."""
    machine, instance = await find_vm(api, namespace, name)
    if instance is None:
        raise ClusterError(
            f"{namespace}/{name} does not run: it proves nothing", hint="start it, or name another"
        )
    enabled = Switch(disabled=False, source="")
    if expect_next_start(instance, machine, enabled) is not True:
        raise ClusterError(
            f"{namespace}/{name} has FPR off whatever the cluster says: it proves nothing",
            hint="`freepage audit` shows why, and which VMs would do",
        )
    return instance


async def prove(api: ClusterApi, instance: Object, *, reporting: bool) -> str:
    """Check a VM that has just started against what was asked for, and say where that was seen.

    libvirt is asked only where the log does not tell and this user may. ClusterError where it is otherwise, or not seen.
    """
    seen = await _see_started(api, instance)
    if seen.reporting is None:
        raise ClusterError(
            f"not proved: {full_name(instance)} has started, but {seen.source}",
            hint="freepage audit --exec asks libvirt (it needs pods/exec)",
        )
    if seen.reporting is not reporting:
        raise ClusterError(
            f"{full_name(instance)} has started, and FPR is {'on' if seen.reporting else 'off'} in {seen.source}",
            hint="see `freepage status` and `freepage audit`; `freepage restore` puts back what was there before",
        )
    return seen.source


async def _see_started(api: ClusterApi, instance: Object) -> Observation:
    namespace = namespace_of(instance)
    may_exec = await api.may("create", PODS, namespace=namespace, subresource="exec")

    async def see() -> Observation:
        launchers = await list_launchers(api, namespace)
        return await see_reporting(api, instance, launchers, may_exec=may_exec)

    async def see_surely() -> Observation | None:
        seen = await see()
        return seen if seen.reporting is not None else None

    return await poll(see_surely, _SEEN_DEADLINE_S) or await see()

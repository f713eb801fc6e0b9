"""Changing the setting of FPR in a cluster, or for single VMs: both yield their steps as they happen."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.eligibility import find_lasting_exclusions
from freepage.kube.errors import ClusterError, ForbiddenError, LoginError, UnreachableError
from freepage.kubevirt.audit import audit_vms
from freepage.kubevirt.installation import find_installation, full_name
from freepage.kubevirt.proof import find_witness, prove
from freepage.kubevirt.restart import find_obstacle, restart_vm
from freepage.kubevirt.setting import (
    VM_PATH,
    Setting,
    SettingChange,
    describe_object,
    find_setting,
    plan_change,
    refuse_override,
)
from freepage.kubevirt.steps import (
    Effective,
    Outdated,
    Planned,
    Proved,
    Refused,
    Restarting,
    Unneeded,
    Unproved,
    VmChanged,
    Written,
)
from freepage.kubevirt.surroundings import read_surroundings
from freepage.kubevirt.vms import find_vm, is_ours, list_names, list_running
from freepage.kubevirt.writing import apply_change, wait_for_effect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.installation import Installation
    from freepage.kubevirt.steps import Step
    from freepage.kubevirt.vms import VmName


# Each VM of others would start with the new setting next time.
OTHERS_HINT = (
    "none changes while it runs, but each takes the new setting over at its next start: "
    "--despite-running-vms if that is right; --vm NAMESPACE/NAME changes one VM alone"
)


@dataclass(frozen=True)
class ClusterChange:
    """The setting wanted for the cluster; prove: the VM that is restarted to prove it."""

    enabled: bool
    dry_run: bool = False
    despite_running_vms: bool = False
    prove: VmName | None = None


@dataclass(frozen=True)
class VmChange:
    """The setting wanted for some VMs, by the annotation in their template; restart: restart and prove them."""

    enabled: bool
    vms: tuple[VmName, ...]
    dry_run: bool = False
    restart: bool = False


async def change_cluster(api: ClusterApi, wanted: ClusterChange) -> AsyncGenerator[Step, None]:
    """Change the setting for all VMs, wait until KubeVirt has it, and prove it where a VM was named for that."""
    found = await find_installation(api)
    refuse_override(found)
    witness = await find_witness(api, *wanted.prove) if wanted.prove else None
    change = plan_change(find_setting(found), enabled=wanted.enabled, by=api.user)
    if change is None:
        yield Unneeded("the cluster", wanted.enabled)
    else:
        yield Planned(change)
        # Listed in any case: who may not see running VMs is told so before anything is written.
        others = [full_name(i) for i in await list_running(api) if not is_ours(i)]
        refused = bool(others) and not wanted.despite_running_vms
        if refused and not wanted.dry_run:
            raise ClusterError(
                f"others have VMs running in this cluster, and nothing was written: {list_names(others)}",
                hint=OTHERS_HINT,
            )
        await apply_change(api, change, dry_run=wanted.dry_run)
        yield Written(change, wanted.dry_run)
        if refused:
            yield Refused(f"others have VMs running: {list_names(others)}", OTHERS_HINT, dry_run=True)
    if wanted.dry_run:
        return
    async for step in wait_until_effective(api, found, enabled=wanted.enabled):
        yield step
    if witness is None:
        yield Unproved()
        return
    async for step in _restart_and_prove(api, witness, enabled=wanted.enabled):
        yield step


async def wait_until_effective(
    api: ClusterApi, found: Installation, *, enabled: bool
) -> AsyncGenerator[Step, None]:
    """Wait until KubeVirt has the setting, then find the VMs that still run with another."""
    now = await wait_for_effect(api, found, enabled=enabled)
    yield Effective(describe_object(now.kubevirt), enabled)
    audit = await audit_vms(api, now)
    yield Outdated(
        restart=tuple(vm.name for vm in audit.vms if vm.restart),
        unseen=tuple(vm.name for vm in audit.vms if vm.real is None and not vm.restart),
    )


async def _restart_and_prove(
    api: ClusterApi, instance: Object, *, enabled: bool
) -> AsyncGenerator[Step, None]:
    """Restart a VM; ClusterError where its domain XML has another setting then."""
    yield Restarting(full_name(instance))
    source = await prove(api, await restart_vm(api, instance), enabled=enabled)
    yield Proved(full_name(instance), source)


@dataclass(frozen=True)
class _VmPlan:
    """One VM to change; change: None where it is as wanted already. exclusions: what keeps FPR off all the same.

    restart: its instance, where that is to be restarted. obstacle: why KubeVirt would refuse that.
    """

    vm: Object
    instance: Object | None
    change: SettingChange | None
    exclusions: tuple[str, ...]
    restart: Object | None
    obstacle: str | None


async def change_vms(api: ClusterApi, wanted: VmChange) -> AsyncGenerator[Step, None]:
    """Change the VMs that were named: all are looked at before the first is written.

    One that cannot be changed as asked is left alone and holds up no other; ClusterError at the end.
    """
    await _refuse_opt_in(api, wanted)
    plans = [await _plan_vm(api, vm, wanted) for vm in wanted.vms]
    refused: list[Refused] = []
    async for step in _change_each(api, plans, wanted):
        if isinstance(step, Refused):
            refused.append(step)
        # That of a single VM is the error below.
        if wanted.dry_run or len(plans) > 1 or step not in refused:
            yield step
    if refused and not wanted.dry_run:
        raise _summarize(refused, len(plans))


async def _change_each(
    api: ClusterApi, plans: Sequence[_VmPlan], wanted: VmChange
) -> AsyncGenerator[Step, None]:
    """Change all VMs, then restart one after the other those that were."""
    changed = []
    for plan in plans:
        step: Step | None = None
        async for step in _until_refused(_change_one(api, plan, wanted), wanted):
            yield step
        if not isinstance(step, Refused):
            changed.append(plan)
    for instance in filter(None, (p.restart for p in changed)):
        if not wanted.dry_run:
            steps = _restart_and_prove(api, instance, enabled=wanted.enabled)
            async for step in _until_refused(steps, wanted):
                yield step


async def _change_one(api: ClusterApi, plan: _VmPlan, wanted: VmChange) -> AsyncGenerator[Step, None]:
    name = full_name(plan.vm)
    if plan.obstacle is not None:
        raise ClusterError(
            f"{name} is not changed, for it could not be restarted: {plan.obstacle}",
            hint="leave out --restart: it then counts from its next start on",
        )
    if plan.change is None:
        yield Unneeded(name, wanted.enabled)
    else:
        yield Planned(plan.change)
        await apply_change(api, plan.change, dry_run=wanted.dry_run)
        yield Written(plan.change, wanted.dry_run)
    running = plan.instance is not None
    waits = running and plan.change is not None and not wanted.restart
    yield VmChanged(name, plan.exclusions, running, waits)


async def _until_refused(steps: AsyncGenerator[Step, None], wanted: VmChange) -> AsyncGenerator[Step, None]:
    """Yield the steps of one VM; an error that stands in the way of no other is the last of them."""
    try:
        async with aclosing(steps):
            async for step in steps:
                yield step
    except (ForbiddenError, LoginError, UnreachableError):
        raise
    except ClusterError as error:
        yield Refused(error.message, error.hint, wanted.dry_run)


def _summarize(refused: Sequence[Refused], count: int) -> ClusterError:
    if count == 1:
        return ClusterError(refused[0].reason, hint=refused[0].hint)
    return ClusterError(
        f"{len(refused)} of {count} VMs are not as asked for",
        hint="what stands in the way of each is said above",
    )


async def _refuse_opt_in(api: ClusterApi, wanted: VmChange) -> None:
    """Raise ClusterError where the cluster has FPR off: a VM's annotation can only disable it as well."""
    setting = (await find_installation(api)).setting
    if wanted.enabled and setting.enabled is False:
        raise ClusterError(
            f"FPR cannot be enabled for {'/'.join(wanted.vms[0])}: it is disabled for the whole cluster ({setting.source})",
            hint="a VM can opt out, none can opt in: `freepage enable`, then `freepage disable --vm` for those that shall not",
        )


async def _plan_vm(api: ClusterApi, name: VmName, wanted: VmChange) -> _VmPlan:
    vm, instance = await find_vm(api, *name)
    change = plan_change(Setting(VM_PATH, vm), enabled=wanted.enabled, by=api.user)
    around = await read_surroundings(api, [vm], namespace=name[0])
    exclusions = find_lasting_exclusions(instance, vm, around)
    restart = instance if wanted.restart and not exclusions else None
    obstacle = None if restart is None else find_obstacle(vm)
    return _VmPlan(vm, instance, change, exclusions, restart, obstacle)

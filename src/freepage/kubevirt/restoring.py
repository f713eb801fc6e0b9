"""Restoring the setting of FPR as it was before freepage first changed it: yields its steps as they happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.kube.resources import VMS
from freepage.kubevirt.changing import wait_until_effective
from freepage.kubevirt.installation import find_installation, full_name
from freepage.kubevirt.setting import (
    VM_PATH,
    Setting,
    find_setting,
    has_saved,
    plan_restoration,
    read_saved,
)
from freepage.kubevirt.steps import Restoring, VmsLeft, VmsRestored, Written
from freepage.kubevirt.vms import find_vm
from freepage.kubevirt.writing import apply_change

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.steps import Step
    from freepage.kubevirt.vms import VmName


@dataclass(frozen=True)
class Restoration:
    """The settings to restore: those of the VMs that are named, else the cluster's setting, and with `all_vms` every VM's too."""

    vms: tuple[VmName, ...] = ()
    all_vms: bool = False
    dry_run: bool = False


async def restore(api: ClusterApi, wanted: Restoration) -> AsyncGenerator[Step, None]:
    """Put back what was there before freepage changed it; yields no Restoring step where there is nothing of its own."""
    if not wanted.vms:
        async for step in _restore_cluster(api, wanted):
            yield step
    async for step in _restore_vms(api, wanted):
        yield step


async def _restore_cluster(api: ClusterApi, wanted: Restoration) -> AsyncGenerator[Step, None]:
    found = await find_installation(api)
    setting = find_setting(found)
    saved, change = read_saved(setting.object), plan_restoration(setting)
    if saved is None or change is None:
        return
    yield Restoring(change, saved)
    written = await apply_change(api, change, dry_run=wanted.dry_run)
    yield Written(change, wanted.dry_run)
    if written.enabled is not None and not found.overridden and not wanted.dry_run:
        async for step in wait_until_effective(api, found, enabled=written.enabled):
            yield step


async def _restore_vms(api: ClusterApi, wanted: Restoration) -> AsyncGenerator[Step, None]:
    vms = await _find_saved_vms(api, wanted)
    if vms and not (wanted.vms or wanted.all_vms):
        yield VmsLeft(tuple(full_name(vm) for vm in vms))
        return
    changed = []
    for vm in vms:
        setting = Setting(VM_PATH, vm)
        saved, change = read_saved(vm), plan_restoration(setting)
        if saved is None or change is None:
            continue
        yield Restoring(change, saved)
        written = await apply_change(api, change, dry_run=wanted.dry_run)
        yield Written(change, wanted.dry_run)
        if written.enabled is not setting.enabled:
            changed.append(full_name(vm))
    if changed and not wanted.dry_run:
        yield VmsRestored(tuple(changed))


async def _find_saved_vms(api: ClusterApi, wanted: Restoration) -> list[Object]:
    if wanted.vms:
        return [(await find_vm(api, *name))[0] for name in wanted.vms]
    return [vm for vm in await api.list(VMS) if has_saved(vm)]

"""Enabling and disabling FPR for single VMs, by the annotation in their template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.cli.switching import (
    WORDS,
    open_console,
    restart_and_prove,
    say_dry_run,
    show_change,
)

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.setting import Change


@dataclass(frozen=True)
class Target:
    """One VM that is to be changed; instance: as it runs; change: None where it is as wanted already."""

    machine: Object
    instance: Object | None
    change: Change | None


async def change_vms(api: ClusterApi, options: argparse.Namespace, *, disable: bool) -> None:
    """Change the VMs that were named: all are looked at before the first is written."""
    from freepage.kubevirt.setting import apply_change

    console = open_console()
    await _refuse_impossible(api, options, disable=disable)
    targets = [await _plan(api, *vm, disable=disable) for vm in options.vm]
    for target in targets:
        if target.change is not None:
            show_change(console, target.change)
            await apply_change(api, target.change, dry_run=options.dry_run)
            if options.dry_run:
                say_dry_run(console, target.change)
        _report(console, target, restarted=options.restart, disable=disable)
    if options.restart and not options.dry_run:
        running = [t.instance for t in targets if t.instance is not None and not _lasting(t)]
        await restart_and_prove(console, api, running, reporting=not disable)


async def _refuse_impossible(api: ClusterApi, options: argparse.Namespace, *, disable: bool) -> None:
    """Raise ClusterError where the cluster has FPR off: a VM's annotation can only switch it off as well."""
    from freepage.kube.errors import ClusterError
    from freepage.kubevirt.installation import find_installation

    switch = (await find_installation(api)).switch
    if switch.disabled and not disable:
        raise ClusterError(
            f"FPR cannot be enabled for {'/'.join(options.vm[0])}: it is disabled for the whole cluster ({switch.source})",
            hint="a VM can opt out, none can opt in: `freepage enable`, then `freepage disable --vm` for those that shall not",
        )


async def _plan(api: ClusterApi, namespace: str, name: str, *, disable: bool) -> Target:
    from freepage.kubevirt.setting import MACHINE_HANDLE, plan_change
    from freepage.kubevirt.vms import find_vm

    machine, instance = await find_vm(api, namespace, name)
    return Target(machine, instance, plan_change(MACHINE_HANDLE, machine, disable=disable, by=api.user))


def _report(console: Console, target: Target, *, restarted: bool, disable: bool) -> None:
    """Say what the setting is worth for one VM: what stands against it, and from when on it counts."""
    from freepage.kubevirt.installation import full_name

    name = full_name(target.machine)
    if target.change is None:
        console.print(f"FPR is {WORDS[disable]} for {name} already; nothing was written")
    for reason in _lasting(target):
        console.print(f"{name} has FPR off whatever its annotation says: {reason}", style="yellow")
    if target.instance is None:
        console.print(f"{name} does not run: it counts from its next start on")
    elif target.change is not None and not restarted:
        console.print(f"{name} runs on as it started: restart it, or use --restart")


def _lasting(target: Target) -> tuple[str, ...]:
    from freepage.fpr.eligibility import what_keeps_it_off

    return what_keeps_it_off(target.instance or target.machine["spec"]["template"], annotated=False)

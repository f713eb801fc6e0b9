"""What `enable` and `disable` share: the whole cluster's setting, or that of single VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.cluster_options import (
    add_cluster_arguments,
    add_vm_argument,
    count_vms,
    parse_vm,
    run_in_cluster,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.console import Console

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.installation import Installation
    from freepage.kubevirt.setting import Change

WORDS = {True: "disabled", False: "enabled"}


def add_switch_arguments(parser: argparse.ArgumentParser) -> None:
    add_vm_argument(parser, "this VM alone, by its template's annotation (may be given several times)")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the change and let the server check it; write nothing"
    )
    parser.add_argument(
        "--despite-running-vms",
        action="store_true",
        help="change the cluster's setting although VMs of others run: each takes it over at its next start",
    )
    parser.add_argument(
        "--restart", action="store_true", help="restart the VMs of --vm, and prove it by their domain XML"
    )
    parser.add_argument(
        "--prove",
        type=parse_vm,
        metavar="NAMESPACE/NAME",
        help="restart this VM and prove the cluster's change by its domain XML",
    )
    add_cluster_arguments(parser)


def switch(options: argparse.Namespace, *, disable: bool) -> int:
    """Change the cluster's setting, or that of the VMs that were named."""
    from freepage.cli.switching_vms import change_vms
    from freepage.errors import StudyError

    if options.vm and options.prove:
        raise StudyError("--prove goes with the cluster's setting", hint="with --vm, use --restart")
    if options.restart and not options.vm:
        raise StudyError("--restart goes with --vm", hint="for the cluster's setting, use --prove")
    change = change_vms if options.vm else change_cluster

    async def work(api: ClusterApi) -> None:
        await change(api, options, disable=disable)

    run_in_cluster(options, work, manifest="switch")
    return 0


async def change_cluster(api: ClusterApi, options: argparse.Namespace, *, disable: bool) -> None:
    """Change the setting for all VMs, wait until KubeVirt has it, and say what that is worth."""
    from freepage.kubevirt.installation import find_installation
    from freepage.kubevirt.proof import find_witness
    from freepage.kubevirt.setting import apply_change, find_switch, plan_change, refuse_override

    console = open_console()
    found = await find_installation(api)
    refuse_override(found)
    handle, obj = find_switch(found)
    witness = await find_witness(api, *options.prove) if options.prove else None
    change = plan_change(handle, obj, disable=disable, by=api.user)
    if change is None:
        console.print(f"FPR is {WORDS[disable]} for the cluster already; nothing was written")
    else:
        show_change(console, change)
        await _refuse_others(api, options)
        await apply_change(api, change, dry_run=options.dry_run)
    if options.dry_run:
        say_dry_run(console, change)
        return
    await report_effect(console, api, found, disabled=disable)
    await _report_proof(console, api, witness, reporting=not disable)


def open_console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def show_change(console: Console, change: Change) -> None:
    """Print what a change does to an object, before it is done."""
    import json

    from freepage.kubevirt.setting import describe_object

    console.print(f"[bold]{describe_object(change.object)}[/bold] ({change.handle.resource.version})")
    console.print(f"  {'.'.join(change.handle.path)}", markup=False)
    for sign, style, value in (("-", "red", change.old), ("+", "green", change.value)):
        console.print(
            f"  {sign} {'(nothing)' if value is None else json.dumps(value)}", style=style, markup=False
        )


def say_dry_run(console: Console, change: Change | None) -> None:
    if change is not None:
        console.print("dry run: the server accepts it; nothing was written")


async def _refuse_others(api: ClusterApi, options: argparse.Namespace) -> None:
    """Refuse to change what all VMs start with while VMs of others run, unless that was asked for."""
    from freepage.kube.errors import ClusterError
    from freepage.kubevirt.installation import full_name
    from freepage.kubevirt.vms import is_ours, list_running

    others = [full_name(i) for i in await list_running(api) if not is_ours(i)]
    if others and not options.despite_running_vms and not options.dry_run:
        raise ClusterError(
            f"others have VMs running in this cluster, and nothing was written: {count_vms(others)}",
            hint="none changes while it runs, but each takes the new setting over at its next start: "
            "--despite-running-vms if that is right; --vm NAMESPACE/NAME changes one VM alone",
        )


async def report_effect(console: Console, api: ClusterApi, found: Installation, *, disabled: bool) -> None:
    """Wait until KubeVirt has the setting, and say which VMs still run with another."""
    from freepage.kubevirt.audit import audit_cluster
    from freepage.kubevirt.setting import describe_object, wait_for_effect

    await wait_for_effect(api, found, disabled=disabled)
    console.print(
        f"{describe_object(found.kubevirt)} has FPR {WORDS[disabled]}; VMs that start now follow it"
    )
    audit = await audit_cluster(api)
    waiting = [f"{f.vm.namespace}/{f.vm.name}" for f in audit.findings if f.restart]
    unseen = [f"{f.vm.namespace}/{f.vm.name}" for f in audit.findings if f.real is None and not f.restart]
    if waiting:
        console.print(f"to be restarted: {count_vms(waiting)}")
    if unseen:
        console.print(f"perhaps to be restarted, for their state was not seen: {count_vms(unseen)}")
    if not waiting and not unseen:
        console.print("no running VM has to be restarted")


async def _report_proof(
    console: Console, api: ClusterApi, witness: Object | None, *, reporting: bool
) -> None:
    if witness is None:
        console.print(
            "not proved: no VM has started since (--prove NAMESPACE/NAME restarts one)", style="yellow"
        )
        return
    await restart_and_prove(console, api, [witness], reporting=reporting)


async def restart_and_prove(
    console: Console, api: ClusterApi, instances: Sequence[Object], *, reporting: bool
) -> None:
    """Restart VMs one after the other; ClusterError for the first whose domain XML is not as was asked for."""
    from freepage.kubevirt.installation import full_name
    from freepage.kubevirt.proof import prove
    from freepage.kubevirt.restart import restart_vm

    for instance in instances:
        console.print(f"restarting {full_name(instance)} ...")
        source = await prove(api, await restart_vm(api, instance), reporting=reporting)
        console.print(f"[green]proved[/] by the domain XML of {full_name(instance)} ({source})")

"""Put back what was there before freepage enabled or disabled FPR, also after a crash and from another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.cluster_options import add_cluster_arguments, add_vm_argument, count_vms, run_in_cluster

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.setting import Handle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    chosen = parser.add_mutually_exclusive_group()
    add_vm_argument(chosen, "this VM alone (may be given several times); the cluster's setting by default")
    chosen.add_argument("--all", action="store_true", help="the cluster's setting and every VM's")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the change and let the server check it; write nothing"
    )
    add_cluster_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    async def work(api: ClusterApi) -> None:
        await restore(api, options)

    run_in_cluster(options, work, manifest="switch")
    return 0


async def restore(api: ClusterApi, options: argparse.Namespace) -> None:
    """Restore what was asked for; says so where there is nothing."""
    from freepage.cli.switching import open_console

    console = open_console()
    restored = 0
    if not options.vm:
        restored += await _restore_cluster(console, api, options)
    restored += await _restore_vms(console, api, options)
    if not restored:
        console.print("nothing to restore: freepage has no change of its own there")


async def _restore_cluster(console: Console, api: ClusterApi, options: argparse.Namespace) -> int:
    from freepage.cli.switching import report_effect
    from freepage.kubevirt.installation import find_installation
    from freepage.kubevirt.setting import find_switch, is_disabled

    found = await find_installation(api)
    handle, obj = find_switch(found)
    written = await _restore(console, api, handle, obj, dry_run=options.dry_run)
    if written is None:
        return 0
    disabled = is_disabled(handle, written)
    if disabled is not None and not found.overridden and not options.dry_run:
        await report_effect(console, api, found, disabled=disabled)
    return 1


async def _restore_vms(console: Console, api: ClusterApi, options: argparse.Namespace) -> int:
    from freepage.kube.resources import VMS
    from freepage.kubevirt.installation import full_name
    from freepage.kubevirt.setting import MACHINE_HANDLE, has_saved, is_disabled
    from freepage.kubevirt.vms import find_vm

    if options.vm:
        machines = [(await find_vm(api, *vm))[0] for vm in options.vm]
    else:
        machines = [m for m in await api.list(VMS) if has_saved(m)]
    if not (options.vm or options.all):
        if machines:
            names = count_vms([full_name(m) for m in machines])
            console.print(f"--all restores single VMs too: {names}")
        return 0
    restored, changed = 0, []
    for machine in machines:
        written = await _restore(console, api, MACHINE_HANDLE, machine, dry_run=options.dry_run)
        restored += written is not None
        if written and is_disabled(MACHINE_HANDLE, written) != is_disabled(MACHINE_HANDLE, machine):
            changed.append(full_name(machine))
    if changed and not options.dry_run:
        console.print(f"to be restarted, where they run: {count_vms(changed)}")
    return restored


async def _restore(
    console: Console, api: ClusterApi, handle: Handle, obj: Object, *, dry_run: bool
) -> Object | None:
    """Show and write one restoration, and give the object as it then is; None where nothing was kept of it."""
    from freepage.cli.switching import say_dry_run, show_change
    from freepage.kubevirt.setting import apply_change, plan_restoration, read_saved

    change = plan_restoration(handle, obj)
    if change is None:
        return None
    saved = read_saved(obj)
    show_change(console, change)
    if saved is not None:
        console.print(
            f"  as it was before {saved.when}, when {saved.by} changed it", style="dim", markup=False
        )
    written = await apply_change(api, change, dry_run=dry_run)
    if dry_run:
        say_dry_run(console, change)
    return written

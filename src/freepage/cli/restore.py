"""Put back what was there before freepage enabled or disabled FPR, also after a crash and from another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.cluster_options import add_cluster_arguments, add_vm_argument, build_login, run_in_cluster
from freepage.cli.steps import print_step
from freepage.cli.terminal import open_console
from freepage.kubevirt.restoring import Restoration, restore
from freepage.kubevirt.steps import Restoring

if TYPE_CHECKING:
    import argparse

    from freepage.kube.api import ClusterApi


def add_arguments(parser: argparse.ArgumentParser) -> None:
    chosen = parser.add_mutually_exclusive_group()
    add_vm_argument(chosen, "this VM alone (may be given several times); the cluster's setting by default")
    chosen.add_argument("--all", action="store_true", help="the cluster's setting and every VM's")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the change and let the server check it; write nothing"
    )
    add_cluster_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    wanted = Restoration(vms=tuple(options.vm), all_vms=options.all, dry_run=options.dry_run)

    async def work(api: ClusterApi) -> None:
        await _restore(api, wanted)

    run_in_cluster(build_login(options), work, manifest="switch")
    return 0


async def _restore(api: ClusterApi, wanted: Restoration) -> None:
    """Restore what is wanted, and report where there was nothing."""
    console = open_console()
    restored = False
    async for step in restore(api, wanted):
        print_step(console, step)
        restored = restored or isinstance(step, Restoring)
    if not restored:
        console.print("nothing to restore: freepage has no change of its own there")

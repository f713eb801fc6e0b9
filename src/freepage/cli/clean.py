"""Remove what runs have left in a namespace of a cluster; runs that are alive are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.cluster_options import add_cluster_arguments, run_in_cluster

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from freepage.kube.api import ClusterApi
    from freepage.targets.cluster.leftovers import Leftovers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--run", metavar="ID", help="what this run has left, be it alive or not")
    chosen.add_argument("--all", action="store_true", help="runs that are alive as well")
    parser.add_argument("--dry-run", action="store_true", help="list it, remove nothing")
    add_cluster_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    async def work(api: ClusterApi) -> None:
        await clean(api, options)

    run_in_cluster(options, work, manifest="run")
    return 0


async def clean(api: ClusterApi, options: argparse.Namespace) -> None:
    """List what runs have left, and remove it but for those that are alive."""
    from freepage.cli.switching import open_console
    from freepage.targets.cluster.leftovers import find_leftovers, remove_leftovers

    console = open_console()
    found = await find_leftovers(api, api.namespace, options.run)
    if not found:
        console.print(f"namespace {api.namespace} holds nothing of freepage's; nothing was removed")
    for leftovers in found:
        if leftovers.alive and not options.all and options.run is None:
            console.print(
                f"run {leftovers.run} is alive (its last sign {leftovers.silent_s:.0f} s ago): left as it is; "
                f"--run {leftovers.run} removes it all the same",
                style="yellow",
            )
            continue
        _list(console, leftovers, api.namespace)
        if not options.dry_run:
            await remove_leftovers(api, api.namespace, leftovers)
            console.print(f"removed, and gone: {len(leftovers.objects)} objects of run {leftovers.run}")
    if options.dry_run and found:
        console.print("dry run: nothing was removed")


def _list(console: Console, leftovers: Leftovers, namespace: str) -> None:
    console.print(f"[bold]run {leftovers.run or 'without a name'}[/bold] in namespace {namespace}")
    for leftover in leftovers.objects:
        console.print(f"  {leftover.resource.kind} {leftover.name}")

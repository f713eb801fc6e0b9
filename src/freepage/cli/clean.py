"""Remove what runs have left in a namespace of a cluster; runs that are alive are left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.cli.cluster_options import add_cluster_arguments, build_login, run_in_cluster
from freepage.cli.terminal import open_console
from freepage.kube.namespaces import check_namespace
from freepage.targets.cluster.leftovers import find_leftovers, remove_leftovers

if TYPE_CHECKING:
    import argparse

    from freepage.kube.api import ClusterApi
    from freepage.report.console import Terminal
    from freepage.targets.cluster.leftovers import Leftovers


@dataclass(frozen=True)
class CleanOptions:
    """The leftovers to remove: of the run of an id (None: of every run); `alive`: also of runs that are alive."""

    run: str | None
    alive: bool
    dry_run: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--run", metavar="ID", help="what this run has left, whether it is alive or not")
    chosen.add_argument("--all", action="store_true", help="runs that are alive as well")
    parser.add_argument("--dry-run", action="store_true", help="list it, remove nothing")
    add_cluster_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    wanted = CleanOptions(options.run, alive=options.all or options.run is not None, dry_run=options.dry_run)

    async def work(api: ClusterApi) -> None:
        await _clean(api, wanted)

    run_in_cluster(build_login(options), work, manifest="run")
    return 0


async def _clean(api: ClusterApi, wanted: CleanOptions) -> None:
    """List what runs have left, and remove it, but for runs that are alive."""
    console = open_console()
    found = await find_leftovers(api, api.namespace, wanted.run)
    if not found:
        await check_namespace(api, api.namespace)
        console.print(f"namespace {api.namespace} holds nothing of freepage's; nothing was removed")
    for leftovers in found:
        if leftovers.alive and not wanted.alive:
            console.print(
                f"run {leftovers.run} is alive (its last sign {leftovers.silent_s:.0f} s ago): left as it is; "
                f"--run {leftovers.run} removes it all the same",
                style="yellow",
            )
            continue
        _print_leftovers(console, leftovers, api.namespace)
        if not wanted.dry_run:
            await remove_leftovers(api, api.namespace, leftovers)
            console.print(f"removed, and gone: {len(leftovers.objects)} objects of run {leftovers.run}")
    if wanted.dry_run and found:
        console.print("dry run: nothing was removed")


def _print_leftovers(console: Terminal, leftovers: Leftovers, namespace: str) -> None:
    console.say((f"run {leftovers.run or 'without a name'}", "bold"), f" in namespace {namespace}")
    for leftover in leftovers.objects:
        console.print(f"  {leftover.resource.kind} {leftover.name}")

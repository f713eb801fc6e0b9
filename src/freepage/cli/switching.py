"""The common part of `enable` and `disable`: the whole cluster's setting, or that of single VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.by_hand import Wanted, print_by_hand
from freepage.cli.cluster_options import (
    add_cluster_arguments,
    add_vm_argument,
    build_login,
    parse_vm,
    run_in_cluster,
)
from freepage.cli.steps import print_steps
from freepage.errors import StudyError
from freepage.kubevirt.changing import ClusterChange, VmChange, change_cluster, change_vms

if TYPE_CHECKING:
    import argparse

    from freepage.kube.api import ClusterApi


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
    parser.add_argument(
        "--print",
        dest="by_hand",
        action="store_true",
        help="print how to make the change with oc or kubectl, for this cluster or for every kind of one; change nothing",
    )
    parser.add_argument("--offline", action="store_true", help="with --print: ask no cluster, and print all")
    add_cluster_arguments(parser)


def read_change(options: argparse.Namespace, *, enabled: bool) -> ClusterChange | VmChange:
    """Return the change that the options ask for; StudyError where they do not go together."""
    if options.vm and options.prove:
        raise StudyError("--prove goes with the cluster's setting", hint="with --vm, use --restart")
    if options.restart and not options.vm:
        raise StudyError("--restart goes with --vm", hint="for the cluster's setting, use --prove")
    if options.vm:
        return VmChange(enabled, tuple(options.vm), dry_run=options.dry_run, restart=options.restart)
    return ClusterChange(
        enabled,
        dry_run=options.dry_run,
        despite_running_vms=options.despite_running_vms,
        prove=options.prove,
    )


def read_wanted(options: argparse.Namespace, *, enabled: bool) -> Wanted:
    """Return what --print is to show; StudyError where other options do not go with it."""
    if not options.by_hand:
        raise StudyError("--offline goes with --print", hint="without it, the change is made in a cluster")
    others = ("dry_run", "despite_running_vms", "restart", "prove")
    given = [f"--{name.replace('_', '-')}" for name in others if getattr(options, name)]
    if given:
        raise StudyError(
            f"--print changes nothing, so {', '.join(given)} does not go with it", hint="leave one out"
        )
    return Wanted(enabled, tuple(options.vm), options.offline)


def switch(options: argparse.Namespace, *, enabled: bool) -> int:
    """Change the cluster's setting, or that of the VMs that are named; or show how that is done by hand."""
    if options.by_hand or options.offline:
        print_by_hand(read_wanted(options, enabled=enabled), build_login(options))
        return 0
    wanted = read_change(options, enabled=enabled)

    async def work(api: ClusterApi) -> None:
        steps = change_vms(api, wanted) if isinstance(wanted, VmChange) else change_cluster(api, wanted)
        await print_steps(steps)

    run_in_cluster(build_login(options), work, manifest="switch")
    return 0

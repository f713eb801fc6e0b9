"""Show where a cluster's setting of FPR is, what it says, and what freepage has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.cluster_options import add_cluster_arguments, build_login, run_in_cluster
from freepage.cli.terminal import open_console
from freepage.fpr.eligibility import assess_instance
from freepage.fpr.rule import JSON_PATCH
from freepage.kube.resources import VMS
from freepage.kubevirt.installation import find_installation, full_name
from freepage.kubevirt.setting import describe_object, find_setting, has_saved, read_saved
from freepage.kubevirt.surroundings import read_surroundings
from freepage.kubevirt.vms import list_names, list_running

if TYPE_CHECKING:
    import argparse

    from freepage.fpr.eligibility import Eligibility
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.installation import Installation
    from freepage.report.console import Terminal

STATES = {
    True: ("enabled", "bold green"),
    False: ("disabled", "bold red"),
    None: ("not known", "bold yellow"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cluster_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    run_in_cluster(build_login(options), _show_status, manifest="audit")
    return 0


async def _show_status(api: ClusterApi) -> None:
    """Print the cluster, its setting, its VMs by the rule, and what waits to be restored."""
    console = open_console()
    found = await find_installation(api)
    _print_installation(console, api.server, found)
    _print_setting(console, found)
    vms = await api.list(VMS)
    around = await read_surroundings(api, vms, kubevirt=found.kubevirt)
    instances, by_name = await list_running(api), {full_name(vm): vm for vm in vms}
    assessed = [assess_instance(i, found.setting, by_name.get(full_name(i)), around) for i in instances]
    _print_vms(console, assessed)
    _print_saved(console, found, vms)


def _print_installation(console: Terminal, server: str, found: Installation) -> None:
    console.print(f"cluster     {server}, Kubernetes {found.kubernetes}")
    console.print(f"KubeVirt    {found.version or 'of an unknown version'}")
    if found.hyperconverged is not None:
        served = ", ".join(found.hyperconverged_versions)
        console.print(f"operator    HyperConverged, served in {served}")


def _print_setting(console: Terminal, found: Installation) -> None:
    setting, effective = find_setting(found), found.setting
    state = STATES[effective.enabled]
    console.say("FPR         ", state, f" for the cluster ({effective.source})")
    console.print(
        f"            changed in {describe_object(setting.object)} ({setting.path.resource.version}), {setting.path}"
    )
    if found.overridden:
        console.print(f"            the annotation {JSON_PATCH} overrides that", style="yellow")
    elif setting.enabled not in {effective.enabled, None}:
        console.print(
            f"            which says {'enabled' if setting.enabled else 'disabled'}: KubeVirt has not followed",
            style="yellow",
        )


def _print_vms(console: Terminal, assessed: list[Eligibility]) -> None:
    on = sum(e.expected is True for e in assessed)
    console.print(
        f"VMs         {len(assessed)} running: FPR expected on in {on}, off in {len(assessed) - on} "
        "(`freepage audit` reads what is real)"
    )
    waiting = [f"{e.namespace}/{e.name}" for e in assessed if e.restart]
    if waiting:
        console.print(
            f"            of another template than they run with: {list_names(waiting)}; it counts at the next start"
        )


def _print_saved(console: Terminal, found: Installation, vms: list[Object]) -> None:
    saved = read_saved(find_setting(found).object)
    if saved is not None:
        console.print(
            f"to restore  the cluster's setting, changed {saved.when} by {saved.by}: freepage restore"
        )
    changed = [full_name(vm) for vm in vms if has_saved(vm)]
    if changed:
        console.print(f"to restore  {list_names(changed)}: freepage restore --all")
    if saved is None and not changed:
        console.print("to restore  nothing: freepage has no change of its own here")

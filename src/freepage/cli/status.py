"""Show where a cluster's switch of FPR is, what it says, and what freepage has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.cluster_options import add_cluster_arguments, count_vms, run_in_cluster

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.installation import Installation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cluster_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    run_in_cluster(options, show_status, manifest="audit")
    return 0


async def show_status(api: ClusterApi) -> None:
    """Print the cluster, its switch, its VMs by the rule, and what waits to be put back."""
    from rich.console import Console

    from freepage.kube.resources import VMS
    from freepage.kubevirt.installation import find_installation
    from freepage.kubevirt.vms import list_running

    console = Console(highlight=False, soft_wrap=True)
    found = await find_installation(api)
    _print_installation(console, api.server, found)
    _print_switch(console, found)
    machines = await api.list(VMS)
    _print_vms(console, found, await list_running(api), machines)
    _print_saved(console, found, machines)


def _print_installation(console: Console, server: str, found: Installation) -> None:
    console.print(f"cluster     {server}, Kubernetes {found.kubernetes}")
    console.print(f"KubeVirt    {found.version or 'of an unknown version'}")
    if found.hyperconverged is not None:
        served = ", ".join(found.hyperconverged_versions)
        console.print(f"operator    HyperConverged, served in {served}")


def _print_switch(console: Console, found: Installation) -> None:
    from freepage.fpr.eligibility import JSON_PATCH
    from freepage.kubevirt.setting import describe_object, find_switch, is_disabled

    handle, obj = find_switch(found)
    disabled = found.switch.disabled
    state = "[red]disabled[/]" if disabled else "[green]enabled[/]"
    console.print(f"FPR         [bold]{state}[/bold] for the cluster ({found.switch.source})")
    console.print(
        f"            changed in {describe_object(obj)} ({handle.resource.version}), {'.'.join(handle.path)}"
    )
    if found.overridden:
        console.print(f"            the annotation {JSON_PATCH} overrides that", style="yellow")
    elif is_disabled(handle, obj) not in {disabled, None}:
        console.print(
            f"            which says {'enabled' if disabled else 'disabled'}: KubeVirt has not followed",
            style="yellow",
        )


def _print_vms(
    console: Console, found: Installation, instances: list[Object], machines: list[Object]
) -> None:
    from freepage.fpr.eligibility import judge_instance
    from freepage.kubevirt.installation import full_name

    by_name = {full_name(m): m for m in machines}
    judged = [judge_instance(i, found.switch, by_name.get(full_name(i))) for i in instances]
    on = sum(j.expected is True for j in judged)
    console.print(
        f"VMs         {len(judged)} running: FPR expected on in {on}, off in {len(judged) - on} "
        "(`freepage audit` reads what is real)"
    )
    waiting = [f"{j.namespace}/{j.name}" for j in judged if j.restart]
    if waiting:
        console.print(
            f"            of another template than they run with: {count_vms(waiting)}; it counts at the next start"
        )


def _print_saved(console: Console, found: Installation, machines: list[Object]) -> None:
    from freepage.kubevirt.installation import full_name
    from freepage.kubevirt.setting import find_switch, has_saved, read_saved

    _, obj = find_switch(found)
    saved = read_saved(obj)
    if saved is not None:
        console.print(
            f"to restore  the cluster's setting, changed {saved.when} by {saved.by}: freepage restore"
        )
    changed = [full_name(m) for m in machines if has_saved(m)]
    if changed:
        console.print(f"to restore  {count_vms(changed)}: freepage restore --all")
    if saved is None and not changed:
        console.print("to restore  nothing: freepage has no change of its own here")

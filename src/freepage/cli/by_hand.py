"""Prints how FPR is switched by hand, with oc or kubectl, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.cli.cluster_options import run_in_cluster
from freepage.cli.terminal import open_console
from freepage.kube.errors import ForbiddenError, NoLoginError, UnreachableError
from freepage.kubevirt.by_hand import describe_installed, describe_usual, describe_vms, find_program
from freepage.kubevirt.installation import find_installation
from freepage.kubevirt.setting import refuse_override

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi
    from freepage.kube.login import Login
    from freepage.kubevirt.by_hand import ManualChange
    from freepage.kubevirt.vms import VmName
    from freepage.report.console import Terminal

_AFTER = "A VM that runs keeps what it started with: it takes the change over when it is stopped and started."


@dataclass(frozen=True)
class Wanted:
    """The change that is to be shown; vms: of these alone; offline: no cluster is asked."""

    enabled: bool
    vms: tuple[VmName, ...] = ()
    offline: bool = False


def print_by_hand(wanted: Wanted, login: Login) -> None:
    """Print the change for the cluster at hand; for every kind of installation where none can be asked."""
    console = open_console()
    changes, note = _find_changes(wanted, login)
    if note:
        console.print(note, style="dim")
    for change in changes:
        _print_change(console, change)
    console.print(_AFTER)


def _find_changes(wanted: Wanted, login: Login) -> tuple[tuple[ManualChange, ...], str]:
    if wanted.vms:
        return describe_vms(wanted.vms, enabled=wanted.enabled), "(on OpenShift oc takes the same)"
    if wanted.offline:
        return describe_usual(enabled=wanted.enabled), ""

    async def work(api: ClusterApi) -> ManualChange:
        return await _ask_cluster(api, enabled=wanted.enabled)

    try:
        return (run_in_cluster(login, work, manifest="switch"),), ""
    except (NoLoginError, ForbiddenError, UnreachableError) as error:
        return describe_usual(
            enabled=wanted.enabled
        ), f"which of these it is could not be read: {error.message}"


async def _ask_cluster(api: ClusterApi, *, enabled: bool) -> ManualChange:
    found = await find_installation(api)
    refuse_override(found)
    return describe_installed(found, enabled=enabled, program=await find_program(api))


def _print_change(console: Terminal, change: ManualChange) -> None:
    console.say((change.title, "bold"))
    if change.value is not None:
        console.print(f"  it has now: {'(nothing)' if change.value == 'null' else change.value}")
    console.print(f"  {change.edit}")
    console.print(
        "    take the last line out, where it is there:" if change.is_removal else "    put this in:",
        style="dim",
    )
    for line in change.lines:
        console.print(f"      {line}")
    console.print("  or")
    console.print(f"  {change.patch}")
    console.print()

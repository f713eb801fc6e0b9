"""Prints the steps of a change of the setting, each as it happens."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING

from freepage.cli.terminal import open_console
from freepage.kubevirt.setting import describe_object
from freepage.kubevirt.steps import (
    Effective,
    Outdated,
    Planned,
    Proved,
    Refused,
    Restarting,
    Restoring,
    Unneeded,
    Unproved,
    VmChanged,
    VmsLeft,
    VmsRestored,
    Written,
)
from freepage.kubevirt.vms import list_names

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from freepage.kubevirt.setting import SettingChange
    from freepage.kubevirt.steps import Step
    from freepage.report.console import Terminal

WORDS = {True: "enabled", False: "disabled"}


async def print_steps(steps: AsyncGenerator[Step, None]) -> None:
    """Print steps as they happen."""
    console = open_console()
    async with aclosing(steps):
        async for step in steps:
            print_step(console, step)


def print_step(console: Terminal, step: Step) -> None:
    match step:
        case Planned(change):
            _print_change(console, change)
        case Restoring(change, saved):
            _print_change(console, change)
            console.print(f"  as it was before {saved.when}, when {saved.by} changed it", style="dim")
        case Written(dry_run=True):
            console.print("dry run: the server accepts it; nothing was written")
        case Unneeded(subject, enabled):
            console.print(f"FPR is {WORDS[enabled]} for {subject} already; nothing was written")
        case Effective() | Outdated():
            _print_effect(console, step)
        case Unproved() | Restarting() | Proved():
            _print_proof(console, step)
        case Refused():
            _print_refusal(console, step)
        case VmChanged():
            _print_vm(console, step)
        case VmsLeft() | VmsRestored():
            words = {VmsLeft: "--all restores single VMs too", VmsRestored: "to be restarted, where they run"}
            console.print(f"{words[type(step)]}: {list_names(step.vms)}")


def _print_change(console: Terminal, change: SettingChange) -> None:
    """Print what a change does to an object, before it is done."""
    setting = change.setting
    console.say((describe_object(setting.object), "bold"), f" ({setting.path.resource.version})")
    console.print(f"  {setting.path}")
    for sign, style, value in (("-", "red", setting.value), ("+", "green", change.value)):
        console.print(f"  {sign} {'(nothing)' if value is None else json.dumps(value)}", style=style)


def _print_effect(console: Terminal, step: Effective | Outdated) -> None:
    if isinstance(step, Effective):
        console.print(f"{step.kubevirt} has FPR {WORDS[step.enabled]}; VMs that start now follow it")
        return
    if step.restart:
        console.print(f"to be restarted: {list_names(step.restart)}")
    if step.unseen:
        console.print(f"perhaps to be restarted, for their state was not seen: {list_names(step.unseen)}")
    if not step.restart and not step.unseen:
        console.print("no running VM has to be restarted")


def _print_proof(console: Terminal, step: Unproved | Restarting | Proved) -> None:
    match step:
        case Restarting(vm):
            console.print(f"restarting {vm} ...")
        case Proved(vm, source):
            console.say(("proved", "green"), f" by the domain XML of {vm} ({source})")
        case Unproved():
            console.print(
                "not proved: no VM has started since (--prove NAMESPACE/NAME restarts one)", style="yellow"
            )


def _print_refusal(console: Terminal, step: Refused) -> None:
    aside = "without --dry-run this is refused: " if step.dry_run else ""
    console.print(f"{aside}{step.reason}", style="yellow")
    if step.hint is not None:
        console.print(f"  {step.hint}", style="dim")


def _print_vm(console: Terminal, step: VmChanged) -> None:
    for reason in step.exclusions:
        console.print(f"{step.vm} has FPR off whatever its annotation says: {reason}", style="yellow")
    if not step.running:
        console.print(f"{step.vm} does not run: it counts from its next start on")
    elif step.waits:
        console.print(f"{step.vm} runs on as it started: restart it, or use --restart")

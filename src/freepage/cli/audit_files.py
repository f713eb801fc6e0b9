"""Auditing a cluster from what kubectl printed: what is to be expected, without a login."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from rich.table import Table

    from freepage.fpr.eligibility import Judgement, Switch

HINT = (
    "kubectl get kubevirt,vm,vmi -A -o json > objects.json; with OpenShift Virtualization also hyperconverged"
)
WORDS = {True: "on", False: "off", None: "not known"}
STYLES = {True: "green", False: "red", None: "yellow"}


def audit_files(options: argparse.Namespace) -> int:
    """Judge the VMs among the objects of some files."""
    from freepage.errors import StudyError
    from freepage.fpr.eligibility import judge_all

    if options.exec or options.prometheus:
        raise StudyError(
            "--exec and --prometheus ask a cluster, and files were given", hint="leave out one or the other"
        )
    objects = [o for name in options.files for o in _read_objects(name)]
    switch, judged = judge_all(objects)
    if options.format == "json":
        from dataclasses import asdict

        print(json.dumps({"cluster": asdict(switch), "vms": [asdict(j) for j in judged]}, indent=1))
    else:
        _print_judgements(switch, judged)
    return 0


def _read_objects(name: str) -> list[dict[str, Any]]:
    """Read the objects of one file: a list as kubectl prints it, or one object."""
    from pathlib import Path

    from freepage.errors import StudyError

    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        content = json.loads(text)
    except OSError as error:
        raise StudyError(f"cannot read {name}: {error.strerror}", hint=HINT) from error
    except ValueError as error:
        raise StudyError(f"{name} is not JSON: {error}", hint=HINT) from error
    items = content.get("items", [content]) if isinstance(content, dict) else None
    if items is None or not all(isinstance(o, dict) and "kind" in o for o in items):
        raise StudyError(f"{name} holds no Kubernetes objects", hint=HINT)
    return list(items)


def _print_judgements(switch: Switch, judged: list[Judgement]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    setting = {True: "disabled", False: "enabled", None: "not known"}[switch.disabled]
    console.print(f"Free Page Reporting in the cluster: [bold]{setting}[/bold] ({switch.source})")
    if not judged:
        console.print("there is no VirtualMachine or VirtualMachineInstance among the objects")
        return
    table = open_table("VM", "expected", "why")
    for vm in judged:
        state = "" if vm.running else " (stopped)"
        table.add_row(
            f"{vm.namespace}/{vm.name}{state}",
            f"[{STYLES[vm.expected]}]{WORDS[vm.expected]}[/]",
            _explain(vm),
        )
    console.print(table)
    counts = {words: sum(j.expected is value for j in judged) for value, words in WORDS.items()}
    silent = sum(j.expected is True and bool(j.ineffective) for j in judged)
    summary = ", ".join(f"{count} {words}" for words, count in counts.items())
    console.print(f"{len(judged)} VMs: {summary}; {silent} on without effect")
    console.print(
        "Expected is what KubeVirt's rule gives at a VM's start; without files, `freepage audit` reads what is real.",
        style="dim",
    )


def open_table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _explain(vm: Judgement) -> str:
    """Give one line for each reason, the most telling first."""
    lines = list(vm.because)
    if vm.expected is not False:
        lines += [f"no effect: {reason}" for reason in vm.ineffective]
        lines += [f"not known: {reason}" for reason in vm.unknown]
    return "\n".join([*lines, *([vm.restart] if vm.restart else [])])

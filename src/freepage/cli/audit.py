"""Say for which VMs of a KubeVirt cluster FPR may be on, and why not for others, from what kubectl printed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from freepage.fpr.eligibility import Judgement, Switch

HINT = (
    "kubectl get kubevirt,vm,vmi -A -o json > objects.json; with OpenShift Virtualization also hyperconverged"
)
WORDS = {True: "on", False: "off", None: "not known"}
STYLES = {True: "green", False: "red", None: "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help=f"JSON of the API's objects, - for standard input ({HINT})"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def execute(options: argparse.Namespace) -> int:
    from freepage.fpr.eligibility import judge_all

    objects = [o for name in options.files for o in _read_objects(name)]
    switch, judged = judge_all(objects)
    if options.format == "json":
        from dataclasses import asdict

        print(json.dumps({"cluster": asdict(switch), "vms": [asdict(j) for j in judged]}, indent=1))
    else:
        _print_table(switch, judged)
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


def _print_table(switch: Switch, judged: list[Judgement]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    setting = {True: "disabled", False: "enabled", None: "not known"}[switch.disabled]
    console.print(f"Free Page Reporting in the cluster: [bold]{setting}[/bold] ({switch.source})")
    if not judged:
        console.print("there is no VirtualMachine or VirtualMachineInstance among the objects")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("VM", "expected", "why"):
        table.add_column(heading)
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
        "Expected is what KubeVirt's rule gives at a VM's start; the domain XML shows what it is.",
        style="dim",
    )


def _explain(vm: Judgement) -> str:
    """Give one line for each reason, the most telling first."""
    lines = list(vm.because)
    if vm.expected is not False:
        lines += [f"no effect: {reason}" for reason in vm.ineffective]
        lines += [f"not known: {reason}" for reason in vm.unknown]
    return "\n".join([*lines, *([vm.restart] if vm.restart else [])])

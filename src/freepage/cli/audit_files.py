"""Auditing a cluster from what kubectl printed: what is to be expected, without a login."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cli.terminal import build_table, open_console
from freepage.errors import StudyError
from freepage.fpr.eligibility import assess_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.fpr.eligibility import Eligibility, ReportingSetting
    from freepage.fpr.objects import Object

HINT = (
    "kubectl get kubevirt,vm,vmi -A -o json > objects.json; with OpenShift Virtualization also hyperconverged"
)
WORDS = {True: "on", False: "off", None: "not known"}
STYLES = {True: "green", False: "red", None: "yellow"}


def audit_files(files: Sequence[str], *, as_json: bool) -> None:
    """Assess the VMs among the objects of some files, and print the result."""
    objects = [o for name in files for o in _read_objects(name)]
    setting, assessed = assess_all(objects)
    if as_json:
        print(json.dumps({"cluster": asdict(setting), "vms": [asdict(e) for e in assessed]}, indent=1))
    else:
        _print_assessed(setting, assessed)


def _read_objects(name: str) -> list[Object]:
    """Read the objects of one file: a list as kubectl prints it, or one object."""
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


def _print_assessed(setting: ReportingSetting, assessed: list[Eligibility]) -> None:
    console = open_console(wrap=True)
    state = {True: "enabled", False: "disabled", None: "not known"}[setting.enabled]
    console.print(f"Free Page Reporting in the cluster: [bold]{state}[/bold] ({setting.source})")
    if not assessed:
        console.print("there is no VirtualMachine or VirtualMachineInstance among the objects")
        return
    table = build_table("VM", "expected", "why")
    for vm in assessed:
        state = "" if vm.running else " (stopped)"
        table.add_row(
            f"{vm.namespace}/{vm.name}{state}",
            f"[{STYLES[vm.expected]}]{WORDS[vm.expected]}[/]",
            _explain(vm),
        )
    console.print(table)
    counts = {words: sum(e.expected is value for e in assessed) for value, words in WORDS.items()}
    silent = sum(e.expected is True and bool(e.ineffective) for e in assessed)
    summary = ", ".join(f"{count} {words}" for words, count in counts.items())
    console.print(f"{len(assessed)} VMs: {summary}; {silent} on without effect")
    console.print(
        "Expected is what KubeVirt's rule gives at a VM's start; without files, `freepage audit` reads what is real.",
        style="dim",
    )


def _explain(vm: Eligibility) -> str:
    """Return one line for each reason, the most important first."""
    lines = list(vm.because)
    if vm.expected is not False:
        lines += [f"no effect: {reason}" for reason in vm.ineffective]
        lines += [f"not known: {reason}" for reason in vm.unknown]
    return "\n".join([*lines, *([vm.restart] if vm.restart else [])])

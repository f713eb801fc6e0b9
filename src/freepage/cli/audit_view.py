"""An audit as a person sees it, and as JSON: the same whether a cluster was asked or files were read."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from freepage.cli.terminal import build_table, open_console
from freepage.kubevirt.audit import STATES
from freepage.kubevirt.audit_objects import NOT_RUNNING, UNSEEN
from freepage.units import format_bytes

if TYPE_CHECKING:
    from rich.table import Table

    from freepage.kubevirt.audit import Audit, AuditedVm
    from freepage.report.console import Terminal

STATE_STYLES = {"on": "green", "off": "red", "no effect": "yellow", "unknown": "yellow"}
EXPECTED = {True: ("on", "green"), False: ("off", "red"), None: ("not known", "yellow")}
SETTINGS = {True: "enabled", False: "disabled", None: "not known"}
_SHOWN = 20


def describe_json(audit: Audit) -> dict[str, Any]:
    """Return an audit as docs/cluster.md describes it."""
    vms = []
    for vm in audit.vms:
        found = asdict(vm)
        vms.append({**found.pop("eligibility"), "state": vm.state, **found})
    return {
        "cluster": {**asdict(audit.setting), "kubevirt": audit.version},
        "counts": {state: audit.count(state) for state in STATES},
        "expected": {
            **{words: audit.count_expected(value) for value, (words, _) in EXPECTED.items()},
            "no effect": audit.silent,
        },
        "unread": audit.unread,
        "vms": vms,
        "notes": list(audit.notes),
        "skipped": [asdict(each) for each in audit.skipped],
    }


def print_live_audit(audit: Audit, namespace: str | None) -> None:
    """Print what is real of every running VM beside what is expected."""
    console = open_console(wrap=True)
    where = f" in namespace {namespace}" if namespace else ""
    console.print(
        f"{_count_vms(len(audit.vms))}{where}: {audit.count('on')} on, {audit.count('off')} off, "
        f"{audit.count('no effect')} on without effect, {audit.count('unknown')} unknown"
    )
    _print_setting(console, audit)
    for node, vms in sorted(audit.unread.items()):
        console.print(f"not read: {_count_vms(vms)} on node {node}, which does not answer", style="yellow")
    if audit.vms:
        console.print(_build_live_table(audit))
    if audit.stranded is not None:
        lower, upper = format_bytes(audit.stranded.lower_bytes), format_bytes(audit.stranded.upper_bytes)
        console.print(
            f"FPR would give back between {lower} and {upper} of the VMs that have it off: "
            "what the host holds of them now and they do not use",
            soft_wrap=True,
        )
    _print_unseen(console, audit)


def print_file_audit(audit: Audit) -> None:
    """Print what is expected of every VM, and what could not be seen of the cluster."""
    console = open_console(wrap=True)
    _print_setting(console, audit)
    if audit.vms:
        console.print(_build_file_table(audit))
        counts = ", ".join(f"{audit.count_expected(value)} {words}" for value, (words, _) in EXPECTED.items())
        console.print(
            f"{_count_vms(len(audit.vms))}: {counts}; {audit.silent} on without effect", soft_wrap=True
        )
    _print_unseen(console, audit)
    if audit.vms:
        console.print(
            "Expected is what KubeVirt's rule gives at a VM's start; without files, `freepage audit` reads what is real.",
            style="dim",
            soft_wrap=True,
        )


def _print_setting(console: Terminal, audit: Audit) -> None:
    from freepage.report.console import words

    state = SETTINGS[audit.setting.enabled], "bold"
    line = words("Free Page Reporting in the cluster: ", state, f" ({audit.setting.source})")
    console.print(line, soft_wrap=True)


def _print_unseen(console: Terminal, audit: Audit) -> None:
    shown = [*audit.notes, *([f"not read: {len(audit.skipped)}"] if audit.skipped else [])]
    shown += [f"  {each.what}: {each.why}" for each in audit.skipped[:_SHOWN]]
    if len(audit.skipped) > _SHOWN:
        shown.append(f"  and {len(audit.skipped) - _SHOWN} more (--format json has all)")
    for line in shown:
        console.print(line, style="yellow", soft_wrap=True)


def _build_live_table(audit: Audit) -> Table:
    from freepage.report.console import lines, words

    with_memory = any(vm.stranded is not None for vm in audit.vms)
    table = build_table("VM", "node", "FPR", "expected", *(["held unused"] if with_memory else []), "why")
    for vm in audit.vms:
        table.add_row(
            _name(vm),
            vm.eligibility.node or "",
            words((vm.state, STATE_STYLES[vm.state])),
            words(EXPECTED[vm.eligibility.expected]),
            *([_format_stranded(vm)] if with_memory else []),
            lines(_explain(vm)),
        )
    return table


def _build_file_table(audit: Audit) -> Table:
    from freepage.report.console import lines, words

    table = build_table("VM", "expected", "why")
    for vm in audit.vms:
        table.add_row(_name(vm), words(EXPECTED[vm.eligibility.expected]), lines(_explain(vm)))
    return table


def _count_vms(count: int) -> str:
    return f"{count} VM{'' if count == 1 else 's'}"


def _name(vm: AuditedVm) -> str:
    if not vm.eligibility.running:
        return f"{vm.name} (stopped)"
    return vm.name if vm.phase in {None, "", "Running"} else f"{vm.name} ({vm.phase.lower()})"


def _format_stranded(vm: AuditedVm) -> str:
    if vm.stranded is None:
        return ""
    return f"{format_bytes(vm.stranded.lower_bytes)} to {format_bytes(vm.stranded.upper_bytes)}"


def _explain(vm: AuditedVm) -> list[str]:
    """Return one line for each reason, the most important first."""
    lines = [vm.source] if vm.real is None and vm.source not in {UNSEEN, NOT_RUNNING} else []
    lines += [vm.disagreement] if vm.disagreement else list(vm.eligibility.because)
    if vm.state != "off" and (vm.real is not None or vm.eligibility.expected is not False):
        lines += [f"no effect: {reason}" for reason in vm.eligibility.ineffective]
        lines += [f"not known: {reason}" for reason in vm.eligibility.unknown]
    return [*lines, *([vm.restart] if vm.restart else [])]

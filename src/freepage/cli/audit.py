"""Say for every VM of a KubeVirt cluster whether FPR is on, what keeps it off, and where it has no effect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from freepage.cli.audit_files import HINT, STYLES, WORDS, audit_files, open_table
from freepage.cli.cluster_options import add_cluster_arguments, run_in_cluster
from freepage.cli.prometheus_options import add_prometheus_arguments, find_settings, read_prometheus_options

if TYPE_CHECKING:
    import argparse

    from rich.table import Table

    from freepage.kube.api import ClusterApi
    from freepage.kubevirt.audit import Audit, Finding

STATE_STYLES = {"on": "green", "off": "red", "no effect": "yellow", "unknown": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help=f"instead of a cluster: JSON of the API's objects, - for standard input ({HINT})",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--exec", action="store_true", help="ask libvirt where a launcher's log does not tell (pods/exec)"
    )
    add_prometheus_arguments(parser)
    add_cluster_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    if options.files:
        return audit_files(options)

    async def work(api: ClusterApi) -> Audit:
        return await _audit_cluster(api, options)

    audit = run_in_cluster(options, work, manifest="audit --exec" if options.exec else "audit")
    if options.format == "json":
        print(json.dumps(_as_json(audit), indent=1))
    else:
        _print_audit(audit, options.namespace)
    return 0


async def _audit_cluster(api: ClusterApi, options: argparse.Namespace) -> Audit:
    from freepage.kubevirt.audit import add_stranded, audit_cluster

    audit = await audit_cluster(api, options.namespace, may_exec=options.exec)
    prometheus = read_prometheus_options(options)
    if prometheus is None:
        return audit
    from freepage.prometheus.client import read_vm_memory

    return add_stranded(audit, await read_vm_memory(await find_settings(prometheus)))


def _as_json(audit: Audit) -> dict[str, Any]:
    from dataclasses import asdict

    from freepage.kubevirt.audit import STATES

    vms = []
    for finding in audit.findings:
        found = asdict(finding)
        vms.append({**found.pop("vm"), "state": finding.state, **found})
    counts = {state: audit.count(state) for state in STATES}
    return {"cluster": asdict(audit.switch), "counts": counts, "vms": vms}


def _print_audit(audit: Audit, namespace: str | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    where = f" in namespace {namespace}" if namespace else ""
    console.print(
        f"{len(audit.findings)} VMs{where}: {audit.count('on')} on, {audit.count('off')} off, "
        f"{audit.count('no effect')} on without effect, {audit.count('unknown')} unknown"
    )
    setting = "disabled" if audit.switch.disabled else "enabled"
    console.print(
        f"Free Page Reporting in the cluster: [bold]{setting}[/bold] ({audit.switch.source})",
        soft_wrap=True,
    )
    if audit.findings:
        console.print(_build_table(audit))
    if audit.stranded is not None:
        from freepage.units import format_bytes

        lower, upper = format_bytes(audit.stranded.lower_bytes), format_bytes(audit.stranded.upper_bytes)
        console.print(
            f"FPR would give back between {lower} and {upper} of the VMs that have it off: "
            "what the host holds of them now and they do not use",
            soft_wrap=True,
        )


def _build_table(audit: Audit) -> Table:
    from rich.markup import escape

    with_memory = any(f.stranded is not None for f in audit.findings)
    table = open_table("VM", "node", "FPR", "expected", *(["held unused"] if with_memory else []), "why")
    for finding in audit.findings:
        vm = finding.vm
        table.add_row(
            f"{vm.namespace}/{vm.name}",
            vm.node or "",
            f"[{STATE_STYLES[finding.state]}]{finding.state}[/]",
            f"[{STYLES[vm.expected]}]{WORDS[vm.expected]}[/]",
            *([_format_stranded(finding)] if with_memory else []),
            escape(_explain_finding(finding)),
        )
    return table


def _format_stranded(finding: Finding) -> str:
    from freepage.units import format_bytes

    if finding.stranded is None:
        return ""
    return f"{format_bytes(finding.stranded.lower_bytes)} to {format_bytes(finding.stranded.upper_bytes)}"


def _explain_finding(finding: Finding) -> str:
    """Give one line for each reason, the most telling first."""
    vm = finding.vm
    lines = [finding.source] if finding.real is None else []
    lines += [finding.disagreement] if finding.disagreement else list(vm.because)
    if finding.state != "off":
        lines += [f"no effect: {reason}" for reason in vm.ineffective]
        lines += [f"not known: {reason}" for reason in vm.unknown]
    return "\n".join([*lines, *([finding.restart] if finding.restart else [])])

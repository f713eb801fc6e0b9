"""Show for every VM of a KubeVirt cluster whether FPR is on, what keeps it off, and where it has no effect."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from freepage.cli.audit_files import HINT, STYLES, WORDS, audit_files
from freepage.cli.cluster_options import add_cluster_arguments, build_login, run_in_cluster
from freepage.cli.prometheus_options import (
    PrometheusOptions,
    add_prometheus_arguments,
    find_settings,
    read_prometheus_options,
)
from freepage.cli.terminal import build_table, open_console
from freepage.errors import StudyError
from freepage.kubevirt.audit import STATES, add_stranded, audit_cluster
from freepage.prometheus.vm_memory import read_vm_memory
from freepage.units import format_bytes

if TYPE_CHECKING:
    import argparse

    from rich.table import Table

    from freepage.kube.api import ClusterApi
    from freepage.kube.login import Login
    from freepage.kubevirt.audit import Audit, AuditedVm

STATE_STYLES = {"on": "green", "off": "red", "no effect": "yellow", "unknown": "yellow"}


@dataclass(frozen=True)
class AuditOptions:
    """The subject of an audit: the objects of some files, else a cluster; and what to ask beside its API."""

    files: tuple[str, ...]
    as_json: bool
    may_exec: bool
    prometheus: PrometheusOptions | None
    login: Login


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


def read_options(options: argparse.Namespace) -> AuditOptions:
    """Read the options; StudyError where files are to be audited and a cluster is to be asked."""
    if options.files and (options.exec or options.prometheus):
        raise StudyError(
            "--exec and --prometheus ask a cluster, and files were given", hint="leave out one or the other"
        )
    return AuditOptions(
        files=tuple(options.files),
        as_json=options.format == "json",
        may_exec=options.exec,
        prometheus=read_prometheus_options(options),
        login=build_login(options),
    )


def execute(options: argparse.Namespace) -> int:
    chosen = read_options(options)
    if chosen.files:
        audit_files(chosen.files, as_json=chosen.as_json)
        return 0

    async def work(api: ClusterApi) -> Audit:
        return await _audit_cluster(api, chosen)

    audit = run_in_cluster(chosen.login, work, manifest="audit --exec" if chosen.may_exec else "audit")
    if chosen.as_json:
        print(json.dumps(_as_json(audit), indent=1))
    else:
        _print_audit(audit, chosen.login.namespace)
    return 0


async def _audit_cluster(api: ClusterApi, chosen: AuditOptions) -> Audit:
    audit = await audit_cluster(api, chosen.login.namespace, may_exec=chosen.may_exec)
    if chosen.prometheus is None:
        return audit
    return add_stranded(audit, await read_vm_memory(await find_settings(chosen.prometheus)))


def _as_json(audit: Audit) -> dict[str, Any]:
    vms = []
    for vm in audit.vms:
        found = asdict(vm)
        vms.append({**found.pop("eligibility"), "state": vm.state, **found})
    counts = {state: audit.count(state) for state in STATES}
    return {"cluster": asdict(audit.setting), "counts": counts, "unread": audit.unread, "vms": vms}


def _print_audit(audit: Audit, namespace: str | None) -> None:
    console = open_console(wrap=True)
    where = f" in namespace {namespace}" if namespace else ""
    console.print(
        f"{len(audit.vms)} VMs{where}: {audit.count('on')} on, {audit.count('off')} off, "
        f"{audit.count('no effect')} on without effect, {audit.count('unknown')} unknown"
    )
    setting = "enabled" if audit.setting.enabled else "disabled"
    console.print(
        f"Free Page Reporting in the cluster: [bold]{setting}[/bold] ({audit.setting.source})",
        soft_wrap=True,
    )
    for node, vms in sorted(audit.unread.items()):
        console.print(f"not read: {vms} VMs on node {node}, which does not answer", style="yellow")
    if audit.vms:
        console.print(_build_table(audit))
    if audit.stranded is not None:
        lower, upper = format_bytes(audit.stranded.lower_bytes), format_bytes(audit.stranded.upper_bytes)
        console.print(
            f"FPR would give back between {lower} and {upper} of the VMs that have it off: "
            "what the host holds of them now and they do not use",
            soft_wrap=True,
        )


def _build_table(audit: Audit) -> Table:
    from rich.markup import escape

    with_memory = any(vm.stranded is not None for vm in audit.vms)
    table = build_table("VM", "node", "FPR", "expected", *(["held unused"] if with_memory else []), "why")
    for vm in audit.vms:
        expected = vm.eligibility.expected
        table.add_row(
            vm.name,
            vm.eligibility.node or "",
            f"[{STATE_STYLES[vm.state]}]{vm.state}[/]",
            f"[{STYLES[expected]}]{WORDS[expected]}[/]",
            *([_format_stranded(vm)] if with_memory else []),
            escape(_explain(vm)),
        )
    return table


def _format_stranded(vm: AuditedVm) -> str:
    if vm.stranded is None:
        return ""
    return f"{format_bytes(vm.stranded.lower_bytes)} to {format_bytes(vm.stranded.upper_bytes)}"


def _explain(vm: AuditedVm) -> str:
    """Return one line for each reason, the most important first."""
    lines = [vm.source] if vm.real is None else []
    lines += [vm.disagreement] if vm.disagreement else list(vm.eligibility.because)
    if vm.state != "off":
        lines += [f"no effect: {reason}" for reason in vm.eligibility.ineffective]
        lines += [f"not known: {reason}" for reason in vm.eligibility.unknown]
    return "\n".join([*lines, *([vm.restart] if vm.restart else [])])

"""Show for every VM of a KubeVirt cluster whether FPR is on, what keeps it off, and where it has no effect."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freepage.cli.audit_files import HINT, audit_files
from freepage.cli.audit_view import describe_json, print_file_audit, print_live_audit
from freepage.cli.cluster_options import add_cluster_arguments, build_login, run_in_cluster
from freepage.cli.prometheus_options import (
    PrometheusOptions,
    add_prometheus_arguments,
    find_settings,
    read_prometheus_options,
)
from freepage.errors import StudyError
from freepage.kube.namespaces import check_namespace
from freepage.kubevirt.audit import add_stranded, audit_cluster
from freepage.prometheus.vm_memory import read_vm_memory

if TYPE_CHECKING:
    import argparse

    from freepage.kube.api import ClusterApi
    from freepage.kube.login import Login
    from freepage.kubevirt.audit import Audit


# Options without a meaning for files.
_ASKING = ("exec", "prometheus", "kubeconfig", "context", "server", "token_file", "ca_file")


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
        help=f"instead of a cluster: its objects as JSON or YAML, a folder of such files, or - for standard input ({HINT})",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--exec", action="store_true", help="ask libvirt where a launcher's log does not tell (pods/exec)"
    )
    add_prometheus_arguments(parser)
    add_cluster_arguments(parser)


def read_options(options: argparse.Namespace) -> AuditOptions:
    """Read the options; StudyError where files are to be audited and a cluster is to be asked."""
    asking = [f"--{key.replace('_', '-')}" for key in _ASKING if getattr(options, key)]
    if options.files and asking:
        raise StudyError(
            f"{asking[0]} is about asking a cluster, and files were given", hint="leave out one or the other"
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
    namespace = chosen.login.namespace
    audit = audit_files(chosen.files, namespace) if chosen.files else _audit_cluster(chosen)
    if chosen.as_json:
        print(json.dumps(describe_json(audit), indent=1, allow_nan=False))
    elif chosen.files:
        print_file_audit(audit)
    else:
        print_live_audit(audit, namespace)
    return 0


def _audit_cluster(chosen: AuditOptions) -> Audit:
    async def work(api: ClusterApi) -> Audit:
        namespace = chosen.login.namespace
        audit = await audit_cluster(api, namespace, may_exec=chosen.may_exec)
        if namespace and not audit.vms:
            await check_namespace(api, namespace)
        if chosen.prometheus is None:
            return audit
        doubtful: list[str] = []
        memory = await read_vm_memory(await find_settings(chosen.prometheus), doubtful)
        notes = (*audit.notes, *(f"memory: {note}" for note in doubtful))
        return replace(add_stranded(audit, memory), notes=notes)

    return run_in_cluster(chosen.login, work, manifest="audit --exec" if chosen.may_exec else "audit")

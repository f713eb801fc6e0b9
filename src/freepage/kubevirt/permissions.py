"""The permissions that freepage's commands need in a cluster: the RBAC manifests that grant them, and which of them is lacking."""

from __future__ import annotations

import re
import shlex
from importlib.resources import files
from typing import TYPE_CHECKING

from freepage.kube.resources import CONTROLLER_REVISIONS, INSTANCE_TYPE_KINDS

if TYPE_CHECKING:
    from freepage.kube.errors import Denial

# `audit` lists these and reads logs, `switch` changes those, `run` has the rest.
_LISTED = {"kubevirts", "hyperconvergeds", "virtualmachines", "virtualmachineinstances", "pods"} | {
    resource.plural for resource in (*INSTANCE_TYPE_KINDS, CONTROLLER_REVISIONS)
}
_SWITCHED = {"kubevirts", "hyperconvergeds", "virtualmachines", "virtualmachines/restart"}
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")


def read_manifest(use: str) -> str:
    """Return the manifest of one use ("audit", "exec", "run" or "switch"), a template with $subject, $binding, $namespace."""
    return (files("freepage.kubevirt") / "rbac" / f"{use}.yaml").read_text(encoding="utf-8")


def find_manifest(verb: str, resource: str) -> str:
    """Return the manifest that grants a verb on a resource: "audit", "switch" or "run"."""
    if (verb == "list" and resource in _LISTED) or (verb, resource) == ("get", "pods/log"):
        return "audit"
    return "switch" if resource in _SWITCHED else "run"


def describe_grant(denial: Denial, use: str | None = None) -> str:
    """Return the command that grants what was denied, to whom it was: by the manifest of a use, else by the one that has it."""
    use = use or find_manifest(denial.verb, denial.resource)
    if account := _SERVICE_ACCOUNT.fullmatch(denial.user):
        subject = f"--namespace {account[1]} --service-account {account[2]}"
    else:
        subject = f"--user {shlex.quote(denial.user)}"
        subject += f" --namespace {denial.namespace}" if use == "run" else ""
    return f"freepage rbac {use} {subject} | kubectl apply -f -"

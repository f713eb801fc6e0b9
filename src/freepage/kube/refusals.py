"""Telling what a cluster's refusal means: from the API's Status objects to our errors."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from freepage.kube.errors import (
    ClusterError,
    ConflictError,
    ExistsError,
    ForbiddenError,
    InvalidError,
    LoginError,
    NotFoundError,
)
from freepage.kube.resources import dig

if TYPE_CHECKING:
    from freepage.kube.call import Call

# What RBAC itself says; admission (quota, pod security, webhooks) refuses with 403 too, in other words.
DENIED = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"')
UNKNOWN_KIND = re.compile(r"page not found|could not find the requested resource|^HTTP status")
# Which shipped RBAC manifest grants what: `audit` lists these and reads logs, `switch` changes those, `run` has the rest.
LISTED = {"kubevirts", "hyperconvergeds", "virtualmachines", "virtualmachineinstances", "pods"}
SWITCHED = {"kubevirts", "hyperconvergeds", "virtualmachines", "virtualmachines/restart"}


def build_refusal(call: Call, status: int, body: bytes, *, source: str, namespace: str) -> ClusterError:
    """Make the error for an answer of 400 and above; `source` says where the login was read, `namespace` what it is for."""
    said = _read_status(body)
    message = _message_of(said, body) or f"HTTP status {status}"
    if status == 401:
        return LoginError(
            f"the cluster does not accept the login from {source}: {message}",
            hint="log in anew (`oc login`), or renew the token",
            status=status,
        )
    if status == 403:
        return _forbidden(call, message, namespace)
    if status == 404:
        return _not_found(call, said, message)
    if status == 409:
        kind = ExistsError if _already_exists(call, said) else ConflictError
        return kind(f"{call}: {message}", status=status)
    if status in {400, 405, 413, 415, 422}:
        return InvalidError(f"{call}: {message}{_causes(said, message)}", status=status)
    return ClusterError(f"{call}: {message}", status=status)


def _read_status(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _message_of(said: Any, body: bytes) -> str:
    if isinstance(said, dict):
        return str(said.get("message") or "")
    text = body.decode(errors="replace").strip()
    return "" if text.startswith("<") else text[:500]


def _forbidden(call: Call, message: str, namespace: str) -> ForbiddenError:
    denied = DENIED.search(message)
    if not denied:
        return ForbiddenError(f"{call}: {message}", status=403)
    verb, resource = denied["verb"], denied["resource"]
    place = f"in namespace {call.namespace}" if call.namespace else "in the whole cluster"
    error = ForbiddenError(f"{denied['user']} may not {verb} {resource} {place}", status=403)
    error.user, error.namespace = denied["user"], namespace
    error.name_manifest(find_manifest(verb, resource))
    return error


def find_manifest(verb: str, resource: str) -> str:
    """Name the shipped RBAC manifest that grants a verb on a resource: "audit", "switch" or "run"."""
    if (verb == "list" and resource in LISTED) or (verb, resource) == ("get", "pods/log"):
        return "audit"
    return "switch" if resource in SWITCHED else "run"


def _not_found(call: Call, said: Any, message: str) -> NotFoundError:
    """Tell the object that is missing from the kind that is, for which a server has no words of its own."""
    if call.resource and not dig(said, "details", "name") and UNKNOWN_KIND.search(message):
        return NotFoundError(
            f"the cluster has no {call.resource} in {call.api_version}",
            hint="is what serves them installed, in this version?",
            status=404,
        )
    return NotFoundError(f"{call}: {message}", status=404)


def _already_exists(call: Call, said: Any) -> bool:
    reason = dig(said, "reason")
    return reason == "AlreadyExists" or (reason is None and call.verb == "create")


def _causes(said: Any, message: str) -> str:
    """Name the fields that the message itself does not name."""
    causes = dig(said, "details", "causes") or []
    missing = [c for c in causes if c.get("field") and c["field"] not in message]
    return "".join(f"\n  {c['field']}: {c.get('message', '')}" for c in missing)

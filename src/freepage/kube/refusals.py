"""A cluster's refusals: from the API's Status objects to errors."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from freepage.kube.errors import (
    ClusterError,
    ConflictError,
    Denial,
    ExistsError,
    ForbiddenError,
    InvalidError,
    LoginError,
    NotFoundError,
)
from freepage.kube.resources import dig

if TYPE_CHECKING:
    from freepage.kube.call import Call

# RBAC's own message; admission (quota, pod security, webhooks) refuses with 403 too, in other words.
DENIED = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"')
ANONYMOUS = re.compile(r'User "system:anonymous" cannot')
PATH = re.compile(r'User "[^"]*" cannot \S+ path')
UNKNOWN_KIND = re.compile(r"page not found|could not find the requested resource|^HTTP status")


def build_refusal(call: Call, status: int, body: bytes, *, source: str, namespace: str) -> ClusterError:
    """Build the error for an answer of 400 and above; source: where the login was read; namespace: the one it is for."""
    answer = _read_status(body)
    message = _message_of(answer, body) or f"HTTP status {status}"
    if status == 401:
        return LoginError(
            f"the cluster does not accept the login from {source}: {message}",
            hint="log in anew (`oc login`), or renew the token",
            status=status,
        )
    if status == 403:
        return _forbidden(call, message, namespace)
    if status == 404:
        return _not_found(call, answer, message)
    if status == 409:
        kind = ExistsError if _already_exists(call, answer) else ConflictError
        return kind(f"{call}: {message}", status=status)
    if status in {400, 405, 413, 415, 422}:
        return InvalidError(f"{call}: {message}{_causes(answer, message)}", status=status)
    return ClusterError(f"{call}: {message}", status=status)


def _read_status(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _message_of(answer: Any, body: bytes) -> str:
    if isinstance(answer, dict):
        return str(answer.get("message") or "")
    text = body.decode(errors="replace").strip()
    return "" if text.startswith("<") else text[:500]


def _forbidden(call: Call, message: str, namespace: str) -> ForbiddenError:
    denied = DENIED.search(message)
    hint = _hint_login(message)
    if hint or not denied:
        return ForbiddenError(f"{call}: {message}", hint=hint, status=403)
    verb, resource = denied["verb"], denied["resource"]
    scope = f"in namespace {call.namespace}" if call.namespace else "in the whole cluster"
    return ForbiddenError(
        f"{denied['user']} may not {verb} {resource} {scope}",
        status=403,
        denial=Denial(denied["user"], verb, resource, namespace),
    )


def _hint_login(message: str) -> str | None:
    """Return the hint for what no manifest of ours grants: whoever is not known at all, and the paths of the API itself."""
    if ANONYMOUS.search(message):
        return "nothing in this login tells who is asking: log in (`oc login`), or name a token file"
    if PATH.search(message):
        return "the ClusterRole system:discovery grants it, to all who are logged in unless a cluster's admin took it away"
    return None


def _not_found(call: Call, answer: Any, message: str) -> NotFoundError:
    """Distinguish a missing object from a missing kind, for which a server has no message of its own."""
    if call.resource and not dig(answer, "details", "name") and UNKNOWN_KIND.search(message):
        return NotFoundError(
            f"the cluster has no {call.resource} in {call.api_version}",
            hint="is what serves them installed, in this version?",
            status=404,
        )
    return NotFoundError(f"{call}: {message}", status=404)


def _already_exists(call: Call, answer: Any) -> bool:
    reason = dig(answer, "reason")
    return reason == "AlreadyExists" or (reason is None and call.verb == "create")


def _causes(answer: Any, message: str) -> str:
    """Return the causes whose fields the message itself does not name, one a line."""
    causes = dig(answer, "details", "causes") or []
    missing = [c for c in causes if c.get("field") and c["field"] not in message]
    return "".join(f"\n  {c['field']}: {c.get('message', '')}" for c in missing)

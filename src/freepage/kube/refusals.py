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
    from freepage.kube.login import ResolvedLogin

# RBAC's own message; admission (quota, pod security, webhooks) refuses with 403 too, in other words, and names no right.
DENIED = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"')
ANONYMOUS = re.compile(r'User "system:anonymous" cannot')
PATH = re.compile(r'User "[^"]*" cannot \S+ path')
# Since Kubernetes 1.35 whoever opens a websocket to a container, which is a GET, has to be permitted to create it as well:
# that is refused without a word.
SPEECHLESS = re.compile(r"is forbidden:\s*$")
SESSIONS = ("pods/exec", "pods/attach")
# What stands in a command for a user whose name is not known.
UNNAMED = "USER"
UNKNOWN_KIND = re.compile(r"page not found|could not find the requested resource|^HTTP status")


def build_refusal(call: Call, status: int, body: bytes, login: ResolvedLogin) -> ClusterError:
    """Build the error for an answer of 400 and above to a call of this login."""
    answer = _read_status(body)
    message = _message_of(answer, body) or f"HTTP status {status}"
    if status == 401:
        return LoginError(
            f"the cluster does not accept the login from {login.source}: {message}",
            hint="log in anew (`oc login`), or renew the token",
            status=status,
        )
    if status == 403:
        return _forbidden(call, message, login)
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


def _forbidden(call: Call, message: str, login: ResolvedLogin) -> ForbiddenError:
    hint, denial = _hint_login(message), _find_denial(call, message, login)
    if hint or denial is None:
        return ForbiddenError(f"{call}: {message}", hint=hint, status=403)
    who = "this login" if denial.user == UNNAMED else denial.user
    scope = f"in namespace {call.namespace}" if call.namespace else "in the whole cluster"
    return ForbiddenError(f"{who} may not {denial.verb} {denial.resource} {scope}", status=403, denial=denial)


def _find_denial(call: Call, message: str, login: ResolvedLogin) -> Denial | None:
    if denied := DENIED.search(message):
        return Denial(denied["user"], denied["verb"], denied["resource"], login.namespace)
    if call.resource in SESSIONS and SPEECHLESS.search(message):
        return Denial(login.user or UNNAMED, "create", call.resource, login.namespace)
    return None


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

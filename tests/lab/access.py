"""Who is asking, and may they: tokens, client certificates, and RBAC as the stored objects say it."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.statuses import StatusError, forbidden, unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from lab.seams import Object
    from lab.store import MemoryStore

RBAC = "rbac.authorization.k8s.io"
SERVICE_ACCOUNTS = ("", "serviceaccounts")
MASTERS = "system:masters"


@dataclass(frozen=True)
class User:
    """Who a request is from."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


@dataclass(frozen=True)
class Attempt:
    """A request to authorise; `resource` with its subresource, as "pods/log"."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str

    def describe(self) -> str:
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'cannot {self.verb} resource "{self.resource}" in API group "{self.group}" {where}'


class Access:
    """The tokens given out, and what the RBAC objects of the store allow."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._tokens: dict[str, tuple[User, float]] = {}
        # Until when roles, and service accounts, are not known again (monotonic).
        self._early_until_s = self._unknown_until_s = 0.0

    @property
    def ready(self) -> bool:
        return time.monotonic() >= max(self._early_until_s, self._unknown_until_s)

    def start_over(self, early_s: float, unknown_s: float) -> None:
        """Know no role for some seconds, and no service account, as an API server that has just started and answers already."""
        self._early_until_s = time.monotonic() + early_s
        self._unknown_until_s = time.monotonic() + unknown_s

    def issue(self, user: User, lasts_s: float = 365 * 86400) -> str:
        """Return a new token of the form Kubernetes gives (a JWT)."""
        now = int(time.time())
        claims = {
            "aud": ["https://kubernetes.default.svc"],
            "exp": now + int(lasts_s),
            "iat": now,
            "iss": "https://kubernetes.default.svc",
            "sub": user.name,
        }
        parts = [json.dumps({"alg": "RS256", "kid": "test"}), json.dumps(claims), secrets.token_hex(32)]
        token = ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)
        self._tokens[token] = (user, time.monotonic() + lasts_s)
        return token

    def issue_for(self, account: Object, lasts_s: float) -> str:
        """Return a service account's token; it ends with the account."""
        namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        user = User(f"system:serviceaccount:{namespace}:{name}", groups, account["metadata"]["uid"])
        return self.issue(user, lasts_s)

    def expire(self, token: str | None = None) -> int:
        """End a token now, or all of service accounts'; return how many."""
        ended = [
            known
            for known, (user, _) in self._tokens.items()
            if known == token or (token is None and user.name.startswith("system:serviceaccount:"))
        ]
        for known in ended:
            del self._tokens[known]
        return len(ended)

    def identify(self, request: web.Request) -> User:
        """Return who a request is from: by its token, else its client certificate; nobody's is anonymous."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._known(token.strip())
        certificate = request.get_extra_info("peercert")
        return _read_certificate(certificate) if certificate else ANONYMOUS

    def _known(self, token: str) -> User:
        user, ends = self._tokens.get(token, (ANONYMOUS, 0.0))
        if time.monotonic() >= ends or not self._is_there(user):
            raise unauthorized()
        return user

    def _is_there(self, user: User) -> bool:
        if not user.name.startswith("system:serviceaccount:"):
            return True
        if time.monotonic() < self._unknown_until_s:
            return False
        namespace, name = user.name.split(":")[2:]
        accounts = self._store.peek_all(SERVICE_ACCOUNTS, namespace)
        return any(a["metadata"]["name"] == name and user.uid in ("", a["metadata"]["uid"]) for a in accounts)

    def allows(self, user: User, attempt: Attempt) -> bool:
        if MASTERS in user.groups:
            return True
        return any(_fits(rule, attempt) for rule in self._rules(user, attempt.namespace))

    def require(self, user: User, attempt: Attempt) -> None:
        """Refuse what is not allowed, in Kubernetes' words."""
        if not self.allows(user, attempt):
            plural = attempt.resource.partition("/")[0]
            why = f'User "{user.name}" {attempt.describe()}'
            raise forbidden(attempt.group, plural, attempt.name, why)

    def require_path(self, user: User, verb: str, path: str) -> None:
        """Refuse a path that is no resource's, as /version."""
        allowed = MASTERS in user.groups or any(
            _has(rule["verbs"], verb) and _covers(rule.get("nonResourceURLs") or (), path)
            for rule in self._rules(user, "")
        )
        if not allowed:
            raise StatusError(403, "Forbidden", f'forbidden: User "{user.name}" cannot {verb} path "{path}"')

    def _rules(self, user: User, namespace: str) -> Iterator[Object]:
        """Yield every rule bound to a user, cluster-wide and in one namespace."""
        if time.monotonic() < self._early_until_s:
            return
        bindings = self._store.peek_all((RBAC, "clusterrolebindings"))
        if namespace:
            bindings += self._store.peek_all((RBAC, "rolebindings"), namespace)
        for binding in bindings:
            if any(_is_meant(subject, user) for subject in binding.get("subjects") or ()):
                yield from self._role(binding).get("rules") or ()

    def _role(self, binding: Object) -> Object:
        reference = binding["roleRef"]
        in_namespace = reference["kind"] == "Role"
        namespace = binding["metadata"].get("namespace", "") if in_namespace else ""
        try:
            return self._store.peek(
                (RBAC, "roles" if in_namespace else "clusterroles"), namespace, reference["name"]
            )
        except KeyError:
            return {}


def _read_certificate(certificate: Object) -> User:
    """Read a user from a client certificate: its common name, and its organisations as groups."""
    fields = [pair for part in certificate["subject"] for pair in part]
    name = next(value for key, value in fields if key == "commonName")
    groups = [value for key, value in fields if key == "organizationName"]
    return User(name, (*groups, "system:authenticated"))


def _is_meant(subject: Object, user: User) -> bool:
    if subject["kind"] == "Group":
        return subject["name"] in user.groups
    if subject["kind"] == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace', '')}:{subject['name']}"
    return user.name == subject["name"]


def _fits(rule: Object, attempt: Attempt) -> bool:
    names = rule.get("resourceNames") or ()
    plural, _, below = attempt.resource.partition("/")
    wanted = {attempt.resource, "*"} | ({f"{plural}/*", f"*/{below}"} if below else set())
    return (
        _has(rule["verbs"], attempt.verb)
        and _has(rule.get("apiGroups") or (), attempt.group)
        and bool(wanted & set(rule.get("resources") or ()))
        and (not names or attempt.name in names)
    )


def _has(listed: list[str] | tuple[str, ...], wanted: str) -> bool:
    return wanted in listed or "*" in listed


def _covers(patterns: list[str] | tuple[str, ...], path: str) -> bool:
    return any(path == p or (p.endswith("*") and path.startswith(p[:-1])) for p in patterns)

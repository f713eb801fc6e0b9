"""One call on the API: the parts of its URL, its limits, and its name in errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from freepage.kube.resources import Object, Resource

METHODS = {"create": "POST", "patch": "PATCH", "update": "PUT", "delete": "DELETE"}
# The time limits for an answer.
REQUEST_LIMIT_S = 30.0
LIST_LIMIT_S = 90.0


@dataclass(frozen=True)
class Call:
    """One call: RBAC's verb on a resource ("pods/log"), and how it is sent.

    limit_s: until the answer is there (of a stream: its first line). quiet_s: the longest silence within a stream.
    """

    verb: str
    path: str
    resource: str = ""
    api_version: str = ""
    namespace: str | None = None
    name: str = ""
    query: tuple[tuple[str, str], ...] = ()
    body: Object | None = None
    limit_s: float = REQUEST_LIMIT_S
    quiet_s: float = REQUEST_LIMIT_S

    @property
    def method(self) -> str:
        return METHODS.get(self.verb, "GET")

    @property
    def right(self) -> tuple[str, str, str]:
        """The verb, the resource (or path) and the namespace by which RBAC permits it; the name of what is in none."""
        resource = f"{self.api_version} {self.resource}" if self.resource else self.path
        return self.verb, resource, self.namespace or self.name

    @property
    def content_type(self) -> str:
        return "application/merge-patch+json" if self.verb == "patch" else "application/json"

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        scope = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource or self.path}{name}{scope}"


def build_call(
    verb: str,
    resource: Resource,
    *,
    namespace: str | None = None,
    name: str = "",
    subresource: str = "",
    query: Mapping[str, str | Sequence[str] | None] | None = None,
    body: Object | None = None,
    limit_s: float = REQUEST_LIMIT_S,
    quiet_s: float = REQUEST_LIMIT_S,
) -> Call:
    """Build a call on a collection, an object or its subresource; what is None in the query is left out."""
    namespace = namespace if resource.namespaced else None
    scope = ["namespaces", namespace] if namespace else []
    parts = [*scope, resource.plural, *filter(None, (name, subresource))]
    root = f"/apis/{resource.group}" if resource.group else "/api"
    return Call(
        verb=verb,
        path="/".join([root, resource.version, *(quote(p, safe="") for p in parts)]),
        resource="/".join(filter(None, (resource.plural, subresource))),
        api_version=resource.api_version,
        namespace=namespace,
        name=name,
        query=_flatten(query or {}),
        body=body,
        limit_s=limit_s,
        quiet_s=quiet_s,
    )


def _flatten(query: Mapping[str, str | Sequence[str] | None]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for key, value in query.items():
        values = [value] if isinstance(value, str) else value or []
        pairs += [(key, v) for v in values]
    return tuple(pairs)

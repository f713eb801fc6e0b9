"""One request on a resource, as understood: who wants what of which objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.access import Attempt
from lab.store import NAMESPACES

if TYPE_CHECKING:
    from aiohttp import web

    from lab.access import User
    from lab.kinds import Kind, Target
    from lab.store import Key

VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Call:
    """A request, the kind it is on, and the user it is from."""

    request: web.Request
    user: User
    target: Target
    kind: Kind

    @property
    def key(self) -> Key:
        return self.kind.key

    @property
    def version(self) -> str:
        return self.target.version

    @property
    def namespace(self) -> str:
        return self.target.namespace if self.kind.namespaced else ""

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def subresource(self) -> str:
        return self.target.subresource

    @property
    def api_version(self) -> str:
        return self.kind.api_version(self.version)

    @property
    def dry_run(self) -> bool:
        return "All" in self.request.query.getall("dryRun", [])

    @property
    def verb(self) -> str:
        verb = VERBS.get(self.request.method, "get")
        if self.name:
            return verb
        if verb == "get":
            return "watch" if self.request.query.get("watch") in {"true", "1"} else "list"
        return "deletecollection" if verb == "delete" else verb

    @property
    def attempt(self) -> Attempt:
        resource = "/".join(filter(None, (self.kind.plural, self.subresource)))
        # A namespace itself is asked for as within itself.
        namespace = self.name if self.key == NAMESPACES else self.namespace
        return Attempt(self.verb, self.kind.group, resource, namespace, self.name)

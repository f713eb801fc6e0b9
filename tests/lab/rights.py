"""Rights that a manifest grants, and those that a user has made use of: (verb, resource) of RBAC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.seams import Object

Right = tuple[str, str]

VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def read_granted(manifests: str) -> set[Right]:
    rules = [rule for obj in yaml.safe_load_all(manifests) for rule in obj.get("rules", ())]
    return {(v, r) for rule in rules for v in rule["verbs"] for r in rule["resources"]}


def read_used(requests: Iterable[Object], user: str) -> set[Right]:
    """Read what one user asked for; everybody may ask what they may."""
    found = {read_request(r["method"], r["path"]) for r in requests if r["user"] == user}
    return {f for f in found if f is not None and not f[1].startswith("selfsubject")}


def read_request(method: str, path: str) -> Right | None:
    """Read what RBAC makes of a request; None for what is no resource."""
    path, _, query = path.partition("?")
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        parts = parts[2:]
    if not parts:
        return None
    verb = VERBS[method]
    if verb == "get" and len(parts) == 1:
        verb = "watch" if "watch=" in query else "list"
    return verb, "/".join([parts[0], *parts[2:]])

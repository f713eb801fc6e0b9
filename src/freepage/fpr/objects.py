"""Kubernetes' objects as the API and kubectl give them: nested dictionaries, of which any part may be missing."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def look_up(tree: object, *path: str) -> Any:
    """Follow keys into an object and return what they lead to; None where there is nothing, or null, as for KubeVirt."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def section(tree: object, *path: str) -> Object:
    """Follow keys into an object and return the mapping they lead to; an empty one where there is none."""
    found = look_up(tree, *path)
    return found if isinstance(found, dict) else {}


def entries(tree: object, *path: str) -> list[Object]:
    """Follow keys into an object and return the mappings of the list they lead to; none where there is no list."""
    found = look_up(tree, *path)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def has_condition(obj: Object, kind: str) -> bool:
    """Return whether a condition of an object's status is true."""
    return any(
        c.get("type") == kind and c.get("status") == "True" for c in entries(obj, "status", "conditions")
    )


def name_parts(obj: Object) -> tuple[str, str]:
    """Return an object's namespace and name, each "" where it has none."""
    metadata = section(obj, "metadata")
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def qualified_name(obj: Object) -> str:
    return "/".join(name_parts(obj))


def has_ended(instance: Object) -> bool:
    """Return whether an instance's guest has ended: it stays listed until somebody deletes it or starts its VM again."""
    return section(instance, "status").get("phase") in ("Succeeded", "Failed")

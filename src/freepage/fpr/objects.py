"""Kubernetes' objects as the API and kubectl give them: nested dictionaries, of which any part may be missing."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def section(tree: object, *path: str) -> Object:
    """Follow keys into an object and return the mapping they lead to; an empty one where there is none."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def qualified_name(obj: Object) -> str:
    metadata = section(obj, "metadata")
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"


def has_ended(instance: Object) -> bool:
    """Return whether an instance's guest has ended: it stays listed until somebody deletes it or starts its VM again."""
    return section(instance, "status").get("phase") in ("Succeeded", "Failed")

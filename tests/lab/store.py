"""The test cluster's etcd: objects in memory, each write numbered, a bounded history for watches.

What is kept is never changed in place; a write puts a new object there. What the methods of seams.Store give are copies.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lab.seams import Kubelet, Object

Key = tuple[str, str]

NAMESPACES: Key = ("", "namespaces")
PODS: Key = ("", "pods")
# What Kubernetes makes generated names of: no vowels, no look-alikes.
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class ExpiredError(Exception):
    """A watch asked for changes that are no longer kept."""


class ConflictError(Exception):
    """An object was changed since the version the writer knew."""


@dataclass(frozen=True)
class Change:
    """One write: type is "ADDED", "MODIFIED" or "DELETED"; `before` is None for what was not there."""

    version: int
    type: str
    object: Object
    before: Object | None


class MemoryStore:
    """Keep the objects; implements seams.Store, and what the API server asks beyond it."""

    def __init__(self, history: int = 5000) -> None:
        self.kubelets: dict[str, Kubelet] = {}
        self.version = 1000
        self._objects: dict[Key, dict[tuple[str, str], Object]] = {}
        self._history: dict[Key, deque[Change]] = {}
        self._kept = history
        self._forgotten: dict[Key, int] = {}
        self._followers: dict[Key, set[asyncio.Queue[Change]]] = {}

    def create(self, key: Key, obj: Object, *, dry_run: bool = False) -> Object:
        """Add an object, filling in what a server fills in; FileExistsError for a name that is taken."""
        obj = copied(obj)
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + random_suffix()
        name = namespaced_name(obj)
        if name in self._objects.get(key, {}):
            raise FileExistsError(f"{key[1]} {metadata['name']!r} already exists")
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=timestamp(), generation=1)
        for unset in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            metadata.pop(unset, None)
        if key == NAMESPACES:
            _open_namespace(obj)
        return obj if dry_run else copied(self._write(key, "ADDED", obj, None))

    def get(self, key: Key, namespace: str, name: str) -> Object:
        """Return a copy; KeyError when it is not there."""
        return copied(self.peek(key, namespace, name))

    def peek(self, key: Key, namespace: str, name: str) -> Object:
        """Return what is kept, not to be changed; KeyError when it is not there."""
        return self._objects.get(key, {})[namespace, name]

    def list(self, key: Key, namespace: str | None = None) -> list[Object]:
        """Return copies, ordered by namespace and name."""
        return [copied(obj) for obj in self.peek_all(key, namespace)]

    def peek_all(self, key: Key, namespace: str | None = None) -> list[Object]:
        """Return what is kept, not to be changed, ordered by namespace and name."""
        objects = self._objects.get(key, {})
        return [objects[name] for name in sorted(objects) if namespace in (None, name[0])]

    def everything(self) -> Iterator[tuple[Key, Object]]:
        """Yield every object there is, not to be changed, with its key."""
        for key, objects in list(self._objects.items()):
            for obj in list(objects.values()):
                yield key, obj

    def update(self, key: Key, obj: Object, *, expect: str | None = None, dry_run: bool = False) -> Object:
        """Replace an object, keeping what a server never lets go of.

        An object under deletion goes when its last finalizer does. `expect` is the resourceVersion it must still have
        (ConflictError).
        """
        before = self.peek(key, *namespaced_name(obj))
        if expect and expect != before["metadata"]["resourceVersion"]:
            raise ConflictError
        obj = copied(obj)
        for kept in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
            obj["metadata"].pop(kept, None)
            if kept in before["metadata"]:
                obj["metadata"][kept] = before["metadata"][kept]
        return obj if dry_run else copied(self._replace(key, before, obj))

    def _replace(self, key: Key, before: Object, obj: Object) -> Object:
        obj["metadata"]["generation"] = before["metadata"]["generation"] + (
            _without_status(obj) != _without_status(before)
        )
        obj["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if obj["metadata"].get("deletionTimestamp") and not _finalizers(obj) and _finalizers(before):
            return self._write(key, "DELETED", obj, before)
        return before if obj == before else self._write(key, "MODIFIED", obj, before)

    def merge(self, key: Key, namespace: str, name: str, patch: Object) -> Object:
        """Apply a JSON merge patch; KeyError when it is not there."""
        return self.update(key, merged(self.peek(key, namespace, name), patch))

    def delete(self, key: Key, namespace: str, name: str) -> None:
        """Mark an object deleted where it has finalizers, else remove it; what it owns goes soon after."""
        before = self.peek(key, namespace, name)
        if _finalizers(before):
            self.mark_deleted(key, namespace, name)
        else:
            self._write(key, "DELETED", copied(before), before)

    def end(self, key: Key, namespace: str, name: str, grace_s: int | None = None) -> None:
        """Delete as the API does: a pod on a node is only marked, and its kubelet deletes it when it has stopped."""
        obj = self.peek(key, namespace, name)
        on_a_node = key == PODS and obj.get("spec", {}).get("nodeName") in self.kubelets
        if not on_a_node or grace_s == 0:
            self.delete(key, namespace, name)
            return
        if grace_s is None:
            grace_s = obj["spec"].get("terminationGracePeriodSeconds", 30)
        self.mark_deleted(key, namespace, name, grace_s)

    def mark_deleted(self, key: Key, namespace: str, name: str, grace_s: int = 0) -> None:
        """Set an object's deletionTimestamp, once."""
        before = self.peek(key, namespace, name)
        if before["metadata"].get("deletionTimestamp"):
            return
        obj = copied(before)
        obj["metadata"].update(deletionTimestamp=timestamp(grace_s), deletionGracePeriodSeconds=grace_s)
        if key == NAMESPACES:
            obj["status"] = {"phase": "Terminating"}
        self._replace(key, before, obj)

    async def watch(self, key: Key) -> AsyncIterator[tuple[str, Object]]:
        """Yield ("ADDED", object) for all there are, then every change until cancelled."""
        known = self.peek_all(key)
        with self.follow(key, self.version) as changes:
            for obj in known:
                yield "ADDED", copied(obj)
            while True:
                change = await changes.get()
                yield change.type, copied(change.object)

    @contextmanager
    def follow(self, key: Key, version: int) -> Iterator[asyncio.Queue[Change]]:
        """Queue every change after `version`; ExpiredError where some of them are no longer kept."""
        if self.has_forgotten(key, version):
            raise ExpiredError
        changes: asyncio.Queue[Change] = asyncio.Queue()
        for change in self._history.get(key, ()):
            if change.version > version:
                changes.put_nowait(change)
        followers = self._followers.setdefault(key, set())
        followers.add(changes)
        try:
            yield changes
        finally:
            followers.discard(changes)

    def has_forgotten(self, key: Key, version: int) -> bool:
        return version < self._forgotten.get(key, 0)

    def forget_history(self) -> None:
        """Compact: no watch can start from a version before now."""
        self.version += 1
        for key in self._objects:
            self._history.pop(key, None)
            self._forgotten[key] = self.version

    def _write(self, key: Key, kind: str, obj: Object, before: Object | None) -> Object:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        objects = self._objects.setdefault(key, {})
        if kind == "DELETED":
            del objects[namespaced_name(obj)]
        else:
            objects[namespaced_name(obj)] = obj
        self._tell(key, Change(self.version, kind, obj, before))
        return obj

    def _tell(self, key: Key, change: Change) -> None:
        history = self._history.setdefault(key, deque())
        history.append(change)
        if len(history) > self._kept:
            self._forgotten[key] = history.popleft().version
        for follower in self._followers.get(key, ()):
            follower.put_nowait(change)


def copied(tree):
    """Copy a JSON tree (faster than copy.deepcopy)."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(value) for value in tree] if isinstance(tree, list) else tree


def merged(tree, patch):
    """Apply a JSON merge patch (RFC 7396) and return the result; neither argument is changed."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = copied(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def namespaced_name(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def timestamp(after_s: float = 0) -> str:
    """Return the time now (or later) as the API writes it."""
    return (datetime.now(UTC) + timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def random_suffix() -> str:
    return "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))


def _open_namespace(obj: Object) -> None:
    """Fill in what makes a namespace wait for its content to go."""
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


def _finalizers(obj: Object) -> list[str]:
    """Return what an object waits for: a namespace has a finalizer in its spec as well."""
    within = obj.get("spec", {}).get("finalizers") or [] if obj.get("kind") == "Namespace" else []
    return [*(obj["metadata"].get("finalizers") or []), *within]


def _without_status(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in {"metadata", "status"}}

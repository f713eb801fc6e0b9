"""Controllers that clean up after deletions: the garbage collector, and the end of namespaces."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.openshift import build_annotations
from lab.store import NAMESPACES, namespaced_name

if TYPE_CHECKING:
    from lab.seams import Object
    from lab.store import Key, MemoryStore

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
INTERVAL_S = 0.1
SERVICE_ACCOUNTS = ("", "serviceaccounts")


async def run_controllers(store: MemoryStore, *, openshift: bool = False) -> None:
    """Clean up until cancelled, a moment after each change."""
    seen = -1
    while True:
        if store.version != seen:
            seen = store.version
            collect_garbage(store)
            end_namespaces(store)
            equip_namespaces(store, openshift=openshift)
        await asyncio.sleep(INTERVAL_S)


def collect_garbage(store: MemoryStore) -> None:
    """Delete what has owners none of which is there (any more), and what waits for its dependents."""
    everything = list(store.everything())
    owners = {obj["metadata"]["uid"]: obj for _, obj in everything}
    waited_for: set[str] = set()
    for key, obj in everything:
        references = obj["metadata"].get("ownerReferences") or []
        alive = [r for r in references if r["uid"] in owners and _is_in_reach(owners[r["uid"]], obj)]
        leaving = [r["uid"] for r in alive if _waits(owners[r["uid"]], FOREGROUND)]
        waited_for.update(r["uid"] for r in alive if r["uid"] in leaving and r.get("blockOwnerDeletion"))
        if references and len(leaving) == len(alive):
            store.end(key, *namespaced_name(obj))
    for key, obj in everything:
        if _waits(obj, FOREGROUND) and obj["metadata"]["uid"] not in waited_for:
            drop_finalizer(store, key, obj, FOREGROUND)


def _is_in_reach(owner: Object, obj: Object) -> bool:
    """Owners are in the same namespace, or in none."""
    return owner["metadata"].get("namespace") in (None, obj["metadata"].get("namespace"))


def _waits(obj: Object, finalizer: str) -> bool:
    metadata = obj["metadata"]
    return bool(metadata.get("deletionTimestamp")) and finalizer in (metadata.get("finalizers") or ())


def drop_finalizer(store: MemoryStore, key: Key, obj: Object, finalizer: str) -> None:
    """Take a finalizer off; the object goes with its last one."""
    namespace, name = namespaced_name(obj)
    left = [f for f in obj["metadata"].get("finalizers") or () if f != finalizer]
    store.merge(key, namespace, name, {"metadata": {"finalizers": left}})


def orphan_dependents(store: MemoryStore, owner: Object) -> None:
    """Let go of what an object owns, so that it stays."""
    uid = owner["metadata"]["uid"]
    for key, obj in list(store.everything()):
        references = obj["metadata"].get("ownerReferences") or []
        left = [r for r in references if r["uid"] != uid]
        if len(left) != len(references):
            store.merge(key, *namespaced_name(obj), {"metadata": {"ownerReferences": left or None}})


def end_namespaces(store: MemoryStore) -> None:
    """Empty the namespaces under deletion, and let them go once they are empty."""
    leaving = [n for n in store.peek_all(NAMESPACES) if n["metadata"].get("deletionTimestamp")]
    for namespace in leaving:
        name = namespace["metadata"]["name"]
        content = [(k, o) for k, o in store.everything() if o["metadata"].get("namespace") == name]
        for key, obj in content:
            store.end(key, name, obj["metadata"]["name"])
        if not any(obj["metadata"].get("namespace") == name for _, obj in store.everything()):
            store.merge(NAMESPACES, "", name, {"spec": {"finalizers": None}})


def equip_namespaces(store: MemoryStore, *, openshift: bool) -> None:
    """Return every namespace its default service account, and on OpenShift users of its own."""
    accounts = store.peek_all(SERVICE_ACCOUNTS)
    equipped = {a["metadata"]["namespace"] for a in accounts if a["metadata"]["name"] == "default"}
    for namespace in store.peek_all(NAMESPACES):
        name = namespace["metadata"]["name"]
        if name in equipped or namespace["metadata"].get("deletionTimestamp"):
            continue
        metadata = {"name": "default", "namespace": name}
        store.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        if openshift:
            annotations = build_annotations(store.version)
            store.merge(NAMESPACES, "", name, {"metadata": {"annotations": annotations}})

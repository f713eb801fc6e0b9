"""Events, as every component of a cluster writes them."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from lab.store import timestamp

if TYPE_CHECKING:
    from lab.seams import Object, Store

EVENTS = ("", "events")


def record(store: Store, about: Object, reason: str, message: str, *, by: str, warning: bool = False) -> None:
    """Write an event about an object; what was said before is counted."""
    metadata = about["metadata"]
    namespace = metadata.get("namespace") or "default"
    mark = hashlib.sha256(f"{metadata['uid']} {reason} {message}".encode()).hexdigest()[:16]
    name = f"{metadata['name']}.{mark}"
    now = timestamp()
    try:
        count = store.get(EVENTS, namespace, name)["count"]
        store.merge(EVENTS, namespace, name, {"count": count + 1, "lastTimestamp": now})
    except KeyError:
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about.get("apiVersion", "v1"),
                "kind": about.get("kind"),
                "name": metadata["name"],
                "namespace": metadata.get("namespace"),
                "uid": metadata["uid"],
            },
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "source": {"component": by},
            "reportingComponent": by,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
        with contextlib.suppress(FileExistsError):
            store.create(EVENTS, event)


def set_condition(status: Object, kind: str, value: bool | str, reason: str = "", message: str = "") -> None:
    """Set a condition in a status; the time of its last transition changes with its value only."""
    conditions = status.setdefault("conditions", [])
    text = value if isinstance(value, str) else str(value)
    old = next((c for c in conditions if c["type"] == kind), None)
    same = old is not None and old["status"] == text
    new = {
        "type": kind,
        "status": text,
        "lastProbeTime": None,
        "lastTransitionTime": old["lastTransitionTime"] if same else timestamp(),
        **({"reason": reason} if reason else {}),
        **({"message": message} if message else {}),
    }
    if old is None:
        conditions.append(new)
    else:
        conditions[conditions.index(old)] = new

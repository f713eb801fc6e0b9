"""The switches of FPR: one for the cluster, in one of three objects, and one for each VM. Read, changed, put back.

A change and what it replaced are written by one merge patch: what was there before is kept in an annotation of the same
object until it is put back, by whoever asks for it, from wherever. The patch carries the resourceVersion that was read,
so that nothing that happened in between is overwritten.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from freepage.fpr.eligibility import ANNOTATION, JSON_PATCH, read_switch
from freepage.kube.errors import ClusterError, ConflictError
from freepage.kube.resources import (
    HYPERCONVERGED_V1,
    HYPERCONVERGED_V1BETA1,
    KUBEVIRTS,
    VMS,
    dig,
    name_of,
    namespace_of,
)
from freepage.kube.waiting import poll
from freepage.kubevirt.installation import full_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object, Resource
    from freepage.kubevirt.installation import Installation

SAVED = "freepage/previous-free-page-reporting"
_ATTEMPTS = 5
# HyperConverged's operator passes a change on within seconds.
EFFECT_DEADLINE_S = 120.0


@dataclass(frozen=True)
class Handle:
    """Where one kind of object says that FPR is disabled: by which value, which value says it is not, and how to read it."""

    resource: Resource
    path: tuple[str, ...]
    disabled: Any
    enabled: Any
    read: Callable[[Any], bool | None]


_OPTIONS = ("virtualMachineOptions", "disableFreePageReporting")
_HANDLES = (
    # A struct without fields: it is there, or it is not.
    Handle(KUBEVIRTS, ("spec", "configuration", *_OPTIONS), {}, None, lambda value: value is not None),
    Handle(HYPERCONVERGED_V1BETA1, ("spec", *_OPTIONS), True, False, lambda value: value),
    Handle(HYPERCONVERGED_V1, ("spec", "virtualization", *_OPTIONS), True, False, lambda value: value),
)
MACHINE_HANDLE = Handle(
    VMS,
    ("spec", "template", "metadata", "annotations", ANNOTATION),
    "true",
    None,
    lambda value: value == "true",
)


@dataclass(frozen=True)
class Saved:
    """What stood at `path` before freepage first changed it (None: nothing), when that was (RFC 3339) and by whom."""

    path: str
    value: Any
    when: str
    by: str


@dataclass(frozen=True)
class Change:
    """One value to write into one object as it was read; `saved` is what to keep of it (None: forget what was kept)."""

    handle: Handle
    object: Object
    value: Any
    saved: Saved | None

    @property
    def old(self) -> Any:
        return dig(self.object, *self.handle.path)


def find_switch(found: Installation) -> tuple[Handle, Object]:
    """Give where the cluster's setting is to be changed: in HyperConverged where there is one, which KubeVirt's follows."""
    resource, obj = found.hyperconverged_resource, found.hyperconverged
    if resource is None or obj is None:
        resource, obj = KUBEVIRTS, found.kubevirt
    return next(h for h in _HANDLES if h.resource == resource), obj


def refuse_override(found: Installation) -> None:
    """Raise ClusterError where a change of HyperConverged's setting would change nothing."""
    if found.overridden and found.hyperconverged is not None:
        raise ClusterError(
            f"{describe_object(found.hyperconverged)} overrides its own setting by the annotation {JSON_PATCH}",
            hint="whoever put it there did so on purpose: change or remove that annotation instead",
        )


def is_disabled(handle: Handle, obj: Object) -> bool | None:
    """Read the setting; None where nothing is said."""
    return handle.read(dig(obj, *handle.path))


def read_saved(obj: Object) -> Saved | None:
    """Read what freepage keeps of an object's former setting; None where it has not changed it.

    ClusterError for an annotation that somebody else has changed.
    """
    text = dig(obj, "metadata", "annotations", SAVED)
    if text is None:
        return None
    try:
        kept = json.loads(text)
        return Saved(kept["path"], kept.get("value"), kept["when"], kept["by"])
    except (ValueError, TypeError, KeyError) as error:
        raise ClusterError(
            f"the annotation {SAVED} of {obj.get('kind')} {full_name(obj)} is not what freepage wrote: {text!r}",
            hint="set the value yourself and remove the annotation",
        ) from error


def plan_change(handle: Handle, obj: Object, *, disable: bool, by: str | None) -> Change | None:
    """Plan to disable or enable FPR by one object; None where it says so already."""
    if is_disabled(handle, obj) is disable:
        return None
    saved = read_saved(obj) or Saved(
        "/" + "/".join(part.replace("/", "~1") for part in handle.path),
        dig(obj, *handle.path),
        datetime.now(UTC).isoformat(timespec="seconds"),
        by or "a user whose name is not known",
    )
    return Change(handle, obj, handle.disabled if disable else handle.enabled, saved)


def plan_restoration(handle: Handle, obj: Object) -> Change | None:
    """Plan to put back what was there before freepage changed it; None where it has not."""
    saved = read_saved(obj)
    return None if saved is None else Change(handle, obj, saved.value, None)


async def apply_change(api: ClusterApi, change: Change, *, dry_run: bool) -> Object:
    """Write a change, or let the server check it; give the object as it then is.

    An object whose status alone has changed in between is read again; ConflictError where the setting itself has.
    """
    for _ in range(_ATTEMPTS):
        try:
            return await _patch(api, change, dry_run=dry_run)
        except ConflictError:
            change = await _read_again(api, change)
    raise ConflictError(
        f"{describe_object(change.object)} changes faster than it can be written", hint="try again"
    )


async def _patch(api: ClusterApi, change: Change, *, dry_run: bool) -> Object:
    return await api.patch(
        change.handle.resource,
        name_of(change.object),
        _build_patch(change),
        namespace=namespace_of(change.object),
        dry_run=dry_run,
    )


async def _read_again(api: ClusterApi, change: Change) -> Change:
    before = change.object
    now = await api.get(change.handle.resource, name_of(before), namespace_of(before))
    again = replace(change, object=now)
    if again.old != change.old or read_saved(now) != read_saved(before):
        raise ConflictError(
            f"somebody else has changed {'.'.join(change.handle.path)} of {describe_object(now)} in between",
            hint="nothing was written: look at it with `freepage status`, then decide again",
        )
    return again


def _build_patch(change: Change) -> Object:
    """Build the merge patch: the value and what it replaces, both or neither."""
    value = change.value
    for key in reversed(change.handle.path):
        value = {key: value}
    kept = None if change.saved is None else _dump(change.saved)
    metadata = {
        "resourceVersion": dig(change.object, "metadata", "resourceVersion"),
        "annotations": {SAVED: kept},
    }
    return {"metadata": metadata, **value}


def _dump(saved: Saved) -> str:
    """Write what is kept; nothing is a value that is not there."""
    content = {"path": saved.path, "value": saved.value, "when": saved.when, "by": saved.by}
    return json.dumps({key: value for key, value in content.items() if value is not None})


def describe_object(obj: Object) -> str:
    return f"{obj.get('kind')} {full_name(obj)}"


def has_saved(obj: Object) -> bool:
    """Say whether an object carries a change of freepage's."""
    return dig(obj, "metadata", "annotations", SAVED) is not None


async def wait_for_effect(
    api: ClusterApi, found: Installation, *, disabled: bool, deadline_s: float = EFFECT_DEADLINE_S
) -> None:
    """Wait until KubeVirt's own object says what was asked for; ClusterError after the deadline."""

    async def has_followed() -> bool | None:
        kubevirt = await api.get(KUBEVIRTS, name_of(found.kubevirt), namespace_of(found.kubevirt))
        return True if read_switch([kubevirt]).disabled is disabled else None

    if not await poll(has_followed, deadline_s):
        raise ClusterError(
            f"{describe_object(found.kubevirt)} has not followed within {deadline_s:.0f} s: "
            f"it still has FPR {'enabled' if disabled else 'disabled'}",
            hint="see the conditions of the HyperConverged object; `freepage restore` puts back what was there before",
        )

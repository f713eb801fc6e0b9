"""Writing a change of the setting, and waiting until KubeVirt has it.

The patch carries the resourceVersion that was read, so that nothing that happened in between is overwritten.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from freepage.fpr.rule import read_setting
from freepage.kube.errors import ClusterError, ConflictError
from freepage.kube.resources import KUBEVIRTS, dig, name_of, namespace_of
from freepage.kube.waiting import poll
from freepage.kubevirt.setting import SAVED, Setting, describe_object, read_saved

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.installation import Installation
    from freepage.kubevirt.setting import SavedSetting, SettingChange

_ATTEMPTS = 5
# HyperConverged's operator passes a change on within seconds.
EFFECT_DEADLINE_S = 120.0


async def apply_change(api: ClusterApi, change: SettingChange, *, dry_run: bool) -> Setting:
    """Write a change, or let the server check it; return the setting as it then is.

    An object whose status alone has changed in between is read again; ConflictError where the setting itself has.
    """
    for _ in range(_ATTEMPTS):
        try:
            written = await _patch(api, change, dry_run=dry_run)
        except ConflictError:
            change = await _read_again(api, change)
        else:
            return replace(change.setting, object=written)
    raise ConflictError(
        f"{describe_object(change.setting.object)} changes faster than it can be written", hint="try again"
    )


async def _patch(api: ClusterApi, change: SettingChange, *, dry_run: bool) -> Object:
    obj = change.setting.object
    return await api.patch(
        change.setting.path.resource,
        name_of(obj),
        _build_patch(change),
        namespace=namespace_of(obj),
        dry_run=dry_run,
    )


async def _read_again(api: ClusterApi, change: SettingChange) -> SettingChange:
    before = change.setting
    obj = await api.get(before.path.resource, name_of(before.object), namespace_of(before.object))
    now = replace(before, object=obj)
    if now.value != before.value or read_saved(now.object) != read_saved(before.object):
        raise ConflictError(
            f"somebody else has changed {before.path} of {describe_object(now.object)} in between",
            hint="nothing was written: look at it with `freepage status`, then decide again",
        )
    return replace(change, setting=now)


def _build_patch(change: SettingChange) -> Object:
    """Build the merge patch: the value and what it replaces, both or neither."""
    value = change.value
    for key in reversed(change.keys):
        value = {key: value}
    metadata = {
        "resourceVersion": dig(change.setting.object, "metadata", "resourceVersion"),
        "annotations": {SAVED: None if change.saved is None else _dump(change.saved)},
    }
    return {"metadata": metadata, **value}


def _dump(saved: SavedSetting) -> str:
    """Return what is kept as JSON; a value that was not there is left out."""
    return json.dumps({key: value for key, value in asdict(saved).items() if value is not None})


async def wait_for_effect(
    api: ClusterApi, found: Installation, *, enabled: bool, deadline_s: float = EFFECT_DEADLINE_S
) -> Installation:
    """Wait until KubeVirt's own object has the setting; return the installation with it. ClusterError after the deadline."""

    async def has_followed() -> Object | None:
        kubevirt = await api.get(KUBEVIRTS, name_of(found.kubevirt), namespace_of(found.kubevirt))
        return kubevirt if read_setting([kubevirt]).enabled is enabled else None

    followed = await poll(has_followed, deadline_s)
    if followed is None:
        raise ClusterError(
            f"{describe_object(found.kubevirt)} has not followed within {deadline_s:.0f} s: "
            f"it still has FPR {'disabled' if enabled else 'enabled'}",
            hint="see the conditions of the HyperConverged object; `freepage restore` puts back what was there before",
        )
    return replace(found, kubevirt=followed)

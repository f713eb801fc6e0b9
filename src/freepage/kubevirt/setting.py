"""The setting of FPR as objects hold it: the cluster's, in one of three kinds of object, and each VM's. Read and planned.

A change and what it replaced are written by one merge patch: what was there before is kept in an annotation of the same
object until it is put back, by whoever asks for it, from wherever.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from freepage.fpr.rule import ANNOTATION, JSON_PATCH
from freepage.kube.errors import ClusterError
from freepage.kube.resources import HYPERCONVERGED_V1, HYPERCONVERGED_V1BETA1, KUBEVIRTS, VMS, dig
from freepage.kubevirt.installation import full_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.kube.resources import Object, Resource
    from freepage.kubevirt.installation import Installation

SAVED = "freepage/previous-free-page-reporting"


@dataclass(frozen=True)
class SettingPath:
    """The field by which one kind of object enables or disables FPR: its keys, both values, and how a value is read.

    read: returns whether FPR is enabled; None where the value says nothing.
    """

    resource: Resource
    keys: tuple[str, ...]
    enabled: Any
    disabled: Any
    read: Callable[[Any], bool | None]

    def __str__(self) -> str:
        return ".".join(self.keys)

    def find_pointer(self, depth: int | None = None) -> str:
        """Return the JSON pointer (RFC 6901) to the field, or to what holds it at some depth; no key of ours has a tilde."""
        return "".join("/" + key.replace("/", "~1") for key in self.keys[:depth])


_OPTIONS = ("virtualMachineOptions", "disableFreePageReporting")


def _hyperconverged(resource: Resource, *above: str) -> SettingPath:
    return SettingPath(
        resource,
        ("spec", *above, *_OPTIONS),
        enabled=False,
        disabled=True,
        read=lambda value: None if value is None else not value,
    )


CLUSTER_PATHS = (
    # A struct without fields: it is there, or it is not.
    SettingPath(
        KUBEVIRTS,
        ("spec", "configuration", *_OPTIONS),
        enabled=None,
        disabled={},
        read=lambda value: value is None,
    ),
    _hyperconverged(HYPERCONVERGED_V1BETA1),
    _hyperconverged(HYPERCONVERGED_V1, "virtualization"),
)
VM_PATH = SettingPath(
    VMS,
    ("spec", "template", "metadata", "annotations", ANNOTATION),
    enabled=None,
    disabled="true",
    read=lambda value: value != "true",
)


@dataclass(frozen=True)
class Setting:
    """The setting of FPR in one object, as the object was read."""

    path: SettingPath
    object: Object

    @property
    def value(self) -> Any:
        return dig(self.object, *self.path.keys)

    @property
    def enabled(self) -> bool | None:
        """True where the object enables FPR; None where it says nothing."""
        return self.path.read(self.value)


@dataclass(frozen=True)
class SavedSetting:
    """The value at `path` before freepage first changed it (None: nothing), when that was (RFC 3339) and by whom.

    made: the topmost part of `path` that was not there, and came with the change; None where that is not known.
    """

    path: str
    value: Any
    when: str
    by: str
    made: str | None = None


@dataclass(frozen=True)
class SettingChange:
    """One value to write into one object as it was read; saved: what to keep of it (None: forget what was kept).

    made: of a restoration, the topmost part of the field's path that came with freepage's change, and goes with it.
    """

    setting: Setting
    value: Any
    saved: SavedSetting | None
    made: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys to write to: the field's, or of what was made for the field alone and holds nothing else now."""
        path, obj = self.setting.path, self.setting.object
        for depth in range(1, len(path.keys)):
            if self.made is not None and path.find_pointer(depth).startswith(self.made):
                below = range(depth, len(path.keys))
                if all(set(dig(obj, *path.keys[:n]) or ()) <= {path.keys[n]} for n in below):
                    return path.keys[:depth]
        return path.keys


def find_setting(found: Installation) -> Setting:
    """Find the object that holds the cluster's setting: HyperConverged where there is one, for KubeVirt's follows it."""
    resource, obj = found.hyperconverged_resource, found.hyperconverged
    if resource is None or obj is None:
        resource, obj = KUBEVIRTS, found.kubevirt
    return Setting(next(path for path in CLUSTER_PATHS if path.resource == resource), obj)


def refuse_override(found: Installation) -> None:
    """Raise ClusterError where a change of HyperConverged's setting would change nothing."""
    if found.overridden and found.hyperconverged is not None:
        raise ClusterError(
            f"{describe_object(found.hyperconverged)} overrides its own setting by the annotation {JSON_PATCH}",
            hint="whoever put it there did so on purpose: change or remove that annotation instead",
        )


def read_saved(obj: Object) -> SavedSetting | None:
    """Read what freepage keeps of an object's former setting; None where it has not changed it.

    ClusterError for an annotation that somebody else has changed.
    """
    text = dig(obj, "metadata", "annotations", SAVED)
    if text is None:
        return None
    try:
        kept = json.loads(text)
        return SavedSetting(kept["path"], kept.get("value"), kept["when"], kept["by"], kept.get("made"))
    except (ValueError, TypeError, KeyError) as error:
        raise ClusterError(
            f"the annotation {SAVED} of {describe_object(obj)} is not what freepage wrote: {text!r}",
            hint="set the value yourself and remove the annotation",
        ) from error


def has_saved(obj: Object) -> bool:
    """Return whether an object carries a change of freepage's."""
    return dig(obj, "metadata", "annotations", SAVED) is not None


def plan_change(setting: Setting, *, enabled: bool, by: str | None) -> SettingChange | None:
    """Plan to enable or disable FPR by one object; None where it does so already."""
    if setting.enabled is enabled:
        return None
    path = setting.path
    saved = read_saved(setting.object) or SavedSetting(
        path.find_pointer(),
        setting.value,
        datetime.now(UTC).isoformat(timespec="seconds"),
        by or "a user whose name is not known",
        _find_made(setting),
    )
    return SettingChange(setting, path.enabled if enabled else path.disabled, saved)


def _find_made(setting: Setting) -> str | None:
    """Return the topmost part of a setting's path that is not there yet; None where all is."""
    path = setting.path
    missing = (n for n in range(1, len(path.keys) + 1) if dig(setting.object, *path.keys[:n]) is None)
    first = next(missing, None)
    return None if first is None else path.find_pointer(first)


def plan_restoration(setting: Setting) -> SettingChange | None:
    """Plan to put back what was there before freepage changed it; None where it has not."""
    saved = read_saved(setting.object)
    return None if saved is None else SettingChange(setting, saved.value, None, saved.made)


def describe_object(obj: Object) -> str:
    return f"{obj.get('kind')} {full_name(obj)}"

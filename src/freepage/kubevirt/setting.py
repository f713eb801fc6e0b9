"""The setting of FPR as objects hold it: the cluster's, in one of three kinds of object, and each VM's. Read and planned.

A change and what it replaced are written by one merge patch: what was there before is kept in an annotation of the same
object until it is put back, by whoever asks for it, from wherever.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from freepage.fpr.eligibility import ANNOTATION, JSON_PATCH
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
    """The value at `path` before freepage first changed it (None: nothing), when that was (RFC 3339) and by whom."""

    path: str
    value: Any
    when: str
    by: str


@dataclass(frozen=True)
class SettingChange:
    """One value to write into one object as it was read; saved: what to keep of it (None: forget what was kept)."""

    setting: Setting
    value: Any
    saved: SavedSetting | None


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
        return SavedSetting(kept["path"], kept.get("value"), kept["when"], kept["by"])
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
        "/" + "/".join(key.replace("/", "~1") for key in path.keys),
        setting.value,
        datetime.now(UTC).isoformat(timespec="seconds"),
        by or "a user whose name is not known",
    )
    return SettingChange(setting, path.enabled if enabled else path.disabled, saved)


def plan_restoration(setting: Setting) -> SettingChange | None:
    """Plan to put back what was there before freepage changed it; None where it has not."""
    saved = read_saved(setting.object)
    return None if saved is None else SettingChange(setting, saved.value, None)


def describe_object(obj: Object) -> str:
    return f"{obj.get('kind')} {full_name(obj)}"

"""The setting of FPR changed by hand: the place to edit and the patch to send, for oc or kubectl."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freepage.kube.resources import (
    HYPERCONVERGED_V1,
    HYPERCONVERGED_V1BETA1,
    KUBEVIRTS,
    ROUTES,
    name_of,
    namespace_of,
)
from freepage.kubevirt.setting import CLUSTER_PATHS, VM_PATH, find_setting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Resource
    from freepage.kubevirt.installation import Installation
    from freepage.kubevirt.setting import SettingPath
    from freepage.kubevirt.vms import VmName

OC, KUBECTL = "oc", "kubectl"
# Where each operator keeps its object when it is installed as its documentation has it: title, program, namespace, name.
_USUAL = {
    HYPERCONVERGED_V1BETA1: ("OpenShift Virtualization", OC, "openshift-cnv", "kubevirt-hyperconverged"),
    HYPERCONVERGED_V1: (
        "OpenShift Virtualization whose HyperConverged is v1",
        OC,
        "openshift-cnv",
        "kubevirt-hyperconverged",
    ),
    KUBEVIRTS: ("KubeVirt without HyperConverged", KUBECTL, "kubevirt", "kubevirt"),
}


@dataclass(frozen=True)
class ManualChange:
    """One change by hand: of what, the command that opens the object, what to do there, and the patch that does the same.

    is_removal: the last of `lines` is to be taken out, where it is there; otherwise they are to be put in. value: what the field has now, in
    JSON; None where that was not read.
    """

    title: str
    edit: str
    lines: tuple[str, ...]
    is_removal: bool
    patch: str
    value: str | None = None


def describe_usual(*, enabled: bool) -> tuple[ManualChange, ...]:
    """Return the change of the whole cluster's setting for every kind of installation, where its objects usually are."""
    return tuple(
        describe_change(_find_path(resource), namespace, name, enabled=enabled, program=program, title=title)
        for resource, (title, program, namespace, name) in _USUAL.items()
    )


def describe_installed(found: Installation, *, enabled: bool, program: str) -> ManualChange:
    """Return the change of the whole cluster's setting in the object that holds it."""
    setting = find_setting(found)
    namespace, name = namespace_of(setting.object), name_of(setting.object)
    title = f"{setting.path.resource.kind} {namespace}/{name} ({setting.path.resource.version})"
    return describe_change(
        setting.path,
        namespace,
        name,
        enabled=enabled,
        program=program,
        title=title,
        value=json.dumps(setting.value),
    )


def describe_vms(vms: Iterable[VmName], *, enabled: bool, program: str = KUBECTL) -> tuple[ManualChange, ...]:
    """Return the change of each VM's own setting, the annotation of its template."""
    return tuple(
        describe_change(
            VM_PATH, namespace, name, enabled=enabled, program=program, title=f"VM {namespace}/{name}"
        )
        for namespace, name in vms
    )


def describe_change(
    path: SettingPath,
    namespace: str,
    name: str,
    *,
    enabled: bool,
    program: str,
    title: str,
    value: str | None = None,
) -> ManualChange:
    """Return the change of one object's setting by its field."""
    wanted = path.enabled if enabled else path.disabled
    kind, where, which = _name_kind(path.resource), shlex.quote(namespace), shlex.quote(name)
    body = json.dumps(_nest(path.keys, wanted), separators=(",", ":"))
    return ManualChange(
        title,
        f"{program} edit {kind} -n {where} {which}",
        _write_lines(path.keys, path.disabled if wanted is None else wanted),
        wanted is None,
        f"{program} patch --type=merge -n {where} {kind}/{which} -p {shlex.quote(body)}",
        value,
    )


async def find_program(api: ClusterApi) -> str:
    """Return the client of a cluster's users: oc on OpenShift, else kubectl."""
    return OC if await api.served_versions(ROUTES.group) else KUBECTL


def _find_path(resource: Resource) -> SettingPath:
    return next(path for path in CLUSTER_PATHS if path.resource == resource)


def _name_kind(resource: Resource) -> str:
    """Return a kind as clients take it; with its version where it is served in several, whose fields differ."""
    if resource.group == HYPERCONVERGED_V1.group:
        return f"{resource.plural}.{resource.version}.{resource.group}"
    return resource.kind.lower()


def _nest(keys: tuple[str, ...], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _write_lines(keys: tuple[str, ...], value: Any) -> tuple[str, ...]:
    """Return a field as YAML, one key a line."""
    lines = [f"{'  ' * depth}{key}:" for depth, key in enumerate(keys)]
    return (*lines[:-1], f"{lines[-1]} {json.dumps(value)}")

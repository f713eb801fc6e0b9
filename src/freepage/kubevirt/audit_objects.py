"""The audit of a cluster by its objects alone: what is expected of every VM; what is real, objects do not show."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.fpr.eligibility import assess_all
from freepage.fpr.rule import ReportingSetting
from freepage.kube.object_files import ObjectsError
from freepage.kube.resources import HYPERCONVERGED_V1, KUBEVIRTS, PODS, VMIS, VMS, dig
from freepage.kubevirt.audit import Audit, AuditedVm
from freepage.kubevirt.installation import check_version, full_name, read_version
from freepage.kubevirt.launchers import LAUNCHER, LAUNCHER_KEY, describe_waiting, group_launchers
from freepage.kubevirt.shapes import is_read, part_sound
from freepage.kubevirt.vms import list_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from freepage.fpr.eligibility import Eligibility
    from freepage.kube.resources import Object
    from freepage.kubevirt.launchers import Launcher

UNSEEN = "objects do not show what is real"
NOT_RUNNING = "it does not run"
_WITHOUT_INSTANCE = (
    "it runs, and its VirtualMachineInstance was not given: it is judged as it would start now"
)
_SETTING_KINDS = (KUBEVIRTS.kind, HYPERCONVERGED_V1.kind)


def is_wanted(obj: Object) -> bool:
    """Return whether an audit reads an object: of pods, the launchers alone."""
    if not is_read(obj):
        return False
    return bool(obj["kind"] != PODS.kind or dig(obj, "metadata", "labels", LAUNCHER_KEY) == LAUNCHER)


def audit_objects(objects: Sequence[Object], namespace: str | None = None) -> Audit:
    """Audit every VM among the objects of a cluster, or of one of its namespaces.

    ObjectsError for the objects of several clusters, ClusterError for a KubeVirt that is older than FPR.
    """
    sound, skipped = part_sound(objects)
    _check_one_cluster(sound)
    newest = keep_newest(sound)
    by_kind = group_by_kind(newest)
    kubevirt = next(iter(by_kind[KUBEVIRTS.kind].values()), None)
    check_version(read_version(kubevirt))
    setting, assessed = assess_all(newest, _find_unread_setting(objects, by_kind))
    launchers = group_launchers(by_kind[PODS.kind].values())
    vms = [_describe_vm(e, by_kind, launchers) for e in assessed if namespace in {None, e.namespace}]
    notes = [*_find_notes(by_kind, assessed, setting)]
    if assessed and not vms:
        notes.append(f"no VM among the objects is in namespace {namespace}")
    if again := len(sound) - len(newest):
        notes.append(
            f"given again: {again} object{'' if again == 1 else 's'}; of each the newest counts "
            "(by resourceVersion, else generation, else the first)"
        )
    return Audit(setting, vms, read_version(kubevirt), tuple(notes), tuple(skipped))


def keep_newest(objects: Sequence[Object]) -> list[Object]:
    """Return each object once: of several the one with the highest resourceVersion, else generation, else the first."""
    newest: dict[tuple[str, str], Object] = {}
    for obj in objects:
        key = obj["kind"], full_name(obj)
        if key not in newest or _age(obj) > _age(newest[key]):
            newest[key] = obj
    return list(newest.values())


def _age(obj: Object) -> tuple[int, int]:
    """Return what grows with each change of an object, as far as it says so."""
    version, generation = (str(dig(obj, "metadata", key)) for key in ("resourceVersion", "generation"))
    return _read_number(version), _read_number(generation)


def _read_number(digits: str) -> int:
    return int(digits) if digits.isdecimal() and len(digits) < 100 else -1


def group_by_kind(objects: Sequence[Object]) -> Mapping[str, Mapping[str, Object]]:
    """Return objects by kind, and by namespace and name within it."""
    kinds: dict[str, dict[str, Object]] = defaultdict(dict)
    for obj in objects:
        kinds[obj["kind"]][full_name(obj)] = obj
    return kinds


def _check_one_cluster(objects: Sequence[Object]) -> None:
    """Raise ObjectsError where several objects hold a setting of which a cluster has one: KubeVirt has the same name everywhere."""
    for kind in _SETTING_KINDS:
        found = [obj for obj in objects if obj["kind"] == kind]
        names = sorted({full_name(obj) for obj in found})
        uids = {uid for obj in found if (uid := dig(obj, "metadata", "uid"))}
        if len(names) > 1 or len(uids) > 1:
            apart = ", ".join(names) if len(names) > 1 else f"{names[0]}, with different uids"
            raise ObjectsError(
                f"the objects are of several clusters, for there are {max(len(names), len(uids))} of kind {kind}: {apart}",
                hint="audit the objects of one cluster at a time",
            )


def _find_unread_setting(
    objects: Sequence[Object], by_kind: Mapping[str, Mapping[str, Object]]
) -> ReportingSetting | None:
    """Return that the setting is not known where the object that decides was given and cannot be read; None where it can."""
    for kind in _SETTING_KINDS:
        if by_kind[kind]:
            return None
        if any(obj["kind"] == kind for obj in objects):
            return ReportingSetting(None, f"the {kind} object, which decides, was given and cannot be read")
    return None


def _describe_vm(
    eligibility: Eligibility,
    by_kind: Mapping[str, Mapping[str, Object]],
    launchers: Mapping[str, Sequence[Launcher]],
) -> AuditedVm:
    """Return a VM as an audit has it, with what else its objects tell: its phase, and why it has not started."""
    name = "/".join(filter(None, (eligibility.namespace, eligibility.name)))
    instance, vm = by_kind[VMIS.kind].get(name), by_kind[VMS.kind].get(name)
    source = UNSEEN if eligibility.running else NOT_RUNNING
    if eligibility.running and instance is not None:
        source = describe_waiting(launchers.get(dig(instance, "metadata", "uid"), ())) or UNSEEN
    elif instance is None and dig(vm, "status", "created") is True:
        eligibility = replace(eligibility, running=True, unknown=(_WITHOUT_INSTANCE, *eligibility.unknown))
        source = UNSEEN
    phase = dig(instance, "status", "phase")
    return AuditedVm(eligibility, None, source, None, eligibility.restart, phase=phase)


def _find_notes(
    by_kind: Mapping[str, Mapping[str, Object]], assessed: Sequence[Eligibility], setting: ReportingSetting
) -> Iterator[str]:
    """Yield what the objects do not show, and what of them was not judged."""
    kubevirts, vms, instances = (by_kind[r.kind] for r in (KUBEVIRTS, VMS, VMIS))
    if not vms and not instances:
        yield "there is no VirtualMachine or VirtualMachineInstance among the objects"
        return
    if not kubevirts and by_kind[HYPERCONVERGED_V1.kind] and setting.enabled is not None:
        yield (
            "there is no KubeVirt object, which decides: HyperConverged counts as far as KubeVirt has followed it"
        )
    if not instances:
        yield "there is no VirtualMachineInstance: which VMs run, and what they run with, is not seen"
    if not vms:
        yield "there is no VirtualMachine: stopped VMs, and what waits for a restart, are not seen"
    judged = {"/".join(filter(None, (e.namespace, e.name))) for e in assessed}
    ended = [name for name in instances if name not in judged]
    if ended:
        yield f"without a VirtualMachine, and ended (Succeeded or Failed), so left out: {list_names(ended)}"

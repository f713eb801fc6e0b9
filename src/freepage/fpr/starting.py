"""The instance that a VM's next start creates: put together, as KubeVirt does, from its template, instance type and preference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.instance_types import PARTS, PREFERENCE, apply_part, fill, read_references
from freepage.fpr.objects import entries, has_condition, look_up, section
from freepage.fpr.rule import ANNOTATION

if TYPE_CHECKING:
    from freepage.fpr.instance_types import Path, TypeCatalog, TypeReference
    from freepage.fpr.objects import Object

# How KubeVirt notes on an instance which parts it was made of, by the part's field.
_MADE_OF = ("kubevirt.io/{}-name", "kubevirt.io/cluster-{}-name")


@dataclass(frozen=True)
class NextStart:
    """The instance that the next start creates, as far as it is known; missing: what is not, and what would tell."""

    instance: Object
    missing: tuple[str, ...] = ()


def build_next_start(vm: Object, types: TypeCatalog, running: Object | None = None) -> NextStart:
    """Build what a VirtualMachine would create now.

    Where a part is not at hand the running instance shows it, unless something of it has changed since: what the template
    has counts in any case.
    """
    template = section(vm, "spec", "template")
    made: Object = {"metadata": section(template, "metadata"), "spec": section(template, "spec")}
    missing = []
    for reference in read_references(vm):
        spec = types.find_spec(reference)
        if spec is None:
            missing.append(types.describe_missing(reference))
        else:
            made = apply_part(reference.part, spec, made)
        made = _note_part(reference, made)
    if missing and running is not None and _is_as_started(running, vm):
        made = _fill_from(running, made)
        # An annotation that the template lacks has come from a part, or has been taken out of the template since.
        missing = missing if _has_other_annotation(running, made) else []
    return NextStart(made, tuple(missing))


def _note_part(reference: TypeReference, made: Object) -> Object:
    if reference.part is not PREFERENCE:
        return made
    return fill(made, ("metadata", "annotations", _MADE_OF[1].format(PREFERENCE.field)), reference.name)


def _fill_from(running: Object, made: Object) -> Object:
    for path in _filled_paths():
        made = fill(made, path, look_up(running, *path))
    return made


def _filled_paths() -> list[Path]:
    return [path for part in PARTS for path in part.filled.values()]


def _has_other_annotation(running: Object, made: Object) -> bool:
    before, then = (section(i, "metadata", "annotations").get(ANNOTATION) for i in (running, made))
    return before == "true" and then is None


def _is_as_started(running: Object, vm: Object) -> bool:
    """Return whether KubeVirt shows that nothing of a running VM's spec waits for a restart, its parts included.

    It sets the condition RestartRequired where the template or a reference has changed, and keeps a copy of each part.
    """
    if not entries(vm, "status", "conditions") or has_condition(vm, "RestartRequired"):
        return False
    return all(_names_same(running, vm, reference) for reference in read_references(vm))


def _names_same(running: Object, vm: Object, reference: TypeReference) -> bool:
    """Return whether all that is noted of the part a VM was started with is what it names now."""
    field = reference.part.field
    annotations = section(running, "metadata", "annotations")
    noted = [annotations.get(key.format(field)) for key in _MADE_OF]
    noted.append(look_up(vm, "status", f"{field}Ref", "name"))
    return all(name in (None, reference.name) for name in noted)

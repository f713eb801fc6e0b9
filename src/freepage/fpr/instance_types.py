"""Instance types and preferences: what a VM only names, and what KubeVirt fills into its instance from them.

After KubeVirt's pkg/instancetype (find, apply, preference/apply), as far as it concerns FPR.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freepage.fpr.objects import look_up, name_parts, section

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freepage.fpr.objects import Object

REVISION = "ControllerRevision"
_SPEC = ("spec",)
_DOMAIN = ("spec", "domain")
_DEVICES = (*_DOMAIN, "devices")
_KEEPING_OFF = "dedicated CPUs, huge pages, realtime, no balloon and an annotation keep FPR off"

# Kind, namespace ("" for a kind of the whole cluster) and name.
Key = tuple[str, str, str]
Path = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One of the two parts a VM may name: its field in spec, its kinds, and which of its fields become which of the instance's."""

    field: str
    words: str
    namespaced_kind: str
    cluster_kind: str
    filled: Mapping[Path, Path]


INSTANCE_TYPE = Part(
    "instancetype",
    "instance type",
    "VirtualMachineInstancetype",
    "VirtualMachineClusterInstancetype",
    {
        ("cpu", "dedicatedCPUPlacement"): (*_DOMAIN, "cpu", "dedicatedCpuPlacement"),
        ("cpu", "realtime"): (*_DOMAIN, "cpu", "realtime"),
        ("memory", "hugepages"): (*_DOMAIN, "memory", "hugepages"),
        ("launchSecurity",): (*_DOMAIN, "launchSecurity"),
        ("gpus",): (*_DEVICES, "gpus"),
        ("hostDevices",): (*_DEVICES, "hostDevices"),
    },
)
PREFERENCE = Part(
    "preference",
    "preference",
    "VirtualMachinePreference",
    "VirtualMachineClusterPreference",
    {
        ("devices", "preferredAutoattachMemBalloon"): (*_DEVICES, "autoattachMemBalloon"),
        ("preferredLaunchSecurity",): (*_DOMAIN, "launchSecurity"),
        ("preferredArchitecture",): (*_SPEC, "architecture"),
        ("features", "preferredHyperv"): (*_DOMAIN, "features", "hyperv"),
    },
)
PARTS = (INSTANCE_TYPE, PREFERENCE)


@dataclass(frozen=True)
class TypeReference:
    """The object of one part that a VM names; revision: the ControllerRevision with the copy it was given (None: none yet)."""

    part: Part
    kind: str
    namespace: str
    name: str
    revision: str | None

    @property
    def key(self) -> Key:
        return self.kind, self.namespace if self.kind == self.part.namespaced_kind else "", self.name

    @property
    def words(self) -> str:
        return f"{self.part.words} {self.name}".rstrip()


def read_references(vm: Object) -> list[TypeReference]:
    """Return what a VirtualMachine names: by its spec, and by its status where KubeVirt inferred the name or took a copy."""
    return [_read_reference(vm, part) for part in PARTS if look_up(vm, "spec", part.field) is not None]


def _read_reference(vm: Object, part: Part) -> TypeReference:
    matcher, taken = section(vm, "spec", part.field), section(vm, "status", f"{part.field}Ref")
    name = str(matcher.get("name") or taken.get("name") or "")
    # The copy that was taken counts only as long as the VM names what it is a copy of.
    same = taken.get("name") in (None, name)
    revision = matcher.get("revisionName") or (
        section(taken, "controllerRevisionRef").get("name") if same else None
    )
    kind = str(matcher.get("kind") or taken.get("kind") or part.cluster_kind)
    is_namespaced = kind.lower().rstrip("s") == part.namespaced_kind.lower()
    return TypeReference(
        part,
        part.namespaced_kind if is_namespaced else part.cluster_kind,
        name_parts(vm)[0],
        name,
        str(revision) if revision else None,
    )


@dataclass(frozen=True)
class TypeCatalog:
    """The instance types, preferences and revisions of them that are at hand; denied: the kinds that could not be listed."""

    objects: Mapping[Key, Object] = field(default_factory=dict)
    denied: frozenset[str] = frozenset()

    def find_spec(self, reference: TypeReference) -> Object | None:
        """Return the spec that KubeVirt would take for a reference; None where it is not at hand."""
        current = self.objects.get(reference.key)
        if reference.revision is None:
            return None if current is None else section(current, "spec")
        pinned = self.objects.get((REVISION, reference.namespace, reference.revision))
        if pinned is not None:
            spec = look_up(pinned, "data", "spec")
            return spec if isinstance(spec, dict) else None
        is_copy = current is not None and _is_copied_in(current, reference.revision)
        return section(current, "spec") if is_copy else None

    def describe_missing(self, reference: TypeReference) -> str:
        """Describe what is not known without a reference's spec, and what would tell."""
        kind = reference.kind if reference.revision is None else REVISION
        name = reference.name if reference.revision is None else reference.revision
        if kind in self.denied:
            teller = (
                f"{kind} {name} would tell, and this user may not list it (`freepage rbac audit` permits it)"
            )
        else:
            teller = f"{kind} {name} would tell, and it is not at hand".replace("  ", " ")
        return f"what {reference.words} adds ({_KEEPING_OFF}): {teller}"


def read_catalog(objects: Iterable[Object]) -> TypeCatalog:
    """Read the instance types, preferences and revisions among some objects."""
    kinds = {kind for part in PARTS for kind in (part.namespaced_kind, part.cluster_kind)} | {REVISION}
    found: dict[Key, Object] = {}
    for obj in objects:
        kind = str(obj.get("kind"))
        if kind in kinds:
            found[(kind, *name_parts(obj))] = obj
    return TypeCatalog(found)


def _is_copied_in(obj: Object, revision: str) -> bool:
    """Return whether a revision is a copy of the object as it is now: KubeVirt names it by uid and generation."""
    metadata = section(obj, "metadata")
    uid, generation = metadata.get("uid"), metadata.get("generation")
    return bool(uid and generation) and revision.endswith(f"-{uid}-{generation}")


def apply_part(part: Part, spec: Object, instance: Object) -> Object:
    """Return an instance with a part's fields filled in where it has none of its own, annotations included."""
    for source, target in part.filled.items():
        instance = fill(instance, target, look_up(spec, *source))
    for key, value in section(spec, "annotations").items():
        instance = fill(instance, ("metadata", "annotations", key), value)
    return instance


def fill(tree: Object, path: Path, value: Any) -> Object:
    """Return a copy of an object with a value at a path where there is none.

    KubeVirt cannot tell a false dedicatedCpuPlacement from one left out; every other false is somebody's choice.
    """
    now = look_up(tree, *path)
    unset = now is None or (now is False and path[-1] == "dedicatedCpuPlacement")
    return _put(tree, path, value) if unset and value is not None else tree


def _put(tree: Object, path: Path, value: Any) -> Object:
    key, *below = path
    return {**tree, key: _put(section(tree, key), tuple(below), value) if below else value}

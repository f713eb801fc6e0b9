"""The eligibility of a KubeVirt VM for FPR: KubeVirt's rule on it, now and after its next start, and whether FPR has an effect.

Objects are the API's own, as dictionaries (kubectl get -o json).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freepage.fpr.discarding import find_undiscardable
from freepage.fpr.guests import find_silent_guest, find_silent_hint
from freepage.fpr.instance_types import TypeCatalog, read_catalog
from freepage.fpr.objects import has_ended, name_parts, qualified_name, section
from freepage.fpr.passthrough import PermittedDevices, read_permitted
from freepage.fpr.rule import find_exclusions, read_setting
from freepage.fpr.starting import NextStart, build_next_start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.fpr.objects import Object
    from freepage.fpr.rule import ReportingSetting


@dataclass(frozen=True)
class Surroundings:
    """The parts of a cluster that a VM only names: the devices it permits, its instance types and preferences."""

    devices: PermittedDevices = field(default_factory=PermittedDevices)
    types: TypeCatalog = field(default_factory=TypeCatalog)


NOTHING_AROUND = Surroundings()


@dataclass(frozen=True)
class Eligibility:
    """KubeVirt's rule applied to one VM: FPR on or off when it starts (None: not known), and why.

    because: what keeps it off. ineffective: why it may have no effect although on. unknown: what could not be seen.
    restart: what has been changed since the VM started and waits for a restart.
    """

    namespace: str
    name: str
    running: bool
    node: str | None
    expected: bool | None
    because: tuple[str, ...]
    ineffective: tuple[str, ...]
    unknown: tuple[str, ...]
    restart: str | None = None


@dataclass(frozen=True)
class Prospect:
    """The outcome of a VM's next start: FPR on or off (None: not known), what keeps it off, and what is missing to know it."""

    expected: bool | None
    because: tuple[str, ...]
    missing: tuple[str, ...]


def read_surroundings(objects: Iterable[Object]) -> Surroundings:
    """Read what decides beside the VMs themselves from the objects of a cluster."""
    known = list(objects)
    return Surroundings(read_permitted(known), read_catalog(known))


def assess_all(
    objects: Iterable[Object], setting: ReportingSetting | None = None
) -> tuple[ReportingSetting, list[Eligibility]]:
    """Assess every VM among the objects: running ones by their VirtualMachineInstance, stopped ones by their template.

    An instance that has ended does not run; without a VirtualMachine it is no VM any more. setting: the cluster's, where
    the objects do not have it.
    """
    known = list(objects)
    setting, around = setting or read_setting(known), read_surroundings(known)
    vms = {qualified_name(o): o for o in known if o.get("kind") == "VirtualMachine"}
    instances = [o for o in known if o.get("kind") == "VirtualMachineInstance"]
    running = {qualified_name(o): o for o in instances if not has_ended(o)}
    assessed = [assess_instance(o, setting, vms.get(name), around) for name, o in running.items()]
    assessed += [assess_vm(o, setting, around) for name, o in vms.items() if name not in running]
    return setting, sorted(assessed, key=lambda e: (e.namespace, e.name))


def assess_instance(
    instance: Object,
    setting: ReportingSetting,
    vm: Object | None = None,
    around: Surroundings = NOTHING_AROUND,
) -> Eligibility:
    """Assess a running VM; `vm` is its VirtualMachine, which decides about its next start."""
    exclusions = find_exclusions(instance)
    expected = False if exclusions else setting.enabled
    then = assess_next_start(instance, vm, setting, around)
    effect = find_silent_guest(instance) + find_undiscardable(instance, around.devices)
    namespace, name = name_parts(instance)
    return Eligibility(
        namespace=namespace,
        name=name,
        running=True,
        node=section(instance, "status").get("nodeName"),
        expected=expected,
        because=(*_by_cluster(setting), *exclusions),
        ineffective=effect.ineffective,
        unknown=(*_unknown_setting(setting), *effect.unknown, *_unknown_restart(then, setting)),
        restart=_pending_restart(expected, then),
    )


def assess_vm(vm: Object, setting: ReportingSetting, around: Surroundings = NOTHING_AROUND) -> Eligibility:
    """Assess a VM that does not run, by what its next start creates."""
    start = build_next_start(vm, around.types)
    then = _foresee(start, setting)
    effect = find_silent_hint(start.instance) + find_undiscardable(start.instance, around.devices)
    namespace, name = name_parts(vm)
    return Eligibility(
        namespace=namespace,
        name=name,
        running=False,
        node=None,
        expected=then.expected,
        because=(*_by_cluster(setting), *then.because),
        ineffective=effect.ineffective,
        unknown=(*then.missing, *_unknown_setting(setting), *effect.unknown),
    )


def assess_next_start(
    instance: Object,
    vm: Object | None,
    setting: ReportingSetting,
    around: Surroundings = NOTHING_AROUND,
) -> Prospect:
    """Assess a running VM as it will be once it has been stopped and started; without a VirtualMachine it stays as it is."""
    start = NextStart(instance) if vm is None else build_next_start(vm, around.types, instance)
    return _foresee(start, setting)


def expect_next_start(
    instance: Object,
    vm: Object | None,
    setting: ReportingSetting,
    around: Surroundings = NOTHING_AROUND,
) -> bool | None:
    """Return whether FPR will be on once a running VM has been stopped and started (None: not known)."""
    return assess_next_start(instance, vm, setting, around).expected


def find_lasting_exclusions(instance: Object | None, vm: Object, around: Surroundings) -> tuple[str, ...]:
    """Return what keeps FPR off after a VM's next start, its own annotation aside.

    Where a part of the VM is not at hand, a running instance shows what it brought.
    """
    start = build_next_start(vm, around.types, instance)
    found = find_exclusions(start.instance, annotated=False)
    return found or (find_exclusions(instance, annotated=False) if instance and start.missing else ())


def _foresee(start: NextStart, setting: ReportingSetting) -> Prospect:
    """Apply the rule to a next start: what is known to keep FPR off does so, whatever is missing."""
    exclusions = find_exclusions(start.instance)
    if exclusions or setting.enabled is False:
        return Prospect(False, exclusions, ())
    return Prospect(None if start.missing else setting.enabled, (), start.missing)


def _by_cluster(setting: ReportingSetting) -> tuple[str, ...]:
    return (f"disabled for the whole cluster ({setting.source})",) if setting.enabled is False else ()


def _unknown_setting(setting: ReportingSetting) -> tuple[str, ...]:
    return (setting.source,) if setting.enabled is None else ()


def _unknown_restart(then: Prospect, setting: ReportingSetting) -> tuple[str, ...]:
    if then.expected is not None or setting.enabled is None:
        return ()
    return tuple(f"whether FPR is on after its next start: {missing}" for missing in then.missing)


def _pending_restart(now: bool | None, then: Prospect) -> str | None:
    """Return what the next start would change by the VM itself; KubeVirt does not report it for an annotation."""
    if then.expected in {None, now}:
        return None
    return f"its template {'disables' if then.expected is False else 'no longer disables'} FPR: restart it"

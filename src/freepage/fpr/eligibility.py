"""May FPR be on for a VM of KubeVirt? The rule KubeVirt follows, and what makes FPR ineffective although it is on.

Objects are the API's own, as dictionaries (kubectl get -o json). The rule is the same from KubeVirt 1.0 to 1.9
(isFreePageReportingEnabled in virt-launcher). It is applied when a VM starts; nothing changes it while the VM runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

Object = dict[str, Any]

ANNOTATION = "kubevirt.io/free-page-reporting-disabled"
# HyperConverged can be overridden behind its own field by this annotation.
JSON_PATCH = "kubevirt.kubevirt.io/jsonpatch"
FIRST_LINUX = (5, 7)


@dataclass(frozen=True)
class Switch:
    """The cluster's own setting: whether it disables FPR for all VMs (None: not known), and where that was read."""

    disabled: bool | None
    source: str

    def __str__(self) -> str:
        known = {None: "not known", True: "disabled", False: "enabled"}
        return f"{known[self.disabled]} ({self.source})"


@dataclass(frozen=True)
class Judgement:
    """What is expected of one VM: FPR on or off when it starts (None: not known), and why.

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


def read_switch(objects: Iterable[Object]) -> Switch:
    """Read the cluster's setting: from the KubeVirt object, which decides, else from the HyperConverged object."""
    known = list(objects)
    for kubevirt in (o for o in known if o.get("kind") == "KubeVirt"):
        options = _dig(kubevirt, "spec", "configuration", "virtualMachineOptions") or {}
        # A struct without fields: it is there, or it is not.
        return Switch(options.get("disableFreePageReporting") is not None, f"KubeVirt {_name(kubevirt)}")
    for hyperconverged in (o for o in known if o.get("kind") == "HyperConverged"):
        return _read_hyperconverged(hyperconverged)
    return Switch(None, "neither a KubeVirt nor a HyperConverged object was given")


def _read_hyperconverged(hyperconverged: Object) -> Switch:
    """Read the boolean at the place its version has it; what it defaults to is written out by the API server."""
    version = str(hyperconverged.get("apiVersion", "")).rpartition("/")[2]
    above = ("virtualization",) if version == "v1" else ()
    options = _dig(hyperconverged, "spec", *above, "virtualMachineOptions") or {}
    source = f"HyperConverged {_name(hyperconverged)} ({version})"
    if "virtualMachineOptions" in str(_dig(hyperconverged, "metadata", "annotations", JSON_PATCH) or ""):
        return Switch(None, f"{source} overrides its own setting by the annotation {JSON_PATCH}")
    value = options.get("disableFreePageReporting")
    return Switch(value if isinstance(value, bool) else None, source)


def judge_all(objects: Iterable[Object]) -> tuple[Switch, list[Judgement]]:
    """Judge every VM among the objects: running ones by their VirtualMachineInstance, stopped ones by their template."""
    known = list(objects)
    switch = read_switch(known)
    machines = {_name(o): o for o in known if o.get("kind") == "VirtualMachine"}
    running = {_name(o): o for o in known if o.get("kind") == "VirtualMachineInstance"}
    judged = [judge_instance(o, switch, machines.get(name)) for name, o in running.items()]
    judged += [judge_vm(o, switch) for name, o in machines.items() if name not in running]
    return switch, sorted(judged, key=lambda j: (j.namespace, j.name))


def judge_instance(instance: Object, switch: Switch, machine: Object | None = None) -> Judgement:
    """Judge a running VM; `machine` is its VirtualMachine, whose template is what the next start will take."""
    because = what_keeps_it_off(instance)
    metadata = instance.get("metadata", {})
    return Judgement(
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        running=True,
        node=_dig(instance, "status", "nodeName"),
        expected=_expect(because, switch),
        because=(*_by_cluster(switch), *because),
        ineffective=_what_makes_it_ineffective(instance),
        unknown=_unknown(instance, switch),
        restart=_pending_restart(instance, machine, switch),
    )


def judge_vm(machine: Object, switch: Switch) -> Judgement:
    """Judge a VM that does not run, by its template; an instance type may add what keeps FPR off."""
    template = _dig(machine, "spec", "template") or {}
    because = what_keeps_it_off(template)
    metadata = machine.get("metadata", {})
    typed = _dig(machine, "spec", "instancetype") is not None
    unknown = (
        ("what its instance type adds (dedicated CPUs, huge pages) is seen once it runs",) if typed else ()
    )
    expected = _expect(because, switch)
    return Judgement(
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        running=False,
        node=None,
        expected=None if typed and expected else expected,
        because=(*_by_cluster(switch), *because),
        ineffective=_what_makes_it_ineffective(template),
        unknown=(*unknown, *(() if switch.disabled is not None else (switch.source,))),
    )


def expect_next_start(instance: Object, machine: Object | None, switch: Switch) -> bool | None:
    """Say whether FPR will be on once a running VM has been stopped and started (None: not known)."""
    return _expect(what_keeps_it_off(_as_started_next(instance, machine)), switch)


def _as_started_next(instance: Object, machine: Object | None) -> Object:
    """Give the instance as its VirtualMachine would create it now.

    An instance type or a preference adds to the template what only the running instance shows; then the annotations
    alone are taken from the template.
    """
    if machine is None:
        return instance
    template = _dig(machine, "spec", "template") or {}
    typed = _dig(machine, "spec", "instancetype") or _dig(machine, "spec", "preference")
    spec = instance.get("spec") if typed else template.get("spec")
    return {"metadata": template.get("metadata") or {}, "spec": spec}


def _expect(because: tuple[str, ...], switch: Switch) -> bool | None:
    if because or switch.disabled:
        return False
    return None if switch.disabled is None else True


def _by_cluster(switch: Switch) -> tuple[str, ...]:
    return (f"disabled for the whole cluster ({switch.source})",) if switch.disabled else ()


def what_keeps_it_off(instance: Object, *, annotated: bool = True) -> tuple[str, ...]:
    """Give KubeVirt's own conditions, each by its field, as they stand on one VM; its annotation only if `annotated`."""
    domain = _dig(instance, "spec", "domain") or {}
    annotation = _dig(instance, "metadata", "annotations", ANNOTATION)
    found = {
        "spec.domain.devices.autoattachMemBalloon is false": _dig(domain, "devices", "autoattachMemBalloon")
        is False,
        "dedicated CPUs (spec.domain.cpu.dedicatedCpuPlacement)": _dig(domain, "cpu", "dedicatedCpuPlacement")
        is True,
        "realtime (spec.domain.cpu.realtime)": _dig(domain, "cpu", "realtime") is not None,
        "huge pages (spec.domain.memory.hugepages)": _dig(domain, "memory", "hugepages") is not None,
        f"annotation {ANNOTATION}": annotated and annotation == "true",
    }
    return tuple(words for words, there in found.items() if there)


def _what_makes_it_ineffective(instance: Object) -> tuple[str, ...]:
    """Give what leaves the host's memory as it is although FPR is on: QEMU may not discard, or the guest never reports."""
    domain = _dig(instance, "spec", "domain") or {}
    devices = domain.get("devices") or {}
    security = domain.get("launchSecurity") or {}
    passed = [key for key in ("hostDevices", "gpus") if devices.get(key)]
    if any("sriov" in interface for interface in devices.get("interfaces") or ()):
        passed.append("SR-IOV interfaces")
    found = [f"{what} pin all memory (VFIO)" for what in passed]
    if "sev" in security and "snp" not in security:
        found.append("SEV pins all memory (launchSecurity.sev)")
    return (*found, *_what_the_guest_lacks(_dig(instance, "status", "guestOSInfo") or {}))


def _what_the_guest_lacks(guest: Object) -> tuple[str, ...]:
    if guest.get("id") == "mswindows" or "windows" in str(guest.get("name", "")).lower():
        return ("Windows guests do not report free pages",)
    version = re.match(r"(\d+)\.(\d+)", str(guest.get("kernelRelease", "")))
    if version and (int(version[1]), int(version[2])) < FIRST_LINUX:
        return (f"Linux {guest['kernelRelease']} does not report free pages (5.7 is the first)",)
    return ()


def _unknown(instance: Object, switch: Switch) -> tuple[str, ...]:
    unknown = [] if switch.disabled is not None else [switch.source]
    if not _dig(instance, "status", "guestOSInfo", "id"):
        unknown.append("which system the guest runs (no guest agent)")
    security = _dig(instance, "spec", "domain", "launchSecurity") or {}
    unknown += [f"whether FPR works with {kind.upper()}" for kind in ("snp", "tdx") if kind in security]
    return tuple(unknown)


def _pending_restart(instance: Object, machine: Object | None, switch: Switch) -> str | None:
    """Say whether the template makes the next start differ from this one: KubeVirt does not say so itself."""
    then = expect_next_start(instance, machine, switch)
    if then == _expect(what_keeps_it_off(instance), switch):
        return None
    return f"its template {'disables' if then is False else 'no longer disables'} FPR: restart it"


def _name(obj: Object) -> str:
    metadata = obj.get("metadata", {})
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"


def _dig(tree: Any, *path: str) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree

"""The eligibility of a KubeVirt VM for FPR: the cluster's setting, and KubeVirt's rule on the VM.

Objects are the API's own, as dictionaries (kubectl get -o json). The rule is the same from KubeVirt 1.0 to 1.9
(isFreePageReportingEnabled in virt-launcher). It is applied when a VM starts; nothing changes it while the VM runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.effect import find_ineffective, find_unknown
from freepage.fpr.objects import has_ended, qualified_name, section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.fpr.objects import Object

ANNOTATION = "kubevirt.io/free-page-reporting-disabled"
# HyperConverged can be overridden behind its own field by this annotation.
JSON_PATCH = "kubevirt.kubevirt.io/jsonpatch"


@dataclass(frozen=True)
class ReportingSetting:
    """The cluster's setting: whether it enables FPR for its VMs (None: not known), and where that was read."""

    enabled: bool | None
    source: str

    def __str__(self) -> str:
        known = {None: "not known", True: "enabled", False: "disabled"}
        return f"{known[self.enabled]} ({self.source})"


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


def read_setting(objects: Iterable[Object]) -> ReportingSetting:
    """Read the cluster's setting: from the KubeVirt object, which decides, else from the HyperConverged object."""
    known = list(objects)
    for kubevirt in (o for o in known if o.get("kind") == "KubeVirt"):
        options = section(kubevirt, "spec", "configuration", "virtualMachineOptions")
        # A struct without fields: it is there, or it is not.
        return ReportingSetting(
            options.get("disableFreePageReporting") is None, f"KubeVirt {qualified_name(kubevirt)}"
        )
    for hyperconverged in (o for o in known if o.get("kind") == "HyperConverged"):
        return _read_hyperconverged(hyperconverged)
    return ReportingSetting(None, "neither a KubeVirt nor a HyperConverged object was given")


def _read_hyperconverged(hyperconverged: Object) -> ReportingSetting:
    """Read the boolean where its version has it; the API server writes out its default."""
    version = str(hyperconverged.get("apiVersion", "")).rpartition("/")[2]
    above = ("virtualization",) if version == "v1" else ()
    options = section(hyperconverged, "spec", *above, "virtualMachineOptions")
    source = f"HyperConverged {qualified_name(hyperconverged)} ({version})"
    if "virtualMachineOptions" in str(section(hyperconverged, "metadata", "annotations").get(JSON_PATCH, "")):
        return ReportingSetting(None, f"{source} overrides its own setting by the annotation {JSON_PATCH}")
    disabled = options.get("disableFreePageReporting")
    return ReportingSetting(not disabled if isinstance(disabled, bool) else None, source)


def assess_all(objects: Iterable[Object]) -> tuple[ReportingSetting, list[Eligibility]]:
    """Assess every VM among the objects: running ones by their VirtualMachineInstance, stopped ones by their template.

    An instance that has ended does not run; without a VirtualMachine it is no VM any more.
    """
    known = list(objects)
    setting = read_setting(known)
    vms = {qualified_name(o): o for o in known if o.get("kind") == "VirtualMachine"}
    instances = [o for o in known if o.get("kind") == "VirtualMachineInstance"]
    running = {qualified_name(o): o for o in instances if not has_ended(o)}
    assessed = [assess_instance(o, setting, vms.get(name)) for name, o in running.items()]
    assessed += [assess_vm(o, setting) for name, o in vms.items() if name not in running]
    return setting, sorted(assessed, key=lambda e: (e.namespace, e.name))


def assess_instance(instance: Object, setting: ReportingSetting, vm: Object | None = None) -> Eligibility:
    """Assess a running VM; `vm` is its VirtualMachine, whose template the next start will take."""
    exclusions = find_exclusions(instance)
    metadata = section(instance, "metadata")
    return Eligibility(
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        running=True,
        node=section(instance, "status").get("nodeName"),
        expected=_expect(exclusions, setting),
        because=(*_by_cluster(setting), *exclusions),
        ineffective=find_ineffective(instance),
        unknown=(*_unknown_setting(setting), *find_unknown(instance)),
        restart=_pending_restart(instance, vm, setting),
    )


def assess_vm(vm: Object, setting: ReportingSetting) -> Eligibility:
    """Assess a VM that does not run, by its template; an instance type or a preference may add an exclusion."""
    template = section(vm, "spec", "template")
    exclusions = find_exclusions(template)
    metadata = section(vm, "metadata")
    typed = _is_typed(vm)
    unknown = (
        "what its instance type or preference adds (dedicated CPUs, realtime, huge pages, no balloon) "
        "is seen once it runs"
    )
    expected = _expect(exclusions, setting)
    return Eligibility(
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        running=False,
        node=None,
        expected=None if typed and expected else expected,
        because=(*_by_cluster(setting), *exclusions),
        ineffective=find_ineffective(template),
        unknown=(*((unknown,) if typed else ()), *_unknown_setting(setting)),
    )


def expect_next_start(instance: Object, vm: Object | None, setting: ReportingSetting) -> bool | None:
    """Return whether FPR will be on once a running VM has been stopped and started (None: not known)."""
    return _expect(find_exclusions(_as_started_next(instance, vm)), setting)


def _as_started_next(instance: Object, vm: Object | None) -> Object:
    """Return the instance as its VirtualMachine would create it now.

    An instance type or a preference adds to the template what only the running instance shows; then the annotations
    alone are taken from the template.
    """
    if vm is None:
        return instance
    template = section(vm, "spec", "template")
    spec = (instance if _is_typed(vm) else template).get("spec")
    return {"metadata": section(template, "metadata"), "spec": spec}


def _is_typed(vm: Object) -> bool:
    spec = section(vm, "spec")
    return spec.get("instancetype") is not None or spec.get("preference") is not None


def _expect(exclusions: tuple[str, ...], setting: ReportingSetting) -> bool | None:
    return False if exclusions else setting.enabled


def _by_cluster(setting: ReportingSetting) -> tuple[str, ...]:
    return (f"disabled for the whole cluster ({setting.source})",) if setting.enabled is False else ()


def _unknown_setting(setting: ReportingSetting) -> tuple[str, ...]:
    return (setting.source,) if setting.enabled is None else ()


def find_exclusions(instance: Object, *, annotated: bool = True) -> tuple[str, ...]:
    """Return which of KubeVirt's conditions keep FPR off for one VM, each by its field; its annotation only if `annotated`."""
    domain = section(instance, "spec", "domain")
    cpu, memory, devices = (section(domain, key) for key in ("cpu", "memory", "devices"))
    annotation = section(instance, "metadata", "annotations").get(ANNOTATION)
    conditions = {
        "spec.domain.devices.autoattachMemBalloon is false": devices.get("autoattachMemBalloon") is False,
        "dedicated CPUs (spec.domain.cpu.dedicatedCpuPlacement)": cpu.get("dedicatedCpuPlacement") is True,
        "realtime (spec.domain.cpu.realtime)": cpu.get("realtime") is not None,
        "huge pages (spec.domain.memory.hugepages)": memory.get("hugepages") is not None,
        f"annotation {ANNOTATION}": annotated and annotation == "true",
    }
    return tuple(words for words, met in conditions.items() if met)


def _pending_restart(instance: Object, vm: Object | None, setting: ReportingSetting) -> str | None:
    """Return what the next start would change by the template: KubeVirt does not report it itself."""
    then = expect_next_start(instance, vm, setting)
    if then == _expect(find_exclusions(instance), setting):
        return None
    return f"its template {'disables' if then is False else 'no longer disables'} FPR: restart it"

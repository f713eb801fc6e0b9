"""KubeVirt's rule for FPR: the cluster's setting, and what in a VM keeps FPR off.

The rule is the same from KubeVirt 1.0 to 1.9 (isFreePageReportingEnabled in virt-launcher). It is applied when a VM
starts; nothing changes it while the VM runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.fpr.objects import qualified_name, section

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


def hyperconverged_spec(hyperconverged: Object) -> Object:
    """Return the part of a HyperConverged's spec that is about VMs: v1 has it one level deeper than v1beta1."""
    deeper = ("virtualization",) if _version_of(hyperconverged) == "v1" else ()
    return section(hyperconverged, "spec", *deeper)


def _version_of(obj: Object) -> str:
    return str(obj.get("apiVersion", "")).rpartition("/")[2]


def _read_hyperconverged(hyperconverged: Object) -> ReportingSetting:
    """Read the boolean where its version has it; the API server writes out its default."""
    options = section(hyperconverged_spec(hyperconverged), "virtualMachineOptions")
    source = f"HyperConverged {qualified_name(hyperconverged)} ({_version_of(hyperconverged)})"
    if "virtualMachineOptions" in str(section(hyperconverged, "metadata", "annotations").get(JSON_PATCH, "")):
        return ReportingSetting(None, f"{source} overrides its own setting by the annotation {JSON_PATCH}")
    disabled = options.get("disableFreePageReporting")
    return ReportingSetting(not disabled if isinstance(disabled, bool) else None, source)


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

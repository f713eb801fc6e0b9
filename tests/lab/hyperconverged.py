"""HyperConverged: its two versions of one object, and the operator that carries it to the KubeVirt object."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from lab.kubevirt import KUBEVIRTS
from lab.store import copied, namespaced_name, timestamp

if TYPE_CHECKING:
    from lab.seams import Object
    from lab.store import MemoryStore

HYPERCONVERGEDS = ("hco.kubevirt.io", "hyperconvergeds")
NAME = "kubevirt-hyperconverged"
KUBEVIRT_NAME = "kubevirt-kubevirt-hyperconverged"
JSON_PATCH = "kubevirt.kubevirt.io/jsonpatch"
# How long the operator takes to act.
DELAY_S = 1.0

Path = tuple[str, ...]
_VIRTUALIZATION = (
    "evictionStrategy",
    "higherWorkloadDensity",
    "ksmConfiguration",
    "liveMigrationConfig",
    "liveUpdateConfiguration",
    "mediatedDevicesConfiguration",
    "permittedHostDevices",
    "roleAggregationStrategy",
    "tuningPolicy",
    "workloadUpdateStrategy",
)
# Where a value stands in v1beta1, and where in v1. What is not listed (feature gates, obsolete CPUs) is seen in v1beta1 only.
MOVES: tuple[tuple[Path, Path], ...] = (
    *(((key,), ("virtualization", key)) for key in _VIRTUALIZATION),
    *(
        (("virtualMachineOptions", key), ("virtualization", "virtualMachineOptions", key))
        for key in ("disableFreePageReporting", "disableSerialConsoleLog")
    ),
    *(
        ((key,), ("virtualization", "virtualMachineOptions", key))
        for key in ("defaultCPUModel", "defaultRuntimeClass")
    ),
    (("resourceRequirements", "vmiCPUAllocationRatio"), ("virtualization", "vmiCPUAllocationRatio")),
    (("resourceRequirements", "storageWorkloads"), ("storage", "workloadResourceRequirements")),
    (("infra", "nodePlacement"), ("deployment", "nodePlacements", "infra")),
    (("workloads", "nodePlacement"), ("deployment", "nodePlacements", "workload")),
    (("deployVmConsoleProxy",), ("deployment", "deployVmConsoleProxy")),
    (("enableApplicationAwareQuota",), ("deployment", "applicationAwareConfig", "enable")),
    (("logVerbosityConfig",), ("deployment", "logVerbosityConfig")),
    (("uninstallStrategy",), ("deployment", "uninstallStrategy")),
    (("certConfig",), ("security", "certConfig")),
    (("tlsSecurityProfile",), ("security", "tlsSecurityProfile")),
    (("enableCommonBootImageImport",), ("workloadSources", "enableCommonBootImageImport")),
    (("commonTemplatesNamespace",), ("workloadSources", "commonTemplatesNamespace")),
)


def to_v1(stored: Object) -> Object:
    """Return a stored (v1beta1) object as v1."""
    spec: Object = {}
    for old, new in MOVES:
        _put(spec, new, _take(stored.get("spec") or {}, old))
    return {**stored, "apiVersion": "hco.kubevirt.io/v1", "spec": spec}


def from_v1(obj: Object, stored: Object | None) -> Object:
    """Return a v1 object as it is stored; what v1 cannot say stays as `stored` has it."""
    spec = copied((stored or {}).get("spec") or {})
    for old, new in MOVES:
        _put(spec, old, _take(obj.get("spec") or {}, new))
    return {**obj, "apiVersion": "hco.kubevirt.io/v1beta1", "spec": spec}


def _take(tree: Object, path: Path) -> object:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return copied(tree)


def _put(tree: Object, path: Path, value: object) -> None:
    """Set a value at a path; None takes away what is there."""
    *above, last = path
    for key in above:
        if value is None and key not in tree:
            return
        tree = tree.setdefault(key, {})
    if value is None:
        tree.pop(last, None)
    else:
        tree[last] = value


async def run_operator(store: MemoryStore, delay_s: float = DELAY_S) -> None:
    """Carry every change of the HyperConverged object to KubeVirt's, and revert what others change there until cancelled."""
    changed = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for key in (HYPERCONVERGEDS, KUBEVIRTS):
            group.create_task(_notice(store, key, changed))
        while True:
            await changed.wait()
            await asyncio.sleep(delay_s)
            changed.clear()
            for hyperconverged in store.list(HYPERCONVERGEDS):
                _reconcile(store, hyperconverged)


async def _notice(store: MemoryStore, key: tuple[str, str], changed: asyncio.Event) -> None:
    async for _ in store.watch(key):
        changed.set()


def _reconcile(store: MemoryStore, hyperconverged: Object) -> None:
    namespace, name = namespaced_name(hyperconverged)
    with contextlib.suppress(KeyError):
        kubevirt = store.get(KUBEVIRTS, namespace, KUBEVIRT_NAME)
        kubevirt["spec"] = build_kubevirt_spec(hyperconverged)
        store.update(KUBEVIRTS, kubevirt)
        store.merge(HYPERCONVERGEDS, namespace, name, {"status": build_status(hyperconverged)})


def build_kubevirt_spec(hyperconverged: Object) -> Object:
    """Return the KubeVirt spec an HyperConverged object asks for: the parts of it that concern memory."""
    spec = hyperconverged.get("spec") or {}
    configuration: Object = {"vmRolloutStrategy": "LiveUpdate"}
    options = {
        key: {}
        for key in ("disableFreePageReporting", "disableSerialConsoleLog")
        if (spec.get("virtualMachineOptions") or {}).get(key)
    }
    if options:
        configuration["virtualMachineOptions"] = options
    overcommit = (spec.get("higherWorkloadDensity") or {}).get("memoryOvercommitPercentage", 100)
    configuration["developerConfiguration"] = {"memoryOvercommit": overcommit}
    if "ksmConfiguration" in spec:
        configuration["ksmConfiguration"] = copied(spec["ksmConfiguration"])
    kubevirt: Object = {"spec": {"configuration": configuration}}
    for change in _patches(hyperconverged):
        _apply(kubevirt, change)
    return kubevirt["spec"]


def _patches(hyperconverged: Object) -> list[Object]:
    annotations = hyperconverged["metadata"].get("annotations") or {}
    try:
        return json.loads(annotations.get(JSON_PATCH, "[]"))
    except ValueError:
        return []


def _apply(kubevirt: Object, change: Object) -> None:
    """Apply one step of a JSON patch: add, replace or remove in nested objects."""
    path = change["path"].strip("/").split("/")
    _put(kubevirt, tuple(path), None if change["op"] == "remove" else copied(change["value"]))


def build_status(hyperconverged: Object) -> Object:
    """Return the status of an operator that has done what it was asked."""
    wanted = [("ReconcileComplete", "True"), ("Available", "True"), ("Progressing", "False")]
    wanted += [("Degraded", "False"), ("Upgradeable", "True")]
    conditions = [(name, status, "ReconcileCompleted") for name, status in wanted]
    if _patches(hyperconverged):
        conditions.append(("TaintedConfiguration", "True", "UnsupportedFeatureAnnotation"))
    return {
        "observedGeneration": hyperconverged["metadata"]["generation"],
        "versions": [{"name": "operator", "version": "1.18.1"}],
        "systemHealthStatus": "healthy",
        "conditions": [build_condition(*c, hyperconverged.get("status", {})) for c in conditions],
    }


def build_condition(name: str, status: str, reason: str, before: Object) -> Object:
    """Return one condition, with the time it last changed."""
    for known in before.get("conditions") or ():
        if (known["type"], known["status"], known["reason"]) == (name, status, reason):
            return known
    return {
        "type": name,
        "status": status,
        "reason": reason,
        "message": "",
        "lastTransitionTime": timestamp(),
    }

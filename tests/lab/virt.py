"""KubeVirt: virt-controller, which makes VMIs of VMs and launcher pods of VMIs, and virt-handler, which starts the guests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from lab.controllers import drop_finalizer
from lab.events import record, set_condition
from lab.kubelet import open_socket
from lab.kubevirt import INSTANCES, KUBEVIRTS, VMS, run_strategy
from lab.pods import PODS
from lab.seams import NotStartedError
from lab.store import copied, namespaced_name, timestamp
from lab.virt_objects import FINALIZER, build_instance, build_launcher, describe_running
from lab.work import WorkQueue

if TYPE_CHECKING:
    from lab.kubelet import Node
    from lab.seams import Object
    from lab.store import MemoryStore

CREATED_BY = "kubevirt.io/created-by"
OPT_OUT = "kubevirt.io/free-page-reporting-disabled"
FINAL = ("Succeeded", "Failed")
RETRY_S = 0.1
SYNC_RETRY_S = 3.0


def decides_for_reporting(instance: Object, kubevirt: Object) -> bool:
    """Follow KubeVirt's rule: free page reporting is on unless one of six things speaks against it."""
    configuration = (kubevirt.get("spec") or {}).get("configuration") or {}
    options = configuration.get("virtualMachineOptions") or {}
    domain = instance["spec"]["domain"]
    cpu = domain.get("cpu") or {}
    annotations = instance["metadata"].get("annotations") or {}
    return not (
        options.get("disableFreePageReporting") is not None
        or (domain.get("devices") or {}).get("autoattachMemBalloon") is False
        or cpu.get("dedicatedCpuPlacement")
        or cpu.get("realtime") is not None
        or (domain.get("memory") or {}).get("hugepages") is not None
        or annotations.get(OPT_OUT) == "true"
    )


class Virt:
    """KubeVirt's controllers for all nodes; `accelerator` executes the guests."""

    def __init__(self, store: MemoryStore, nodes: dict[str, Node], accelerator: str) -> None:
        self._store = store
        self._nodes = nodes
        self._accelerator = accelerator
        self._launchers: dict[str, Object] = {}
        self._templates: dict[str, Object] = {}
        self._vms = WorkQueue(self._look_at_vm)
        self._instances = WorkQueue(self._look_at_instance)

    async def run(self) -> None:
        """Do what the objects ask for until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (
                self._vms.run,
                self._instances.run,
                self._follow_vms,
                self._follow_instances,
            ):
                group.create_task(work())
            group.create_task(self._follow_pods())

    async def _follow_vms(self) -> None:
        async for _, vm in self._store.watch(VMS):
            self._vms.touch(namespaced_name(vm))

    async def _follow_instances(self) -> None:
        async for change, instance in self._store.watch(INSTANCES):
            if change == "DELETED":
                self._launchers.pop(instance["metadata"]["uid"], None)
            self._instances.touch(namespaced_name(instance))
            # A VM has the name of its instance.
            self._vms.touch(namespaced_name(instance))

    async def _follow_pods(self) -> None:
        async for change, pod in self._store.watch(PODS):
            owner = (pod["metadata"].get("labels") or {}).get(CREATED_BY)
            if owner is not None:
                self._launchers[owner] = {**pod, "gone": change == "DELETED"}
                name = (pod["metadata"].get("annotations") or {}).get("kubevirt.io/domain", "")
                self._instances.touch((pod["metadata"]["namespace"], name))

    async def _look_at_instance(self, namespace: str, name: str) -> float | None:
        try:
            instance = self._store.get(INSTANCES, namespace, name)
        except KeyError:
            return None
        pod = self._launchers.get(instance["metadata"]["uid"])
        phase = (instance.get("status") or {}).get("phase", "")
        if instance["metadata"].get("deletionTimestamp"):
            self._end_instance(instance, pod)
        elif phase not in FINAL and pod is None:
            self._start_launcher(instance, phase)
        elif phase not in FINAL:
            return await self._follow_launcher(instance, pod, phase)
        return None

    def _end_instance(self, instance: Object, pod: Object | None) -> None:
        if pod is None or pod["gone"]:
            drop_finalizer(self._store, INSTANCES, instance, FINALIZER)
        elif not pod["metadata"].get("deletionTimestamp"):
            with contextlib.suppress(KeyError):
                self._store.end(PODS, *namespaced_name(pod))

    def _start_launcher(self, instance: Object, phase: str) -> None:
        """Make the pod of a new instance; one that others say has begun is not ours."""
        if phase not in {"", "Pending"}:
            return
        kubevirt = self._find_kubevirt()
        pod = self._store.create(PODS, build_launcher(instance, kubevirt, self._accelerator))
        self._launchers[instance["metadata"]["uid"]] = {**pod, "gone": False}
        self._store.merge(INSTANCES, *namespaced_name(instance), {"metadata": {"finalizers": [FINALIZER]}})
        record(
            self._store,
            instance,
            "SuccessfulCreate",
            f"Created virtual machine pod {pod['metadata']['name']}",
            by="virtualmachine-controller",
        )
        self._set_phase(instance, "Scheduling")

    async def _follow_launcher(self, instance: Object, pod: Object, phase: str) -> float | None:
        pod_phase = (pod.get("status") or {}).get("phase", "Pending")
        if pod["gone"] or pod_phase in FINAL:
            self._set_phase(instance, "Succeeded" if pod_phase == "Succeeded" else "Failed")
        elif phase == "Scheduling" and pod_phase == "Pending":
            self._report_obstacles(instance, pod)
        elif phase == "Scheduling" and pod_phase == "Running":
            node = pod["spec"]["nodeName"]
            labels = {"kubevirt.io/nodeName": node}
            self._store.merge(INSTANCES, *namespaced_name(instance), {"metadata": {"labels": labels}})
            self._set_phase(instance, "Scheduled", {"nodeName": node})
        elif phase == "Scheduled":
            return await self._start_domain(instance, pod)
        return None

    def _report_obstacles(self, instance: Object, pod: Object) -> None:
        """Record in the instance's conditions why its pod does not start."""
        status = copied(instance.get("status") or {})
        for condition in pod["status"].get("conditions") or []:
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                set_condition(status, "PodScheduled", False, condition["reason"], condition["message"])
        kinds = ("initContainerStatuses", "containerStatuses")
        statuses = [c for kind in kinds for c in pod["status"].get(kind) or []]
        waiting = [c["state"].get("waiting") or {} for c in statuses]
        failed = next((w for w in waiting if w.get("reason") in {"ErrImagePull", "ImagePullBackOff"}), None)
        if failed is not None:
            set_condition(status, "Synchronized", False, failed["reason"], failed["message"])
        if status != instance.get("status"):
            self._write_status(instance, status)

    async def _start_domain(self, instance: Object, pod: Object) -> float | None:
        """Be virt-handler: have the launcher define the domain, with the cluster's choice as it is now."""
        reporting = decides_for_reporting(instance, self._find_kubevirt())
        request = {"command": "sync", "instance": instance, "reporting": reporting}
        node = self._nodes[pod["spec"]["nodeName"]]
        try:
            await ask_launcher(
                node, *namespaced_name(instance), {**request, "accelerator": self._accelerator}
            )
        except (KeyError, OSError, NotStartedError):
            return RETRY_S
        except LauncherError as error:
            self._report_failure(instance, str(error))
            return SYNC_RETRY_S
        self._set_phase(instance, "Running", describe_running(instance, pod))
        record(self._store, instance, "Started", "VirtualMachineInstance started.", by="virt-handler")
        return None

    def _report_failure(self, instance: Object, said: str) -> None:
        message = f'server error. command SyncVMI failed: "{said}"'
        record(self._store, instance, "SyncFailed", message, by="virt-handler", warning=True)
        status = copied(instance["status"])
        set_condition(status, "Synchronized", False, "Synchronizing with the Domain failed.", message)
        self._write_status(instance, status)

    def _set_phase(self, instance: Object, phase: str, more: Object | None = None) -> None:
        status = {**copied(instance.get("status") or {}), **(more or {}), "phase": phase}
        moments = status.setdefault("phaseTransitionTimestamps", [])
        moments.append({"phase": phase, "phaseTransitionTimestamp": timestamp()})
        running = phase == "Running"
        words = ("", "") if running else ("GuestNotRunning", "Guest VM is not reported as running")
        set_condition(status, "Ready", running, *words)
        status["conditions"] = [
            c for c in status["conditions"] if not (running and c["type"] == "Synchronized")
        ]
        self._write_status(instance, status)

    def _write_status(self, instance: Object, status: Object) -> None:
        with contextlib.suppress(KeyError):
            self._store.merge(INSTANCES, *namespaced_name(instance), {"status": status})

    def _find_kubevirt(self) -> Object:
        return next(iter(self._store.list(KUBEVIRTS)), {})

    async def _look_at_vm(self, namespace: str, name: str) -> float | None:
        try:
            vm = self._store.get(VMS, namespace, name)
        except KeyError:
            return None
        instance = self._find_instance(vm)
        requests = (vm.get("status") or {}).get("stateChangeRequests") or []
        left = [r for r in requests if not self._is_done(r, instance)]
        if not vm["metadata"].get("deletionTimestamp"):
            if instance is not None and self._should_end(vm, instance, left):
                self._store.end(INSTANCES, namespace, name)
            elif instance is None and self._should_start(vm, left):
                created = self._store.create(INSTANCES, build_instance(vm))
                self._templates[created["metadata"]["uid"]] = vm["spec"]["template"]["spec"]
                left = [r for r in left if r["action"] != "Start"]
        self._describe_vm(vm, self._find_instance(vm), left)
        return None

    def _find_instance(self, vm: Object) -> Object | None:
        """Return a VM's instance; another one of its name is not its own."""
        try:
            found = self._store.get(INSTANCES, *namespaced_name(vm))
        except KeyError:
            return None
        owners = [owner["uid"] for owner in found["metadata"].get("ownerReferences") or []]
        return found if vm["metadata"]["uid"] in owners else None

    @staticmethod
    def _is_done(request: Object, instance: Object | None) -> bool:
        if request["action"] == "Stop":
            return instance is None or instance["metadata"]["uid"] != request["uid"]
        return False

    @staticmethod
    def _should_end(vm: Object, instance: Object, requests: list[Object]) -> bool:
        if instance["metadata"].get("deletionTimestamp"):
            return False
        strategy, phase = run_strategy(vm), (instance.get("status") or {}).get("phase")
        again = (strategy == "Always" and phase in FINAL) or (
            strategy == "RerunOnFailure" and phase == "Failed"
        )
        return strategy == "Halted" or again or any(r["action"] == "Stop" for r in requests)

    @staticmethod
    def _should_start(vm: Object, requests: list[Object]) -> bool:
        asked = any(r["action"] == "Start" for r in requests) and not any(
            r["action"] == "Stop" for r in requests
        )
        fresh = "printableStatus" not in (vm.get("status") or {})
        strategy = run_strategy(vm)
        return asked or strategy == "Always" or (strategy in {"RerunOnFailure", "Once"} and fresh)

    def _describe_vm(self, vm: Object, instance: Object | None, requests: list[Object]) -> None:
        status = copied(vm.get("status") or {})
        conditions = (instance or {}).get("status", {}).get("conditions") or []
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        status |= {
            "created": instance is not None,
            "ready": ready,
            "printableStatus": printable_status(instance),
            "runStrategy": run_strategy(vm),
            "observedGeneration": vm["metadata"]["generation"],
            "desiredGeneration": vm["metadata"]["generation"],
            "stateChangeRequests": requests,
        }
        words = ("", "") if ready else ("VMINotExists", "VMI does not exist")
        set_condition(status, "Ready", ready, *words)
        started_as = self._templates.get((instance or {}).get("metadata", {}).get("uid", ""))
        status["conditions"] = [c for c in status["conditions"] if c["type"] != "RestartRequired"]
        if started_as is not None and started_as != vm["spec"]["template"]["spec"]:
            message = "a non-live-updatable field was changed in the template spec"
            set_condition(status, "RestartRequired", value=True, message=message)
        if status != vm.get("status"):
            with contextlib.suppress(KeyError):
                self._store.merge(VMS, *namespaced_name(vm), {"status": status})


def printable_status(instance: Object | None) -> str:
    """Return what people see of a VM's state."""
    if instance is None:
        return "Stopped"
    status = instance.get("status") or {}
    if instance["metadata"].get("deletionTimestamp"):
        return "Stopping"
    reasons = {
        c["type"]: c.get("reason", "") for c in status.get("conditions") or [] if c["status"] == "False"
    }
    if status.get("phase") in FINAL:
        return "Stopped"
    if reasons.get("PodScheduled") == "Unschedulable":
        return "ErrorUnschedulable"
    if reasons.get("Synchronized") in {"ErrImagePull", "ImagePullBackOff"}:
        return reasons["Synchronized"]
    return "Running" if status.get("phase") == "Running" else "Starting"


class LauncherError(Exception):
    """A request to a launcher failed; with the launcher's message."""


async def ask_launcher(node: Node, namespace: str, instance: str, request: Object) -> Object:
    """Ask a VM's launcher; LauncherError when it says no, KeyError, OSError when it is not there (yet)."""
    runner = node.find_launcher(namespace, instance)
    reader, writer = await open_socket(runner.volume_folder("sockets") / "launcher-sock")
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise ConnectionError("the launcher ended")
    reply = json.loads(line)
    if "error" in reply:
        raise LauncherError(reply["error"])
    return reply["result"]

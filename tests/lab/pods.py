"""One pod on its node, from its volumes to its end, and what its status says meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lab.bundle import ConfigError, Surroundings, build_config, check_supported
from lab.container import Container, Ending, StartError
from lab.events import record, set_condition
from lab.images import PullError
from lab.logs import ContainerLog
from lab.store import timestamp
from lab.volumes import MountError, build_mounts, image_volumes, write_volume

if TYPE_CHECKING:
    from pathlib import Path

    from lab.images import Image
    from lab.kubelet import Node
    from lab.seams import Object

PODS = ("", "pods")
# A kubelet's own are longer (10 s at first for images, up to 2 min for volumes); a test need not wait for them.
RETRY_S = 1.0
PULL_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
_START_FAILED = 128


class _StoppedError(Exception):
    """The pod is to end; what was waited for is not needed any more."""


class PodRunner:
    """Runs one pod; `containers` and `logs` are the newest of each of its containers, by name."""

    def __init__(self, node: Node, pod: Object) -> None:
        self.node = node
        self.pod = pod
        self.name = pod["metadata"]["name"]
        self.namespace = pod["metadata"]["namespace"]
        self.uid = pod["metadata"]["uid"]
        self.folder = node.folder / "pods" / self.uid
        self.containers: dict[str, Container] = {}
        self.logs: dict[str, ContainerLog] = {}
        self.status = {**(pod.get("status") or {}), "startTime": timestamp(), "phase": "Pending"}
        self._spec = pod["spec"]
        self.specs = [*(self._spec.get("initContainers") or []), *self._spec["containers"]]
        self._reports = {spec["name"]: _report(spec) for spec in self.specs}
        self._stopping = asyncio.Event()
        self._deleted = asyncio.Event()
        self._only_sidecars_left = False
        self._grace_s = float(self._spec.get("terminationGracePeriodSeconds", 30))
        self.task = asyncio.create_task(self._run())

    def end(self, grace_s: float) -> None:
        """Have the pod end and be forgotten; asked again, it may end sooner."""
        self._grace_s = min(self._grace_s, grace_s) if self._deleted.is_set() else grace_s
        self._deleted.set()
        self._stopping.set()
        if grace_s == 0:
            self._signal_all(signal.SIGKILL)

    def volume_folder(self, name: str) -> Path:
        return self.folder / "volumes" / name

    def cgroup(self) -> str:
        """Return the pod's cgroup, below a controller of version 1 or the one tree of version 2."""
        return f"{self.node.cgroup}/kubepods/pod{self.uid}"

    def waiting_reason(self, container: str) -> str:
        return self._reports[container]["state"].get("waiting", {}).get("reason", "ContainerCreating")

    async def _run(self) -> None:
        try:
            refused = check_supported(self.pod)
            if refused:
                self._finish("Failed", "UnsupportedByTestCluster", refused)
            else:
                await self._run_to_its_end()
            await self._deleted.wait()
        finally:
            self._remove()

    async def _run_to_its_end(self) -> None:
        life = asyncio.create_task(self._live())
        stopping = asyncio.create_task(self._stopping.wait())
        limit_s = self._spec.get("activeDeadlineSeconds")
        await asyncio.wait({life, stopping}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        late = not life.done() and not stopping.done()
        self._stopping.set()
        await self._stop(life)
        if late:
            message = "Pod was active on the node longer than the specified deadline"
            self._finish("Failed", "DeadlineExceeded", message)
            self._record("DeadlineExceeded", message)
        else:
            self._finish(self._final_phase())
        life.result()

    async def _live(self) -> None:
        sidecars: list[asyncio.Task[None]] = []
        with contextlib.suppress(_StoppedError):
            self._publish()
            await self._write_volumes()
            if await self._initialise(sidecars):
                policy = self._spec.get("restartPolicy", "Always")
                await asyncio.gather(*(self._keep_running(c, policy) for c in self._spec["containers"]))
        self._only_sidecars_left = True
        if sidecars:
            await self._stop_containers()
            await asyncio.gather(*sidecars)

    async def _initialise(self, sidecars: list[asyncio.Task[None]]) -> bool:
        """Start the sidecars and run what comes before the containers; False when that fails."""
        policy = "Never" if self._spec.get("restartPolicy") == "Never" else "OnFailure"
        for spec in self._spec.get("initContainers") or []:
            if spec.get("restartPolicy") == "Always":
                sidecars.append(asyncio.create_task(self._keep_running(spec, "Always")))
                while "running" not in self._reports[spec["name"]]["state"]:
                    await self._pause(0.02)
            else:
                await self._keep_running(spec, policy)
                if self._exit_code(spec) != 0:
                    return False
        set_condition(self.status, "Initialized", value=True)
        return True

    async def _keep_running(self, spec: Object, policy: str) -> None:
        """Run a container, and again where the policy says so."""
        pause_s = RETRY_S
        with contextlib.suppress(_StoppedError):
            while True:
                await self._run_once(spec)
                again = policy == "Always" or (policy == "OnFailure" and self._exit_code(spec) != 0)
                if not again or self._only_sidecars_left:
                    return
                report = self._reports[spec["name"]]
                report["lastState"] = report["state"]
                self._wait_with(
                    spec, "CrashLoopBackOff", f"back-off {pause_s:.0f}s restarting failed container"
                )
                await self._pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                report["restartCount"] += 1

    async def _run_once(self, spec: Object) -> None:
        identity = secrets.token_hex(32)
        config, image = await self._configure(spec, identity)
        container = self._create(spec, identity)
        try:
            stdin = spec.get("stdin", False)
            await container.start(config, image, stdin=stdin, stdin_once=spec.get("stdinOnce", False))
            self._set_running(spec, container)
            self._set_ended(spec, await container.wait())
        except StartError as error:
            now = time.time()
            self._set_ended(spec, Ending(_START_FAILED, "StartError", 0, now, str(error)))
            self._record("Failed", f"Error: {error}")
        finally:
            await container.remove()

    def _create(self, spec: Object, identity: str) -> Container:
        home = self.folder / "containers" / spec["name"]
        home.mkdir(parents=True, exist_ok=True)
        number = self._reports[spec["name"]]["restartCount"]
        self.logs[spec["name"]] = log = ContainerLog(home / f"{number}.log")
        return Container(identity, home / str(number), self.node.state, log)

    async def _configure(self, spec: Object, identity: str) -> tuple[dict[str, Any], Image]:
        """Pull what a container needs and return its configuration, however long that takes."""
        image = await self._pull(spec, spec["image"], spec.get("imagePullPolicy"))
        wanted = image_volumes(self.pod, spec).items()
        volumes = {name: await self._pull(spec, v["reference"], v.get("pullPolicy")) for name, v in wanted}
        mounts = build_mounts(self.pod, spec, self.volume_folder, volumes)
        cgroup = f"{self.cgroup()}/{identity}"
        surroundings = Surroundings(
            cgroup, self.node.cgroup_version, self._spec.get("hostname") or self.name, mounts
        )
        while True:
            try:
                config = build_config(self.pod, spec, image, surroundings)
            except ConfigError as error:
                self._wait_with(spec, "CreateContainerConfigError", str(error))
                self._record("Failed", f"Error: {error}")
                await self._pause(LONGEST_PAUSE_S)
            else:
                self._reports[spec["name"]].update(
                    imageID=f"{spec['image'].partition('@')[0]}@{image.digest}",
                    containerID=f"containerd://{identity}",
                )
                return config, image

    async def _pull(self, spec: Object, reference: str, policy: str | None) -> Image:
        pause_s = PULL_PAUSE_S
        while True:
            try:
                return await self.node.images.pull(reference, policy)
            except PullError as error:
                self._wait_with(spec, error.reason, str(error))
                self._record("Failed", f'Failed to pull image "{reference}": {error}')
                self._record("Failed", f"Error: {error.reason}")
                await self._pause(RETRY_S)
                if error.reason == "ErrImagePull":
                    said = f'Back-off pulling image "{reference}"'
                    self._wait_with(spec, "ImagePullBackOff", f"{said}: {error.reason}: {error}")
                    self._record("BackOff", said)
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _write_volumes(self) -> None:
        group = (self._spec.get("securityContext") or {}).get("fsGroup")
        for volume in self._spec.get("volumes") or []:
            folder = self.volume_folder(volume["name"])
            while True:
                try:
                    write_volume(volume, folder, self.node.store, self.namespace, group)
                    break
                except MountError as error:
                    self._record("FailedMount", str(error))
                await self._pause(RETRY_S)

    async def _stop(self, life: asyncio.Task[None]) -> None:
        """End what still runs: SIGTERM, and SIGKILL when the grace period is over."""
        if not life.done():
            self._record("Killing", "Stopping containers", warning=False)
            await self._stop_containers()
            await asyncio.wait({life})

    async def _stop_containers(self) -> None:
        self._signal_all(signal.SIGTERM)
        deadline_s = time.monotonic() + self._grace_s
        while any(not c.ended.is_set() for c in self.containers.values()) and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)
            deadline_s = min(deadline_s, time.monotonic() + self._grace_s)
        self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for container in self.containers.values():
            container.signal(number)

    async def _pause(self, seconds: float) -> None:
        """Wait; raises _StoppedError as soon as the pod is to end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        if self._stopping.is_set():
            raise _StoppedError

    def _set_running(self, spec: Object, container: Container) -> None:
        self.containers[spec["name"]] = container
        report = self._reports[spec["name"]]
        report.update(state={"running": {"startedAt": _time(container.started_s)}}, ready=True, started=True)
        if all("running" in self._reports[c["name"]]["state"] for c in self._spec["containers"]):
            self.status["phase"] = "Running"
        self._record("Started", f"Started container {spec['name']}", warning=False)
        self._publish()
        if self._stopping.is_set() or self._only_sidecars_left:
            container.signal(signal.SIGKILL)

    def _set_ended(self, spec: Object, ending: Ending) -> None:
        report = self._reports[spec["name"]]
        ended = {
            "exitCode": ending.exit_code,
            "reason": ending.reason,
            "startedAt": _time(ending.started_s),
            "finishedAt": _time(ending.finished_s),
            "containerID": report.get("containerID", ""),
            **({"message": ending.message} if ending.message else {}),
        }
        report.update(state={"terminated": ended}, ready=False, started=False)
        self._publish()

    def _wait_with(self, spec: Object, reason: str, message: str) -> None:
        report = self._reports[spec["name"]]
        report.update(state={"waiting": {"reason": reason, "message": message}}, ready=False, started=False)
        self._publish()

    def _exit_code(self, spec: Object) -> int | None:
        return self._reports[spec["name"]]["state"].get("terminated", {}).get("exitCode")

    def _final_phase(self) -> str:
        needed = [spec for spec in self.specs if spec.get("restartPolicy") != "Always"]
        return "Succeeded" if all(self._exit_code(spec) == 0 for spec in needed) else "Failed"

    def _finish(self, phase: str, reason: str = "", message: str = "") -> None:
        self.status["phase"] = phase
        self.status.update({"reason": reason, "message": message} if reason else {})
        self._publish()

    def _publish(self) -> None:
        """Write the status, unless the pod is gone or another has its name by now."""
        counted = {spec["name"] for spec in self._spec["containers"]}
        ready = all(self._reports[name]["ready"] for name in counted)
        over = "PodCompleted" if self.status["phase"] in {"Succeeded", "Failed"} else "ContainersNotReady"
        for kind in ("Ready", "ContainersReady"):
            set_condition(self.status, kind, ready, "" if ready else over)
        first = [report for name, report in self._reports.items() if name not in counted]
        self.status |= {
            "hostIP": self.node.address,
            "qosClass": qos_class(self._spec),
            "containerStatuses": [self._reports[spec["name"]] for spec in self._spec["containers"]],
            **({"initContainerStatuses": first} if first else {}),
        }
        if self.node.knows(self.pod):
            self.node.store.merge(PODS, self.namespace, self.name, {"status": self.status})

    def _record(self, reason: str, message: str, *, warning: bool = True) -> None:
        if self.node.knows(self.pod):
            record(self.node.store, self.pod, reason, message, by="kubelet", warning=warning)

    def _remove(self) -> None:
        """Forget the pod: its files, its cgroups, and the object that was kept for it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.node.remove_cgroups(self.cgroup())
        if self.node.knows(self.pod):
            self.node.store.delete(PODS, self.namespace, self.name)


def qos_class(spec: Object) -> str:
    resources = [container.get("resources") or {} for container in spec["containers"]]
    if not any(r.get("requests") or r.get("limits") for r in resources):
        return "BestEffort"
    kinds = {"cpu", "memory"}
    fixed = all(
        kinds <= set(r.get("limits") or {})
        and all((r.get("requests") or r["limits"]).get(kind) == r["limits"][kind] for kind in kinds)
        for r in resources
    )
    return "Guaranteed" if fixed else "Burstable"


def _report(spec: Object) -> Object:
    return {
        "name": spec["name"],
        "image": spec["image"],
        "imageID": "",
        "state": {"waiting": {"reason": "ContainerCreating"}},
        "lastState": {},
        "ready": False,
        "started": False,
        "restartCount": 0,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

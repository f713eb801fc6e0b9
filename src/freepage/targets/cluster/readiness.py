"""Reads the status of pods, VMs and nodes: whether they are ready, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.kube.resources import dig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.kube.resources import Object

# A container that waits for one of these will not start, however long one waits.
HOPELESS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}
_NOT_PULLED = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull")
PULL_ADVICE = "is that the image's name and tag, and may the nodes pull it (--pull-secret NAME)?"
_ENDED = {"Failed", "Succeeded"}
_LAUNCHER_OF = "kubevirt.io/created-by"


def is_running(obj: Object) -> bool:
    return bool(dig(obj, "status", "phase") == "Running")


def is_started(pod: Object, container: str) -> bool:
    """Return whether a pod's container runs, an init container that goes on beside the others among them."""
    return any(
        status.get("name") == container and "running" in (status.get("state") or {})
        for status in _container_statuses(pod)
    )


def find_failure(obj: Object) -> str | None:
    """Return why a pod or VM will not run, or no longer runs; None while there is hope."""
    phase = dig(obj, "status", "phase")
    statuses = _container_statuses(obj)
    for status in statuses:
        waiting = dig(status, "state", "waiting") or {}
        if waiting.get("reason") in HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', 'no reason given')}"
    if phase in _ENDED:
        ended = [s for s in statuses if dig(s, "state", "terminated")]
        # An init container has done its work when it ends well, and one that goes on is ended with the others.
        failed = [s for s in ended if dig(s, "state", "terminated", "exitCode") != 0]
        for status in (failed or ended)[:1]:
            return f"its container {status.get('name')} ended: {_describe_end(status['state']['terminated'])}"
        reason = dig(obj, "status", "reason") or dig(obj, "status", "message") or "no reason given"
        return f"it {phase.lower()} ({reason})"
    if dig(obj, "metadata", "deletionTimestamp"):
        return "it was deleted"
    return None


def is_pull_failure(failure: str) -> bool:
    """Return whether a failure, as find_failure describes it, is that of an image."""
    return any(reason in failure for reason in _NOT_PULLED)


def describe_conditions(obj: Object) -> list[str]:
    """Describe every condition that keeps an object from running."""
    return [
        f"{c.get('type')} is {c.get('status')}: {c.get('reason', '')} {c.get('message', '')}".strip()
        for c in dig(obj, "status", "conditions") or ()
        if c.get("status") != "True" and (c.get("reason") or c.get("message"))
    ]


def describe_events(events: Iterable[Object], limit: int = 5) -> list[str]:
    """Describe the latest warnings of an object; where there are none, the last thing that happened to it."""
    ordered = sorted(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))
    warnings = [e for e in ordered if e.get("type") == "Warning"]
    last = warnings[-limit:] or [{**e, "reason": f"last event: {e.get('reason')}"} for e in ordered[-1:]]
    return [f"{e.get('reason')}: {e.get('message')}" for e in last]


def describe_state(obj: Object) -> list[str]:
    """Describe how far a pod or VM has come: its phase, and what its containers wait for."""
    waiting = [
        (status.get("name"), dig(status, "state", "waiting", "reason")) for status in _container_statuses(obj)
    ]
    return [
        f"its phase is {dig(obj, 'status', 'phase') or 'not known'}",
        *(f"its container {name} waits: {reason}" for name, reason in waiting if reason),
    ]


def was_launcher_of(vmi: Object, pod: Object) -> bool:
    """Return whether a pod carries this VM, or did."""
    uid = dig(vmi, "metadata", "uid")
    return uid is not None and dig(pod, "metadata", "labels", _LAUNCHER_OF) == uid


def is_launcher_of(vmi: Object, pod: Object) -> bool:
    """Return whether a pod carries this VM now: a migration leaves others, which have ended or run elsewhere."""
    if not was_launcher_of(vmi, pod):
        return False
    node = dig(vmi, "status", "nodeName")
    return dig(pod, "status", "phase") not in _ENDED and node in {None, dig(pod, "spec", "nodeName")}


def is_node_ready(node: Object) -> bool:
    """Return whether a node is ready by its own status; one without that condition counts as ready."""
    ready = [c.get("status") for c in dig(node, "status", "conditions") or () if c.get("type") == "Ready"]
    return not ready or ready[0] == "True"


def _container_statuses(obj: Object) -> list[Object]:
    """Return the statuses of a pod's containers, and after them of its init containers, which are seldom why it ended."""
    status = obj.get("status") or {}
    return [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]


def _describe_end(ended: Object) -> str:
    if ended.get("reason") == "OOMKilled":
        return "OOMKilled: it needed more memory than its limit"
    return f"exit status {ended.get('exitCode')}, {ended.get('reason', 'no reason given')}"

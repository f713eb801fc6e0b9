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
# KubeVirt's word for a launcher that was refused, as by a quota, and that it tries to create again without end.
_LAUNCHER_REFUSED = "FailedCreate"
_LAUNCHER_OF = "kubevirt.io/created-by"


def is_running(obj: Object) -> bool:
    return bool(dig(obj, "status", "phase") == "Running")


def is_started(pod: Object, container: str) -> bool:
    """Return whether a pod's container runs."""
    return any(
        status.get("name") == container and "running" in (status.get("state") or {})
        for status in dig(pod, "status", "containerStatuses") or ()
    )


def find_failure(obj: Object) -> str | None:
    """Return why a pod or VM will not run, or no longer runs; None while there is hope."""
    phase = dig(obj, "status", "phase")
    for status in _container_statuses(obj):
        waiting = dig(status, "state", "waiting") or {}
        if waiting.get("reason") in HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', 'no reason given')}"
        ended = dig(status, "state", "terminated")
        if ended and phase in _ENDED:
            return f"its container {status.get('name')} ended: {_describe_end(ended)}"
    if phase in _ENDED:
        reason = dig(obj, "status", "reason") or dig(obj, "status", "message") or "no reason given"
        return f"it {phase.lower()} ({reason})"
    if dig(obj, "metadata", "deletionTimestamp"):
        return "it was deleted"
    return None


def is_pull_failure(failure: str) -> bool:
    """Return whether a failure, as find_failure describes it, is that of an image."""
    return any(reason in failure for reason in _NOT_PULLED)


def find_unscheduled(obj: Object) -> str | None:
    """Return why no node takes a pod, or why a VM may have none; None where all is well, or nothing is known yet."""
    return next(
        (
            str(c.get("message") or c.get("reason"))
            for c in dig(obj, "status", "conditions") or ()
            if c.get("status") == "False"
            and (c.get("type") == "PodScheduled" or c.get("reason") == _LAUNCHER_REFUSED)
        ),
        None,
    )


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
    status = obj.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _describe_end(ended: Object) -> str:
    if ended.get("reason") == "OOMKilled":
        return "OOMKilled: it needed more memory than its limit"
    return f"exit status {ended.get('exitCode')}, {ended.get('reason', 'no reason given')}"

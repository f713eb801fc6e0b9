"""OpenShift's admission of pods: it chooses their users, by its security context constraints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.statuses import forbidden

if TYPE_CHECKING:
    from lab.seams import Object

UID_RANGE = "openshift.io/sa.scc.uid-range"
# The first user of the first namespace, and how many each has.
FIRST_UID = 1000650000
UIDS = 10000
_UNUSABLE = 'provider "anyuid": Forbidden: not usable by user or serviceaccount'


def build_annotations(number: int) -> dict[str, str]:
    """Return what tells a namespace's users; `number` tells namespaces apart."""
    return {UID_RANGE: f"{FIRST_UID + number * UIDS}/{UIDS}"}


def constrain(namespace: Object, pod: Object) -> None:
    """Hold a pod to restricted-v2: refuse what it does not allow, fill in what it wants."""
    annotations = namespace["metadata"].get("annotations") or {}
    first, count = (int(part) for part in annotations[UID_RANGE].split("/"))
    users = range(first, first + count)
    spec = pod["spec"]
    broken = [*_judge_host(spec), *_judge_users(spec, users)]
    if broken:
        why = ", ".join([_UNUSABLE, *(f"provider restricted-v2: {words}" for words in broken)])
        words = f"unable to validate against any security context constraint: [{why}]"
        raise forbidden("", "pods", pod["metadata"].get("name", ""), words)
    pod["metadata"].setdefault("annotations", {})["openshift.io/scc"] = "restricted-v2"
    spec["securityContext"] = {"fsGroup": first, "seccompProfile": {"type": "RuntimeDefault"}} | spec[
        "securityContext"
    ]
    for container in spec["containers"]:
        ordered = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": spec["securityContext"].get("runAsUser", first),
        }
        container["securityContext"] = ordered | (container.get("securityContext") or {})


def _judge_host(spec: Object) -> list[str]:
    found = [
        f".spec.securityContext.{key}: Invalid value: true: {words} is not allowed to be used"
        for key, words in (("hostNetwork", "Host network"), ("hostPID", "Host PID"), ("hostIPC", "Host IPC"))
        if spec.get(key)
    ]
    for n, volume in enumerate(spec.get("volumes") or ()):
        if "hostPath" in volume:
            found.append(
                f'spec.volumes[{n}]: Invalid value: "hostPath": hostPath volumes are not allowed to be used'
            )
    return found


def _judge_users(spec: Object, users: range) -> list[str]:
    found = []
    for n, container in enumerate(spec["containers"]):
        security = spec["securityContext"] | (container.get("securityContext") or {})
        user = security.get("runAsUser")
        if user is not None and user not in users:
            limits = f"[{users[0]}, {users[-1]}]"
            found.append(
                f".containers[{n}].runAsUser: Invalid value: {user}: must be in the ranges: {limits}"
            )
        if security.get("privileged"):
            found.append(
                f".containers[{n}].privileged: Invalid value: true: Privileged containers are not allowed"
            )
    return found

"""The virt-launcher pods of VMs, and the domain XML they show of the real state of FPR: from a log or by virsh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from freepage.fpr.domain_xml import find_domain_xml, parse_balloon
from freepage.kube.errors import ClusterError, ForbiddenError, LoginError, UnreachableError
from freepage.kube.resources import PODS, dig, name_of, namespace_of
from freepage.kubevirt.installation import full_name
from freepage.kubevirt.kubelets import LIMIT_S, Kubelets, SilentNodeError
from freepage.kubevirt.scheduling import find_unscheduled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object

LAUNCHER_KEY = "kubevirt.io"
LAUNCHER = "virt-launcher"
COMPUTE = "compute"
_CREATED_BY = "kubevirt.io/created-by"
# The domain is defined right after the launcher has started: rarely after its first 64 KiB of log.
_LOG_BYTES = (64 * 1024, 2 * 1024 * 1024)
# A VM runs as an ordinary user unless its KubeVirt has the feature gate Root.
VIRSH = (("virsh", "-c", "qemu+unix:///session?socket=/var/run/libvirt/virtqemud-sock"), ("virsh",))


@dataclass(frozen=True)
class Launcher:
    """One launcher pod; a live migration leaves two of one VM."""

    name: str
    node: str | None
    phase: str
    created: str
    # Why no node takes it.
    unscheduled: str | None = None


@dataclass(frozen=True)
class Observation:
    """One look at a VM's domain XML: FPR on or off (None: not seen), and where it was read, or why it was not.

    silent_node: the node whose kubelet did not answer, where that is why.
    """

    reporting: bool | None
    source: str
    silent_node: str | None = None


async def list_launchers(api: ClusterApi, namespace: str | None = None) -> dict[str, list[Launcher]]:
    """List all launchers at once, by the uid of their VM."""
    return group_launchers(await api.list(PODS, namespace, labels=f"{LAUNCHER_KEY}={LAUNCHER}"))


def group_launchers(pods: Iterable[Object]) -> dict[str, list[Launcher]]:
    """Group launchers by the uid of their VM."""
    found: dict[str, list[Launcher]] = {}
    for pod in pods:
        owner = dig(pod, "metadata", "labels", _CREATED_BY) or ""
        found.setdefault(owner, []).append(read_launcher(pod))
    return found


def read_launcher(pod: Object) -> Launcher:
    """Read a launcher from its pod."""
    return Launcher(
        name_of(pod),
        dig(pod, "spec", "nodeName"),
        str(dig(pod, "status", "phase") or ""),
        str(dig(pod, "metadata", "creationTimestamp") or ""),
        find_unscheduled(pod),
    )


def describe_waiting(launchers: Sequence[Launcher]) -> str | None:
    """Return why a VM does not run yet whose launchers have no node; None where one has."""
    if not launchers or any(launcher.node for launcher in launchers):
        return None
    reason = next((each.unscheduled for each in launchers if each.unscheduled), "no reason is known yet")
    return f"its launcher is not scheduled: {reason}"


async def observe_reporting(
    api: ClusterApi,
    instance: Object,
    launchers: Mapping[str, Sequence[Launcher]],
    *,
    may_exec: bool,
    kubelets: Kubelets | None = None,
) -> Observation:
    """Observe whether FPR is really on in a VM.

    By the log of the launcher it runs in, else of another it had (a live migration takes the domain along as it was);
    where `may_exec`, then by asking libvirt in the launcher it runs in. kubelets: those of an audit of many VMs.
    """
    kubelets = kubelets or Kubelets()
    own = _sort_launchers(
        launchers.get(dig(instance, "metadata", "uid") or "", ()), dig(instance, "status", "nodeName")
    )
    if not own:
        why = find_unscheduled(instance) or f"phase {dig(instance, 'status', 'phase') or 'not known'}"
        return Observation(None, f"it has no launcher ({why})")
    waiting = describe_waiting(own)
    if waiting is not None:
        return Observation(None, waiting)
    unseen = []
    for launcher in own:
        look = _read_log(api, launcher, namespace_of(instance), kubelets)
        seen = await _or_unknown(look, f"the log of {launcher.name} cannot be read")
        if seen.reporting is not None:
            return seen
        unseen.append(seen)
    if not may_exec or unseen[0].silent_node is not None:
        return unseen[0]
    asking = kubelets.ask(own[0].node or own[0].name, lambda: _ask_libvirt(api, own[0], instance))
    return await _or_unknown(asking, f"libvirt in {own[0].name} cannot be asked")


async def _or_unknown(look: Awaitable[Observation], complaint: str) -> Observation:
    """Return an unknown observation where one launcher cannot be read; raise what would prevent reading any other."""
    try:
        return await look
    except SilentNodeError as error:
        return Observation(None, f"not read: {error.message}", silent_node=error.node)
    except (ForbiddenError, LoginError, UnreachableError):
        raise
    except ClusterError as error:
        return Observation(None, f"{complaint}: {error.message}")


def _sort_launchers(launchers: Sequence[Launcher], node: str | None) -> list[Launcher]:
    """Return the launcher a VM runs in first, then the others from the newest on."""
    newest = sorted(launchers, key=lambda launcher: launcher.created, reverse=True)
    return sorted(newest, key=lambda launcher: (launcher.phase != "Running", launcher.node != node))


async def _read_log(api: ClusterApi, launcher: Launcher, namespace: str, kubelets: Kubelets) -> Observation:
    for limit_bytes in _LOG_BYTES:
        read = partial(
            api.read_log,
            launcher.name,
            namespace=namespace,
            container=COMPUTE,
            limit_bytes=limit_bytes,
            limit_s=LIMIT_S,
        )
        log = await kubelets.ask(launcher.node or launcher.name, read)
        seen = _parse_observation(find_domain_xml(log), f"the log of {launcher.name}")
        if seen is not None:
            return seen
        if len(log.encode()) < limit_bytes:
            break
    return Observation(None, f"the log of {launcher.name} does not hold the domain XML")


async def _ask_libvirt(api: ClusterApi, launcher: Launcher, instance: Object) -> Observation:
    namespace = namespace_of(instance)
    domain = f"{namespace}_{name_of(instance)}"
    complaint = ""
    for virsh in VIRSH:
        answer = await api.run(
            launcher.name, [*virsh, "dumpxml", domain], namespace=namespace, container=COMPUTE
        )
        seen = _parse_observation(answer.stdout.decode(errors="replace"), f"virsh in {launcher.name}")
        if seen is not None:
            return seen
        complaint = complaint or answer.stderr.decode(errors="replace").strip()
    return Observation(
        None, f"virsh in {launcher.name} does not show the domain of {full_name(instance)}: {complaint}"
    )


def _parse_observation(xml: str | None, source: str) -> Observation | None:
    balloon = parse_balloon(xml) if xml else None
    return None if balloon is None else Observation(balloon.reporting, source)

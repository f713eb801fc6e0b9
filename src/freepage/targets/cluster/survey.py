"""The cluster a run will be in, before anything is created there: the login, the nodes, KubeVirt's own setting."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freepage.errors import HostError
from freepage.image.architecture import read_architecture
from freepage.kube.api import open_cluster
from freepage.kube.errors import ForbiddenError, NotFoundError
from freepage.kube.resources import NAMESPACES, NODES, dig
from freepage.kubevirt.installation import find_installation
from freepage.kubevirt.permissions import describe_grant
from freepage.targets.cluster.facts import choose_nodes, describe_left_out, read_accelerator
from freepage.targets.cluster.manifests import PLAIN_USER
from freepage.targets.cluster.obstacles import ENFORCED, describe_architectures, describe_pod_security
from freepage.targets.cluster.outline import ClusterOutline
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freepage.image.architecture import Architecture
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.targets.cluster.choices import ClusterChoices

UID_RANGE = "openshift.io/sa.scc.uid-range"
OPENSHIFT_SECURITY = "security.openshift.io"


@dataclass(frozen=True)
class ClusterSurvey(ClusterOutline):
    """A login with what it found; nothing has been created yet."""

    api: ClusterApi = field(kw_only=True)


@asynccontextmanager
async def open_survey(
    choices: ClusterChoices, architecture: Architecture, *, with_vms: bool
) -> AsyncIterator[ClusterSurvey]:
    """Log in, find KubeVirt (where VMs will run) and choose the nodes; creates nothing.

    Raises the errors of the cluster, and HostError for nodes that cannot serve.
    """
    async with open_cluster(choices.login, hint_denial=describe_grant) as api:
        installation = await find_installation(api) if with_vms else None
        kubevirt = None if installation is None else installation.kubevirt
        nodes = await api.list(NODES)
        namespace = await read_namespace(api)
        enforced = dig(namespace, "metadata", "labels", ENFORCED)
        left_out = describe_left_out(nodes, with_vms=with_vms, architecture=architecture.name)
        notes = [None if choices.nodes else left_out]
        if with_vms:
            notes.append(describe_architectures(kubevirt, architecture))
            notes.append(describe_pod_security(api.namespace, namespace, kubevirt))
        yield ClusterSurvey(
            choices=choices,
            namespace=api.namespace,
            nodes=choose_nodes(nodes, choices.nodes, with_vms=with_vms, architecture=architecture.name),
            with_vms=with_vms,
            installation=installation,
            accelerator=read_accelerator(kubevirt),
            user=await find_user(api, namespace),
            architecture=architecture,
            pod_security=None if enforced is None else str(enforced),
            notes=tuple(filter(None, notes)),
            api=api,
        )


async def find_worker_architecture() -> Architecture:
    """Return the architecture that the worker is built for here, which the nodes must have.

    Raises HostError without a compiler, or where it builds for an architecture that freepage does not know.
    """
    worker = await asyncio.to_thread(build_worker)
    architecture = read_architecture(worker)
    if architecture is None:
        raise HostError(f"{worker} is built for an architecture that freepage does not know")
    return architecture


async def read_tools(survey: ClusterSurvey) -> dict[str, str]:
    """Return the versions and images that take part in a run."""
    choices = survey.choices
    images = {"image": choices.image, "vm_disk": choices.vm_disk, "pod_image": choices.pod_image}
    tools = {"kubernetes": await survey.api.server_version()}
    if survey.installation is not None and survey.installation.version:
        tools["kubevirt"] = survey.installation.version
    return tools | {name: ref for name, ref in images.items() if ref}


async def read_namespace(api: ClusterApi) -> Object | None:
    """Read the namespace that a run works in; None where it may not be read, HostError where it is not there."""
    try:
        return await api.get(NAMESPACES, api.namespace)
    except ForbiddenError:
        return None
    except NotFoundError as error:
        raise HostError(
            f"the cluster has no namespace {api.namespace}", hint=f"kubectl create namespace {api.namespace}"
        ) from error


async def find_user(api: ClusterApi, namespace: Object | None) -> int | None:
    """Find the user that pods run as; None where the cluster chooses, as OpenShift does by a namespace's annotation."""
    if namespace is None:
        return None if await api.served_versions(OPENSHIFT_SECURITY) else PLAIN_USER
    return None if dig(namespace, "metadata", "annotations", UID_RANGE) else PLAIN_USER

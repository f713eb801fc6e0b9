"""The cluster a run will be in, before anything is created there: the login, the nodes, KubeVirt's own setting."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import FreepageError, HostError
from freepage.kube.api import open_cluster
from freepage.kube.errors import ForbiddenError, NotFoundError
from freepage.kube.resources import NAMESPACES, NODES, dig, name_of
from freepage.kubevirt.installation import find_installation
from freepage.kubevirt.permissions import describe_grant
from freepage.records import Arm
from freepage.targets.cluster.facts import choose_nodes, read_accelerator
from freepage.targets.cluster.manifests import PLAIN_USER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.kubevirt.installation import Installation
    from freepage.study.plan import Trial
    from freepage.targets.base import Accelerator
    from freepage.targets.cluster.choices import ClusterChoices

UID_RANGE = "openshift.io/sa.scc.uid-range"
OPENSHIFT_SECURITY = "security.openshift.io"


@dataclass(frozen=True)
class ClusterSurvey:
    """A login with what it found; nothing has been created yet.

    nodes: those to measure. installation: None where no VMs will run. user: the one that pods run as, None where the
    cluster chooses.
    """

    choices: ClusterChoices
    api: ClusterApi
    nodes: tuple[Object, ...]
    with_vms: bool
    installation: Installation | None
    accelerator: Accelerator
    user: int | None

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(name_of(node) for node in self.nodes)


@asynccontextmanager
async def open_survey(choices: ClusterChoices, *, with_vms: bool) -> AsyncIterator[ClusterSurvey]:
    """Log in, find KubeVirt (where VMs will run) and choose the nodes; creates nothing.

    Raises the errors of the cluster, and HostError for nodes or images that cannot serve.
    """
    _check_images(choices, with_vms=with_vms)
    async with open_cluster(choices.login, hint_denial=describe_grant) as api:
        installation = await find_installation(api) if with_vms else None
        nodes = choose_nodes(await api.list(NODES), choices.nodes, with_vms=with_vms)
        accelerator = read_accelerator(None if installation is None else installation.kubevirt)
        user = await find_user(api)
        yield ClusterSurvey(choices, api, nodes, with_vms, installation, accelerator, user)


def find_obstacle(survey: ClusterSurvey, trial: Trial) -> FreepageError | None:
    """Return why a trial cannot run in this cluster, though others may; None when nothing prevents it."""
    carriers = {plan.carrier for plan in trial.instances}
    installation = survey.installation
    if Arm.VM_FPR in carriers and installation is not None and installation.setting.enabled is False:
        return HostError(
            f"Free Page Reporting is disabled for the whole cluster ({installation.setting.source})",
            hint="`freepage enable` switches it on, --arms pod,vm leaves it out",
        )
    if any(plan.tools is not None for plan in trial.instances) and survey.choices.image is None:
        return HostError(
            "programs such as fio reach a cluster in freepage's own image only",
            hint="freepage image build --study STUDY, freepage image push REF, then --image REF",
        )
    return None


async def read_tools(survey: ClusterSurvey) -> dict[str, str]:
    """Return the versions and images that take part in a run."""
    choices = survey.choices
    images = {"image": choices.image, "vm_disk": choices.vm_disk, "pod_image": choices.pod_image}
    tools = {"kubernetes": await survey.api.server_version()}
    if survey.installation is not None and survey.installation.version:
        tools["kubevirt"] = survey.installation.version
    return tools | {name: ref for name, ref in images.items() if ref}


def _check_images(choices: ClusterChoices, *, with_vms: bool) -> None:
    if with_vms and choices.image is None and choices.vm_disk is None:
        raise HostError(
            "VMs of a cluster boot an image that its nodes can pull",
            hint="freepage image push REGISTRY/NAME:TAG, then --image REGISTRY/NAME:TAG",
        )
    if choices.image_for_pods is None:
        raise HostError(
            "pods need an image that the nodes can pull; any small one will do, it only carries the worker",
            hint="--pod-image REF, or --image REF with freepage's own",
        )


async def find_user(api: ClusterApi) -> int | None:
    """Find the user that pods run as; None where the cluster chooses, as OpenShift does by a namespace's annotation."""
    try:
        namespace = await api.get(NAMESPACES, api.namespace)
    except ForbiddenError:
        return None if await api.served_versions(OPENSHIFT_SECURITY) else PLAIN_USER
    except NotFoundError as error:
        raise HostError(
            f"the cluster has no namespace {api.namespace}", hint=f"kubectl create namespace {api.namespace}"
        ) from error
    return None if dig(namespace, "metadata", "annotations", UID_RANGE) else PLAIN_USER

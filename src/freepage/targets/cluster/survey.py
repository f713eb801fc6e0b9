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
from freepage.targets.cluster.facts import choose_nodes, read_execution
from freepage.targets.cluster.manifests import PLAIN_USER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freepage.kube.api import ClusterApi, Login
    from freepage.kube.resources import Object
    from freepage.kubevirt.installation import Installation
    from freepage.study.plan import Trial
    from freepage.targets.cluster.facts import Execution

READY_DEADLINE_S = 300.0
# Many distributions wait two minutes for a network that never comes, and do what user data asks for last of all.
DISTRIBUTION_READY_DEADLINE_S = 600.0
UID_RANGE = "openshift.io/sa.scc.uid-range"
OPENSHIFT_SECURITY = "security.openshift.io"


@dataclass(frozen=True)
class ClusterChoices:
    """What a person chose of a cluster; None and () are what the cluster itself suggests.

    image: freepage's own, as `freepage image push` wrote it. vm_disk: any containerDisk with cloud-init instead.
    pod_image: any small image for pods and samplers; freepage's own where that is given.
    """

    login: Login
    nodes: tuple[str, ...] = ()
    image: str | None = None
    vm_disk: str | None = None
    pod_image: str | None = None
    pull_secret: str | None = None
    concurrency: int = 32
    with_vms: bool = True

    @property
    def image_for_pods(self) -> str | None:
        return self.pod_image or self.image

    @property
    def ready_deadline_s(self) -> float:
        """How long an instance may take to its worker's ready."""
        return READY_DEADLINE_S if self.vm_disk is None else DISTRIBUTION_READY_DEADLINE_S


@dataclass(frozen=True)
class ClusterSurvey:
    """A login with what it found; nothing has been created yet.

    nodes: those to measure. installation: None where no VMs will run. user: what pods run as, None where the cluster
    chooses.
    """

    choices: ClusterChoices
    api: ClusterApi
    nodes: tuple[Object, ...]
    installation: Installation | None
    execution: Execution
    user: int | None

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(name_of(node) for node in self.nodes)


@asynccontextmanager
async def open_survey(choices: ClusterChoices) -> AsyncIterator[ClusterSurvey]:
    """Log in, find KubeVirt and choose the nodes; creates nothing.

    Raises the errors of the cluster, and HostError for nodes or images that cannot serve.
    """
    _check_images(choices)
    async with open_cluster(choices.login, hint_denial=describe_grant) as api:
        installation = await find_installation(api) if choices.with_vms else None
        nodes = choose_nodes(await api.list(NODES), choices.nodes, with_vms=choices.with_vms)
        execution = read_execution(None if installation is None else installation.kubevirt)
        yield ClusterSurvey(choices, api, nodes, installation, execution, await find_user(api))


def find_obstacle(survey: ClusterSurvey, trial: Trial) -> FreepageError | None:
    """Say why a trial cannot run in this cluster, though others may."""
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
    """Give the versions and images that take part in a run."""
    choices = survey.choices
    images = {"image": choices.image, "vm_disk": choices.vm_disk, "pod_image": choices.pod_image}
    tools = {"kubernetes": await survey.api.server_version()}
    if survey.installation is not None and survey.installation.version:
        tools["kubevirt"] = survey.installation.version
    return tools | {name: ref for name, ref in images.items() if ref}


def _check_images(choices: ClusterChoices) -> None:
    if choices.with_vms and choices.image is None and choices.vm_disk is None:
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
    """Find what user pods run as: on OpenShift the namespace says it, elsewhere we do."""
    try:
        namespace = await api.get(NAMESPACES, api.namespace)
    except ForbiddenError:
        return None if await api.served_versions(OPENSHIFT_SECURITY) else PLAIN_USER
    except NotFoundError as error:
        raise HostError(
            f"the cluster has no namespace {api.namespace}", hint=f"kubectl create namespace {api.namespace}"
        ) from error
    return None if dig(namespace, "metadata", "annotations", UID_RANGE) else PLAIN_USER

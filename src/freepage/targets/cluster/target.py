"""A cluster as a target: pods, and VMs of KubeVirt, on chosen nodes."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from freepage.aio import run_together
from freepage.cluster.api import open_cluster
from freepage.cluster.errors import ClusterError, ForbiddenError, NotFoundError
from freepage.cluster.installation import find_installation
from freepage.cluster.manifests import (
    PLAIN_USER,
    MachineShape,
    PodShape,
    RunPlace,
    build_machine_instance,
    build_secret,
    build_worker_map,
    build_worker_pod,
)
from freepage.cluster.owner import open_owner
from freepage.cluster.resources import CONFIG_MAPS, NAMESPACES, NODES, SECRETS, dig, name_of
from freepage.errors import FreepageError, HostError, TrialError
from freepage.records import Arm
from freepage.targets.cluster.facts import choose_nodes, read_execution, read_facts
from freepage.targets.cluster.machine import open_machine
from freepage.targets.cluster.nodes import open_nodes
from freepage.targets.cluster.pod import open_pod
from freepage.targets.cluster.session import open_session
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from freepage.cluster.api import ClusterApi, Login
    from freepage.cluster.installation import Installation
    from freepage.cluster.resources import Object
    from freepage.plan import InstancePlan, Trial
    from freepage.targets.base import Instance
    from freepage.targets.cluster.facts import Execution
    from freepage.targets.cluster.nodes import Nodes
    from freepage.targets.cluster.session import ClusterSession

Values = dict[str, float | None]

CLUSTER = "cluster"
UID_RANGE = "openshift.io/sa.scc.uid-range"
# What ends by itself when freepage is gone does so after this much more than the longest trial takes.
DEADLINE_MARGIN_S = 900
_HOST_FILE_SYSTEM = "host"


@dataclass(frozen=True)
class ClusterChoices:
    """What a person chose of a cluster; None and () are what the cluster itself suggests.

    image: freepage's own, as `freepage image push` wrote it. machine_disk: any containerDisk with cloud-init instead.
    pod_image: any small image for pods and samplers; freepage's own where that is given.
    """

    login: Login
    nodes: tuple[str, ...] = ()
    image: str | None = None
    machine_disk: str | None = None
    pod_image: str | None = None
    pull_secret: str | None = None
    concurrency: int = 32
    interval_s: float = 1.0
    longest_trial_s: float = 0.0
    arms: tuple[Arm, ...] = ()

    @property
    def image_for_pods(self) -> str | None:
        return self.pod_image or self.image


@dataclass
class ClusterTarget:
    """The nodes of a cluster that trials run on (targets.base.Place)."""

    choices: ClusterChoices
    session: ClusterSession
    nodes: tuple[Object, ...]
    samplers: Nodes
    execution: Execution
    installation: Installation | None
    tools: dict[str, str] = field(default_factory=dict)
    name: str = CLUSTER
    node: str = CLUSTER
    nodes_are_given: bool = True

    @property
    def accelerator(self) -> str:
        return self.execution.accelerator

    @property
    def accelerator_reason(self) -> str:
        return self.execution.reason

    def read_facts(self) -> dict[str, object]:
        seen = {name: s.newest.take() for name, s in self.samplers.samplers.items()}
        return read_facts(self.nodes, seen)

    def check_disk(self, trials: Sequence[Trial], folder: Path) -> None:
        """Test files are on the nodes' own ephemeral storage: the cluster says itself when they do not fit."""

    async def warm_up(self, size_bytes: int) -> None:
        """Nothing: a node is not ours to fill."""

    def find_obstacle(self, trial: Trial) -> FreepageError | None:
        carriers = {plan.carrier for plan in trial.instances}
        if Arm.VM_FPR in carriers and self.installation is not None and self.installation.switch.disabled:
            return HostError(
                f"Free Page Reporting is disabled for the whole cluster ({self.installation.switch.source})",
                hint="`freepage enable` switches it on, --arms pod,vm leaves it out",
            )
        if trial.experiment.kind == "command" and self.choices.image is None:
            return HostError(
                "a program of yours reaches a cluster in freepage's image only",
                hint="freepage image build --study STUDY, freepage image push REF, then --image REF",
            )
        if carriers - {Arm.POD} and any(p.tools or p.data for p in trial.instances) and not self.choices.image:
            return HostError("fio reaches a VM in freepage's own image only", hint="--image REF")
        return None

    def set_node(self, memory_bytes: int | None) -> None:
        """Nothing: a node of a cluster is as large as it is, and studies are planned for that (nodes_are_given)."""

    def read_node(self) -> dict[str, Values]:
        return self.samplers.read()

    @asynccontextmanager
    async def open_instances(self, trial: Trial, folder: Path) -> AsyncIterator[Sequence[Instance]]:
        """Start every instance of the trial, `concurrency` at once, and end them all at the end."""
        stacks = [AsyncExitStack() for _ in trial.instances]
        numbered = list(enumerate(trial.instances))

        async def start(number: int, plan: InstancePlan, stack: AsyncExitStack) -> Instance:
            async with self.session.places:
                return await stack.enter_async_context(self._open(trial, number, plan, folder))

        try:
            yield await run_together(
                *(start(n, plan, stack) for (n, plan), stack in zip(numbered, stacks, strict=True))
            )
        finally:
            ends = await asyncio.gather(*(stack.aclose() for stack in stacks), return_exceptions=True)
            for error in filter(None, ends):
                raise error

    @asynccontextmanager
    async def _open(
        self, trial: Trial, number: int, plan: InstancePlan, folder: Path
    ) -> AsyncIterator[Instance]:
        manifests = build_instance(self.session.place, self.choices, self._node_of(number), trial, plan)
        async with AsyncExitStack() as stack:
            for secret in manifests.secrets:
                await stack.enter_async_context(self.session.open_object(SECRETS, secret, plan.name))
            if isinstance(manifests.shape, PodShape):
                opened = open_pod(self.session, manifests.shape, manifests.main)
            else:
                opened = open_machine(
                    self.session, manifests.shape, manifests.main, folder, self.accelerator
                )
            yield await stack.enter_async_context(opened)

    def _node_of(self, number: int) -> str:
        """Give the node of an instance: all nodes in turn."""
        return name_of(self.nodes[number % len(self.nodes)])


@dataclass(frozen=True)
class InstanceManifests:
    """The objects one instance is made of: its pod or VM, and Secrets it starts from."""

    shape: PodShape | MachineShape
    main: Object
    secrets: tuple[Object, ...] = ()


def build_instance(
    place: RunPlace, choices: ClusterChoices, node: str, trial: Trial, plan: InstancePlan
) -> InstanceManifests:
    """Give the objects of one instance of a trial; a pure function of the plan, so that a dry run can show them."""
    name = f"{place.worker_map}-{trial.order + 1}-{plan.name}"[:63].rstrip("-")
    data_bytes = 0 if plan.data is None else plan.data.bytes
    if plan.carrier is Arm.POD:
        image = choices.image if plan.tools is not None else choices.image_for_pods
        pod = PodShape(name, plan.name, node, str(image), plan.demand_bytes, data_bytes)
        return InstanceManifests(pod, build_worker_pod(place, pod))
    shape = MachineShape(
        name=name,
        instance=plan.name,
        node=node,
        reporting=plan.carrier is Arm.VM_FPR,
        memory_bytes=plan.vm_memory_bytes,
        cpus=plan.cpus,
        image=choices.image,
        tools=plan.tools is not None,
        data=None if plan.data is None else plan.data.filesystem,
        data_bytes=data_bytes,
    )
    if choices.machine_disk is None:
        return InstanceManifests(shape, build_machine_instance(place, shape))
    shape = replace(shape, image=None, disk_image=choices.machine_disk, secret=name)
    from freepage.image.cloud_init import build_user_data

    secret = build_secret(place, name, {"userdata": build_user_data(build_worker().read_bytes(), place.deadline_s)})
    return InstanceManifests(shape, build_machine_instance(place, shape), (secret,))


@asynccontextmanager
async def open_cluster_target(choices: ClusterChoices) -> AsyncIterator[ClusterTarget]:
    """Log in, choose nodes, start their samplers, and leave nothing behind at the end.

    Raises the errors of the cluster, and HostError for nodes or images that cannot serve.
    """
    with_machines = bool({Arm.VM, Arm.VM_FPR} & set(choices.arms))
    _check_images(choices, with_machines=with_machines)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(open_cluster(choices.login))
        installation = await find_installation(api) if with_machines else None
        listed = await api.list(NODES)
        nodes = choose_nodes(listed, choices.nodes, with_machines=with_machines)
        names = tuple(name_of(node) for node in nodes)
        run = secrets.token_hex(3)
        owner = await stack.enter_async_context(open_owner(api, api.namespace, run))
        place = RunPlace(
            namespace=api.namespace,
            run=run,
            worker_map=f"freepage-{run}",
            owner=owner,
            user=await find_user(api),
            deadline_s=round(choices.longest_trial_s) + DEADLINE_MARGIN_S,
            pull_secret=choices.pull_secret,
        )
        worker_map = build_worker_map(place, build_worker().read_bytes())
        await api.create(CONFIG_MAPS, worker_map, namespace=place.namespace)
        session = await stack.enter_async_context(
            open_session(
                api, place, interval_s=choices.interval_s, concurrency=choices.concurrency, nodes=names
            )
        )
        image = str(choices.image_for_pods)
        try:
            samplers = await stack.enter_async_context(open_nodes(session, names, image))
        except TrialError as error:
            raise HostError(error.message, hint=error.hint) from error
        yield ClusterTarget(
            choices=choices,
            session=session,
            nodes=nodes,
            samplers=samplers,
            execution=read_execution(None if installation is None else installation.kubevirt),
            installation=installation,
            tools=await _read_tools(api, choices, installation),
        )


def _check_images(choices: ClusterChoices, *, with_machines: bool) -> None:
    if with_machines and choices.image is None and choices.machine_disk is None:
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
        return PLAIN_USER
    except NotFoundError as error:
        raise HostError(
            f"the cluster has no namespace {api.namespace}", hint=f"kubectl create namespace {api.namespace}"
        ) from error
    return None if dig(namespace, "metadata", "annotations", UID_RANGE) else PLAIN_USER


async def _read_tools(
    api: ClusterApi, choices: ClusterChoices, installation: Installation | None
) -> dict[str, str]:
    tools = {"kubernetes": await api.server_version()}
    if installation is not None and installation.version:
        tools["kubevirt"] = installation.version
    images = {"image": choices.image, "machine_disk": choices.machine_disk, "pod_image": choices.pod_image}
    return tools | {name: ref for name, ref in images.items() if ref}


__all__ = ["ClusterChoices", "ClusterError", "ClusterTarget", "open_cluster_target"]

"""A cluster as a target: pods, and VMs of KubeVirt, on chosen nodes."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.aio import open_together
from freepage.errors import CapacityError, FreepageError, HostError, TrialError
from freepage.kube.resources import CONFIG_MAPS, SECRETS
from freepage.targets.cluster.facts import read_facts
from freepage.targets.cluster.instances import build_instance, build_scope, find_overload
from freepage.targets.cluster.manifests import PodShape, build_worker_map
from freepage.targets.cluster.nodes import open_nodes
from freepage.targets.cluster.owner import open_owner
from freepage.targets.cluster.pod import open_pod
from freepage.targets.cluster.session import open_session
from freepage.targets.cluster.survey import find_obstacle, read_tools
from freepage.targets.cluster.vm import open_cluster_vm
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from freepage.metrics import MetricValues
    from freepage.study.plan import InstancePlan, Trial
    from freepage.targets.base import Instance
    from freepage.targets.cluster.nodes import Nodes
    from freepage.targets.cluster.session import ClusterSession
    from freepage.targets.cluster.survey import ClusterSurvey

CLUSTER = "cluster"


@dataclass
class ClusterTarget:
    """The nodes of a cluster that trials run on (targets.base.Place)."""

    survey: ClusterSurvey
    session: ClusterSession
    samplers: Nodes
    tools: dict[str, str]
    name: str = CLUSTER
    node: str = CLUSTER
    nodes_are_given: bool = True

    @property
    def accelerator(self) -> str:
        return self.survey.execution.accelerator

    @property
    def accelerator_reason(self) -> str:
        return self.survey.execution.reason

    def read_facts(self) -> dict[str, object]:
        seen = {name: s.latest.take() for name, s in self.samplers.samplers.items()}
        choices = dict.fromkeys(s.thp for s in self.samplers.samplers.values() if s.thp)
        installation = self.survey.installation
        return read_facts(self.survey.nodes, seen) | {
            "free_page_reporting": None if installation is None else str(installation.switch),
            "thp_enabled": ", ".join(choices) or None,
            "namespace": self.session.scope.namespace,
            "names": self.session.scope.worker_map,
        }

    def check_disk(self, trials: Sequence[Trial], folder: Path) -> None:
        """Test files are on the nodes' own ephemeral storage: the cluster says itself when they do not fit."""

    async def warm_up(self, size_bytes: int) -> None:
        """Nothing: a node is not ours to fill."""

    def find_obstacle(self, trial: Trial) -> FreepageError | None:
        overload = find_overload(self.survey, self.session.scope, trial)
        if overload is not None:
            hint = "use a smaller --scale, more --nodes, or fewer instances"
            return CapacityError(f"{trial.id} asks for {overload}", hint=hint)
        return find_obstacle(self.survey, trial)

    def set_node(self, memory_bytes: int | None) -> None:
        """Nothing: a node of a cluster is as large as it is, and studies are planned for that (nodes_are_given)."""

    def read_node(self) -> dict[str, MetricValues]:
        return self.samplers.read()

    @asynccontextmanager
    async def open_instances(self, trial: Trial, folder: Path) -> AsyncIterator[Sequence[Instance]]:
        """Start every instance of the trial, `concurrency` at once, and end them all at the end."""
        await self.samplers.wait_for_lines()
        contexts = [self._open(trial, n, plan, folder) for n, plan in enumerate(trial.instances)]
        async with open_together(contexts, self.session.slots) as instances:
            yield instances

    @asynccontextmanager
    async def _open(
        self, trial: Trial, number: int, plan: InstancePlan, folder: Path
    ) -> AsyncIterator[Instance]:
        manifests = build_instance(self.session.scope, self.survey, number, trial, plan)
        async with AsyncExitStack() as stack:
            for secret in manifests.secrets:
                await stack.enter_async_context(self.session.open_object(SECRETS, secret, plan.name))
            shape = manifests.shape
            if isinstance(shape, PodShape):
                yield await stack.enter_async_context(open_pod(self.session, shape, manifests.main))
            else:
                machine = open_cluster_vm(self.session, shape, manifests.main, folder, self.accelerator)
                yield await stack.enter_async_context(machine)


@asynccontextmanager
async def open_cluster_target(
    survey: ClusterSurvey, interval_s: float, trials: Sequence[Trial]
) -> AsyncIterator[ClusterTarget]:
    """Make the run's own place in a cluster and start the nodes' samplers; leave nothing behind at the end.

    Raises the errors of the cluster, and HostError for an image that cannot be pulled or a log that cannot be read.
    """
    choices, api = survey.choices, survey.api
    async with AsyncExitStack() as stack:
        run = secrets.token_hex(3)
        owner = await stack.enter_async_context(open_owner(api, api.namespace, run))
        scope = build_scope(survey, run, owner, trials)
        worker_map = build_worker_map(scope, build_worker().read_bytes())
        await api.create(CONFIG_MAPS, worker_map, namespace=scope.namespace)
        session = await stack.enter_async_context(open_session(survey, scope, interval_s))
        try:
            samplers = open_nodes(session, survey.nodes, str(choices.image_for_pods))
            nodes = await stack.enter_async_context(samplers)
        except TrialError as error:
            raise HostError(error.message, hint=error.hint) from error
        yield ClusterTarget(survey, session, nodes, await read_tools(survey))

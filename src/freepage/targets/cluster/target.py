"""A cluster as a target: pods, and VMs of KubeVirt, on chosen nodes."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.aio import open_together
from freepage.errors import FreepageError, HostError, TrialError
from freepage.image.layers import ARCHITECTURE_PATH
from freepage.kube.resources import CONFIG_MAPS, SECRETS, name_of
from freepage.targets.base import TargetFacts
from freepage.targets.cluster.facts import architecture_of, read_facts
from freepage.targets.cluster.instances import build_instance, build_scope
from freepage.targets.cluster.manifests import PodShape, build_worker_map
from freepage.targets.cluster.nodes import open_nodes
from freepage.targets.cluster.obstacles import build_launcher_memory, find_obstacle
from freepage.targets.cluster.owner import open_owner
from freepage.targets.cluster.pod import open_pod
from freepage.targets.cluster.session import open_session
from freepage.targets.cluster.survey import read_tools
from freepage.targets.cluster.vm import open_cluster_vm
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from freepage.metrics import MetricValues
    from freepage.study.plan import InstancePlan, Trial
    from freepage.targets.base import Instance
    from freepage.targets.cluster.launcher_memory import LauncherMemory
    from freepage.targets.cluster.manifests import RunScope
    from freepage.targets.cluster.nodes import Nodes
    from freepage.targets.cluster.outline import ClusterOutline
    from freepage.targets.cluster.session import ClusterSession
    from freepage.targets.cluster.survey import ClusterSurvey

NAME = "cluster"
_VERSIONS = (("KubeVirt", "kubevirt"), ("Kubernetes", "kubernetes"))


@dataclass
class ClusterTarget:
    """The nodes of a cluster that trials run on (targets.base.Target)."""

    facts: TargetFacts
    survey: ClusterSurvey
    session: ClusterSession
    samplers: Nodes
    memory: LauncherMemory

    def find_obstacle(self, trial: Trial) -> FreepageError | None:
        return find_obstacle(self.survey, trial, self.memory)

    @contextmanager
    def open_node(self, trial: Trial) -> Iterator[Callable[[], dict[str, MetricValues]]]:  # noqa: ARG002 - the seam's
        """Yield the reader of the nodes, which are as large as they are: studies are planned for that."""
        yield self.samplers.read

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
                accelerator = self.facts.accelerator.name
                opening = open_cluster_vm(self.session, shape, manifests.main, folder, accelerator)
                vm = await stack.enter_async_context(opening)
                self.memory.observe(shape, vm.launcher)
                yield vm


@asynccontextmanager
async def open_cluster_target(
    survey: ClusterSurvey, interval_s: float, trials: Sequence[Trial]
) -> AsyncIterator[ClusterTarget]:
    """Create what a run shares in a cluster and start the nodes' samplers; leave nothing behind at the end.

    Raises the errors of the cluster, and HostError for an image that cannot be pulled or is of another architecture, or a log
    that cannot be read.
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
            samplers = open_nodes(session, survey.nodes, choices.find_pod_image())
            nodes = await stack.enter_async_context(samplers)
        except TrialError as error:
            raise HostError(error.message, hint=error.hint) from error
        check_image(survey, {name: sampler.texts for name, sampler in nodes.samplers.items()})
        facts = await _read_facts(survey, scope, nodes)
        yield ClusterTarget(facts, survey, session, nodes, build_launcher_memory(survey))


def check_image(survey: ClusterOutline, texts: Mapping[str, Mapping[str, str | None]]) -> None:
    """Raise HostError where freepage's image is built for another architecture than a node, by what its samplers read in it.

    texts: what each node's sampler read, by path. An image of an earlier version, or somebody else's, does not say.
    """
    if survey.choices.image is None or survey.choices.find_pod_image() != survey.choices.image:
        return
    for node in survey.nodes:
        built, found = texts[name_of(node)].get(ARCHITECTURE_PATH), architecture_of(node)
        if built and built.strip() != found:
            raise HostError(
                f"the image {survey.choices.image} is built for {built.strip()}, and node {name_of(node)} is {found}",
                hint=f"build and push it on {found}, or join the images of both as one index (docs/cluster.md)",
            )


async def _read_facts(survey: ClusterSurvey, scope: RunScope, nodes: Nodes) -> TargetFacts:
    tools = await read_tools(survey)
    versions = [f"{words} {tools[key]}" for words, key in _VERSIONS if key in tools]
    seen = {name: s.latest.read() for name, s in nodes.samplers.items()}
    choices = dict.fromkeys(s.thp for s in nodes.samplers.values() if s.thp)
    setting = None if survey.installation is None else str(survey.installation.setting)
    return TargetFacts(
        name=NAME,
        noun="nodes",
        title=f"a cluster ({', '.join(versions)})" if versions else "a cluster",
        node=NAME,
        node_is_fixed=True,
        accelerator=survey.accelerator,
        tools=tools,
        conditions=read_facts(survey.nodes, seen)
        | {
            "free_page_reporting": setting,
            "thp_enabled": ", ".join(choices) or None,
            "namespace": scope.namespace,
            "names": scope.worker_map,
        },
    )

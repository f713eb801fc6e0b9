"""The counters of the measured nodes' own kernels, printed by one small pod on each and read from its log."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freepage.aio import open_together
from freepage.errors import FreepageError, InstanceError
from freepage.fpr.evidence import parse_choice
from freepage.image.layers import ARCHITECTURE_PATH
from freepage.kube.errors import ClusterError
from freepage.kube.resources import NODES, PODS, name_of
from freepage.records import NODE
from freepage.sampling.node_lines import parse_node_line, sampler_command
from freepage.sampling.procfs import THP, read_host_from
from freepage.targets.cluster.facts import hostname_of
from freepage.targets.cluster.latest import LatestValues
from freepage.targets.cluster.manifests import build_sampler_pod
from freepage.targets.cluster.pod import CONTAINER
from freepage.targets.cluster.readiness import find_failure, is_node_ready, is_started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from freepage.kube.resources import Object
    from freepage.metrics import MetricValues
    from freepage.sampling.node_lines import NodeLine
    from freepage.targets.cluster.manifests import RunScope
    from freepage.targets.cluster.objects import ObjectCache
    from freepage.targets.cluster.session import ClusterSession

# The sampler prints twice as often as samples are taken, so that those are never much older than half an interval.
PRINTS_PER_SAMPLE = 2
# How long a sampler may be silent, and the pause after its log could not be read.
LINES_DEADLINE_S = 30.0
RETRY_S = 5.0
AGE = "node_sample_age_s"


class NodeSampler:
    """One node's latest values, and its clock's lag behind this host's; `pod` prints them.

    ended: why its pod has ended, or is gone. trouble: why it could not be started anew, or its log not be read. Both None
    again with its next line.
    """

    def __init__(self, pod: str, interval_s: float) -> None:
        self.pod = pod
        self.latest = LatestValues(interval_s, AGE)
        self.texts: dict[str, str | None] = {}
        self.ended: str | None = None
        self.trouble: FreepageError | None = None
        self._least_lag_s = float("inf")

    def start_over(self, ended: str) -> None:
        """Expect lines of a new pod, perhaps after the node itself was started anew."""
        self.ended = ended
        self.trouble = None
        self._least_lag_s = float("inf")

    def take_line(self, line: NodeLine) -> None:
        """Take one printed line; the quickest line so far gives the offset of the node's clock to this host's."""
        self.ended = self.trouble = None
        lag_s = time.monotonic() - line.clock_s
        self._least_lag_s = min(self._least_lag_s, lag_s)
        self.texts = line.texts
        values = read_host_from(line.read, line.page_bytes)
        self.latest.update(values, line.clock_s + self._least_lag_s)

    @property
    def thp(self) -> str | None:
        """The node's choice of transparent huge pages."""
        return parse_choice(self.texts.get(THP))


@dataclass
class Nodes:
    """All measured nodes, by name; given_up: those whose sampler has ended and was waited for in vain."""

    session: ClusterSession
    samplers: dict[str, NodeSampler]
    given_up: set[str] = field(default_factory=set)

    async def wait_for_lines(self) -> None:
        """Wait until every sampler has printed something lately; InstanceError names a node whose has not.

        A sampler that has ended is started anew meanwhile; one that this was in vain for is not waited for again.
        """
        end_s = time.monotonic() + LINES_DEADLINE_S
        while silent := [(node, s) for node, s in self.samplers.items() if not s.latest.read()]:
            self.given_up &= {node for node, _ in silent}
            over = time.monotonic() > end_s
            for node, sampler in silent:
                if over or node in self.given_up:
                    raise await self._give_up(node, sampler)
            await asyncio.sleep(0.05)
        self.given_up.clear()

    async def _give_up(self, node: str, sampler: NodeSampler) -> InstanceError:
        ended = sampler.ended or find_end(self.session.caches[PODS], sampler.pod)
        if ended is None:
            return self._describe_silence(node, sampler)
        self.given_up.add(node)
        trouble = sampler.trouble if sampler.ended is not None else None
        back = f"within {LINES_DEADLINE_S:.0f} s" if trouble is None else f"yet: {trouble.message}"
        hint = (trouble and trouble.hint) or await self.session.explain(PODS, sampler.pod)
        return InstanceError(
            f"the sampler of node {node} has ended: {ended}; it has not come back {back}", hint=hint
        )

    def _describe_silence(self, node: str, sampler: NodeSampler) -> InstanceError:
        seen = self.session.caches[NODES].objects.get(node) if NODES in self.session.caches else None
        if seen is not None and not is_node_ready(seen):
            return InstanceError(f"node {node} is not ready, and its sampler is not heard of")
        running = f"the sampler of node {node} runs, and its log"
        if sampler.trouble is not None:
            return InstanceError(
                f"{running} cannot be read: {sampler.trouble.message}", hint=sampler.trouble.hint
            )
        return InstanceError(
            f"{running} has had no line for {LINES_DEADLINE_S:.0f} s",
            hint="does the kubelet there answer? kubectl logs of any other of its pods shows it",
        )

    def read(self) -> dict[str, MetricValues]:
        """Return every node's latest values, and as "node" the sum of all; a sum lacks what one of them lacks."""
        values = {name: sampler.latest.read() for name, sampler in self.samplers.items()}
        if len(values) == 1:
            return {NODE: next(iter(values.values()))}
        return {NODE: sum_nodes(list(values.values()))} | {f"{NODE}/{name}": v for name, v in values.items()}


def sum_nodes(values: list[MetricValues]) -> MetricValues:
    """Add numbers of several nodes by metric id; of ages the oldest counts."""
    shared = set.intersection(*(set(v) for v in values)) if values else set()
    total: MetricValues = {}
    for key in shared:
        known = [v[key] for v in values]
        complete = [value for value in known if value is not None]
        if len(complete) < len(known):
            total[key] = None
        else:
            total[key] = max(complete) if key == AGE else sum(complete)
    return total


def node_command(interval_s: float) -> list[str]:
    """Return the worker's arguments on a node that is sampled every `interval_s` seconds."""
    return [*sampler_command(interval_s / PRINTS_PER_SAMPLE), THP, ARCHITECTURE_PATH]


def sampler_name(scope: RunScope, number: int) -> str:
    return f"{scope.worker_map}-sampler-{number}"


@asynccontextmanager
async def open_nodes(session: ClusterSession, measured: Sequence[Object], image: str) -> AsyncIterator[Nodes]:
    """Start a sampler on every node and wait for its first line; InstanceError names a node that says nothing."""
    samplers = [
        NodeSampler(sampler_name(session.scope, number), session.interval_s)
        for number in range(len(measured))
    ]
    nodes = Nodes(session, dict(zip(map(name_of, measured), samplers, strict=True)))
    contexts = [_open_sampler(session, n, s, image) for n, s in zip(measured, samplers, strict=True)]
    async with open_together(contexts, session.slots):
        await nodes.wait_for_lines()
        yield nodes


@asynccontextmanager
async def _open_sampler(
    session: ClusterSession, node: Object, sampler: NodeSampler, image: str
) -> AsyncIterator[None]:
    """Start a sampler, and start it anew whenever it has ended, as long as the context lasts."""
    command = node_command(session.interval_s)
    manifest = build_sampler_pod(session.scope, sampler.pod, hostname_of(node), image, command)
    label = f"the sampler of node {name_of(node)}"
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with session.background(keep_sampling(session, sampler, manifest, label, started)):
        await started
        yield


async def keep_sampling(
    session: ClusterSession, sampler: NodeSampler, manifest: Object, label: str, started: asyncio.Future[None]
) -> None:
    """Have a sampler run until cancelled: one that has ended or is gone is started anew.

    started: gets the end of the first start, an error of which ends it all.
    """
    while True:
        try:
            async with session.open_object(PODS, manifest, label):
                await session.wait_running(PODS, sampler.pod, label, lambda pod: is_started(pod, CONTAINER))
                if not started.done():
                    started.set_result(None)
                async with session.background(follow_sampler(session, sampler)):
                    ended = await session.caches[PODS].wait_for(lambda c: find_end(c, sampler.pod), None, "")
            sampler.start_over(ended)
        except Exception as error:
            if not started.done():
                started.set_exception(error)
                return
            if not isinstance(error, FreepageError):
                raise
            sampler.trouble = error
        await asyncio.sleep(RETRY_S)


def find_end(pods: ObjectCache, name: str) -> str | None:
    """Return why a pod that has run does no more; None where it does."""
    pod = pods.objects.get(name)
    return "it was deleted" if pod is None else find_failure(pod)


async def follow_sampler(session: ClusterSession, sampler: NodeSampler) -> None:
    """Take every line until cancelled: a log that cannot be read now may be later, and all trials depend on it."""
    while True:
        lines = session.api.follow_log(sampler.pod, namespace=session.scope.namespace, container=CONTAINER)
        try:
            async for line in lines:
                parsed = parse_node_line(line.text)
                if parsed is not None:
                    sampler.take_line(parsed)
        except ClusterError as error:
            sampler.trouble = error
        await asyncio.sleep(RETRY_S)

"""What the measured nodes' own kernels say, printed by one small pod on each and read from its log."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.cluster.manifests import build_sampler_pod
from freepage.cluster.resources import PODS
from freepage.errors import HostError
from freepage.fpr.evidence import parse_choice
from freepage.records import NODE
from freepage.sampling.node_lines import parse_node_line, sampler_command
from freepage.sampling.procfs import read_host_from
from freepage.targets.cluster.newest import Newest
from freepage.targets.cluster.pod import CONTAINER
from freepage.targets.cluster.readiness import is_started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freepage.cluster.manifests import RunPlace
    from freepage.sampling.node_lines import NodeLine
    from freepage.targets.cluster.session import ClusterSession

Values = dict[str, float | None]

# The sampler prints twice as often as samples are taken, so that those are never much older than half an interval.
PRINTS_PER_SAMPLE = 2
# What else a node has to say of itself that results depend on.
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
AGE = "node_sample_age_s"


class NodeSampler:
    """One node's newest numbers, and how its clock stands to ours."""

    def __init__(self, interval_s: float) -> None:
        self.newest = Newest(interval_s, AGE)
        self.texts: dict[str, str | None] = {}
        self._least_lag_s = float("inf")

    def take_line(self, line: NodeLine) -> None:
        """Take one printed line; the quickest line so far tells how the node's clock stands to this host's."""
        lag_s = time.monotonic() - line.clock_s
        self._least_lag_s = min(self._least_lag_s, lag_s)
        self.texts = line.texts
        values = read_host_from(line.read, line.page_bytes)
        self.newest.put(values, line.clock_s + self._least_lag_s)

    @property
    def thp(self) -> str | None:
        """The node's choice of transparent huge pages."""
        return parse_choice(self.texts.get(THP))


@dataclass
class Nodes:
    """All measured nodes."""

    samplers: dict[str, NodeSampler]

    def read(self) -> dict[str, Values]:
        """Give every node's newest numbers, and as "node" the sum of all; a sum lacks what one of them lacks."""
        values = {name: sampler.newest.take() for name, sampler in self.samplers.items()}
        if len(values) == 1:
            return {NODE: next(iter(values.values()))}
        return {NODE: add_up(list(values.values()))} | {f"{NODE}/{name}": v for name, v in values.items()}


def add_up(values: list[Values]) -> Values:
    """Add numbers of several nodes by metric id; of ages the oldest counts."""
    shared = set.intersection(*(set(v) for v in values)) if values else set()
    total: Values = {}
    for key in shared:
        known = [v[key] for v in values]
        complete = [value for value in known if value is not None]
        if len(complete) < len(known):
            total[key] = None
        else:
            total[key] = max(complete) if key == AGE else sum(complete)
    return total


def node_command(interval_s: float) -> list[str]:
    """Give the worker's arguments on a node that is sampled every `interval_s` seconds."""
    return [*sampler_command(interval_s / PRINTS_PER_SAMPLE), THP]


def sampler_name(place: RunPlace, number: int) -> str:
    return f"{place.worker_map}-sampler-{number}"


@asynccontextmanager
async def open_nodes(session: ClusterSession, names: tuple[str, ...], image: str) -> AsyncIterator[Nodes]:
    """Start a sampler on every node and wait for its first line; HostError names a node that says nothing."""
    nodes = Nodes({name: NodeSampler(session.interval_s) for name in names})
    async with AsyncExitStack() as stack:
        for number, name in enumerate(names):
            pod = sampler_name(session.place, number)
            command = node_command(session.interval_s)
            manifest = build_sampler_pod(session.place, pod, name, image, command)
            label = f"the sampler of node {name}"
            await stack.enter_async_context(session.open_object(PODS, manifest, label))
            await session.wait_running(PODS, pod, label, lambda obj: is_started(obj, CONTAINER))
            await stack.enter_async_context(session.background(_follow(session, pod, nodes.samplers[name])))
        await _wait_for_lines(nodes)
        yield nodes


async def _follow(session: ClusterSession, pod: str, sampler: NodeSampler) -> None:
    lines = session.api.follow_log(pod, namespace=session.place.namespace, container=CONTAINER)
    async for line in lines:
        parsed = parse_node_line(line.text)
        if parsed is not None:
            sampler.take_line(parsed)


async def _wait_for_lines(nodes: Nodes, deadline_s: float = 30.0) -> None:
    end_s = time.monotonic() + deadline_s
    while silent := [name for name, s in nodes.samplers.items() if not s.texts]:
        if time.monotonic() > end_s:
            raise HostError(
                f"the sampler on node {silent[0]} runs, and its log has no line",
                hint="is this user allowed to get pods/log? `freepage rbac run` prints what a run needs",
            )
        await asyncio.sleep(0.05)

"""The samplers of a run's nodes: read whatever happens to their logs, started anew when they are gone."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from freepage.errors import InstanceError
from freepage.image.architecture import AMD64
from freepage.kube.errors import ForbiddenError, LoginError, UnreachableError
from freepage.kube.logs import LogLine
from freepage.kube.resources import NODES, PODS, dig, name_of
from freepage.targets.cluster import nodes, objects
from freepage.targets.cluster.manifests import RunScope
from freepage.targets.cluster.nodes import Nodes, NodeSampler, follow_sampler, open_nodes
from freepage.targets.cluster.objects import ObjectCache
from freepage.targets.cluster.session import ClusterSession
from helpers.fake_cluster import FakeCluster

SCOPE = RunScope("bench", "abc", "freepage-abc", None, None, 1200, 7200, AMD64)
NODE = {"metadata": {"name": "worker-0", "labels": {}}}
SAMPLER = "freepage-abc-sampler-0"
RUNNING = {
    "phase": "Running",
    "containerStatuses": [{"name": "worker", "state": {"running": {}}}],
}
QUOTA = ForbiddenError("exceeded quota: small", status=403)


def sampler_line(number):
    said = {"type": "sample", "n": number, "clock_ns": 1, "wall_ns": 1, "page_bytes": 4096}
    return json.dumps(said | {"files": {"/proc/tick": str(number)}})


class NodeCluster(FakeCluster):
    """A cluster whose pods run as soon as they are made and print a line every 10 ms; `refusal` refuses new ones."""

    def __init__(self):
        super().__init__()
        self.made = []
        self.refusal = None
        self.cache = ObjectCache()

    async def create(self, resource, obj, *, namespace=None, dry_run=False):
        if self.refusal is not None:
            raise self.refusal
        made = await super().create(resource, {**obj, "status": RUNNING}, namespace=namespace)
        self.made.append(name_of(made))
        self.cache.objects[name_of(made)] = made
        return made

    async def delete(self, resource, name, *, namespace=None, grace_s=None, propagation="Background"):
        await super().delete(resource, name, namespace=namespace)
        self.cache.objects.pop(name, None)

    async def follow_log(self, pod, *, namespace, container):
        uid = dig(self.cache.objects[pod], "metadata", "uid")
        while dig(self.cache.objects.get(pod), "metadata", "uid") == uid:
            yield LogLine(0.0, sampler_line(len(self.made)))
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(nodes, "RETRY_S", 0.01)
    monkeypatch.setattr(nodes, "LINES_DEADLINE_S", 0.1)
    monkeypatch.setattr(objects, "RECHECK_S", 0.01)


@pytest.fixture
def cluster():
    return NodeCluster()


@pytest.fixture
def session(cluster):
    found = ClusterSession(cluster, SCOPE, 0.05, asyncio.Semaphore(4))
    found.caches[PODS] = cluster.cache
    return found


@asynccontextmanager
async def sampled(session):
    async with asyncio.timeout(5), open_nodes(session, [NODE], "small:1") as measured:
        yield measured


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing says when it has come about
            await asyncio.sleep(0.005)


async def test_a_sampler_that_is_deleted_or_evicted_is_started_anew(cluster, session):
    async with sampled(session) as measured:
        for number, status in enumerate((None, {"phase": "Failed", "reason": "Evicted"}), start=2):
            if status is None:
                cluster.cache.objects.pop(SAMPLER)
                cluster._remove(PODS, "bench", SAMPLER)
            else:
                cluster.cache.objects[SAMPLER]["status"] = status
            texts = {"/proc/tick": str(number)}
            await until(lambda texts=texts: measured.samplers["worker-0"].texts == texts)
            await measured.wait_for_lines()
    assert cluster.made == [SAMPLER] * 3
    assert cluster.cache.objects == {}


async def test_a_sampler_that_cannot_be_started_anew_is_told_so_and_waited_for_once(cluster, session):
    async with sampled(session) as measured:
        cluster.refusal = QUOTA
        cluster.cache.objects.pop(SAMPLER)
        cluster._remove(PODS, "bench", SAMPLER)
        await until(lambda: not measured.samplers["worker-0"].latest.read())
        words = "the sampler of node worker-0 has ended: it was deleted; it has not come back yet: .*exceeded quota"
        with pytest.raises(InstanceError, match=words) as caught:
            await measured.wait_for_lines()
        assert "--scale" in caught.value.hint
        async with asyncio.timeout(nodes.LINES_DEADLINE_S / 2):
            with pytest.raises(InstanceError, match=words):
                await measured.wait_for_lines()
        cluster.refusal = None
        await until(measured.samplers["worker-0"].latest.read)
        await measured.wait_for_lines()


async def test_a_node_that_was_started_anew_has_another_clock(session):
    sampler = NodeSampler(SAMPLER, 1.0)
    early, late = (nodes.parse_node_line(sampler_line(1)) for _ in range(2))
    object.__setattr__(early, "clock_s", 1e9)
    sampler.take_line(early)
    assert sampler.latest.read()
    sampler.start_over("it was deleted")
    sampler.take_line(late)
    assert sampler.latest.read()


async def test_a_first_sampler_that_is_refused_ends_the_run(cluster, session):
    cluster.refusal = QUOTA
    with pytest.raises(InstanceError, match="the sampler of node worker-0 is not what the namespace's quota"):
        async with sampled(session):
            pytest.fail("it was started")


async def test_a_sampler_is_read_again_after_its_log_could_not_be(cluster, session):
    answers = iter(
        [UnreachableError("it broke off"), sampler_line(1), LoginError("expired"), sampler_line(2)]
    )

    async def follow_log(pod, *, namespace, container):
        answer = next(answers, None) or await asyncio.sleep(60)
        if isinstance(answer, Exception):
            raise answer
        yield LogLine(0.0, answer)

    cluster.follow_log = follow_log
    sampler = NodeSampler(SAMPLER, 1.0)
    async with session.background(follow_sampler(session, sampler)):
        await until(lambda: sampler.texts == {"/proc/tick": "2"})


@pytest.mark.parametrize(
    ("pod", "trouble", "words"),
    [
        ({"phase": "Running"}, None, "runs, and its log has had no line for"),
        ({"phase": "Running"}, LoginError("expired"), "runs, and its log cannot be read: expired"),
        ({"phase": "Failed", "reason": "Evicted"}, None, r"has ended: it failed \(Evicted\)"),
        (None, None, "has ended: it was deleted; it has not come back within"),
    ],
    ids=["silent", "unreadable", "evicted", "gone"],
)
async def test_a_trial_does_not_begin_while_a_node_says_nothing_and_tells_why(session, pod, trouble, words):
    sampler = NodeSampler(SAMPLER, 1.0)
    sampler.trouble = trouble
    if pod is not None:
        session.caches[PODS].objects[SAMPLER] = {"metadata": {"name": SAMPLER}, "status": pod}
    with pytest.raises(InstanceError, match=f"the sampler of node worker-0 {words}"):
        await Nodes(session, {"worker-0": sampler}).wait_for_lines()


async def test_a_node_that_is_not_ready_is_told_so(session):
    conditions = [{"type": "Ready", "status": "Unknown"}]
    session.caches[NODES] = ObjectCache()
    session.caches[NODES].objects["worker-0"] = {**NODE, "status": {"conditions": conditions}}
    session.caches[PODS].objects[SAMPLER] = {"metadata": {"name": SAMPLER}, "status": RUNNING}
    with pytest.raises(InstanceError, match="node worker-0 is not ready"):
        await Nodes(session, {"worker-0": NodeSampler(SAMPLER, 1.0)}).wait_for_lines()

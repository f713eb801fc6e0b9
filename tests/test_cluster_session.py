"""What a run's session does with the objects of its instances: made, watched, and removed whatever happens."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from fake_cluster import FakeCluster
from freepage.cluster.errors import ClusterError, InvalidError, UnreachableError
from freepage.cluster.manifests import PodShape, RunPlace, build_worker_pod
from freepage.cluster.resources import PODS
from freepage.errors import InstanceError
from freepage.targets.cluster.session import ClusterSession
from freepage.units import MIB

PLACE = RunPlace("bench", "abc", "freepage-abc", None, None, 1200, 7200)
POD = build_worker_pod(PLACE, PodShape("freepage-abc-1-0", "cycle-0", "worker-0", "small:1", 64 * MIB))


class SlowCluster(FakeCluster):
    """What it is asked to create or delete it does at once, and answers as `answers` says, by verb."""

    def __init__(self):
        super().__init__()
        self.answers = {}
        self.asked = asyncio.Event()

    async def create(self, resource, obj, *, namespace=None, dry_run=False):
        made = await super().create(resource, obj, namespace=namespace, dry_run=dry_run)
        await self._answer("create")
        return made

    async def delete(self, resource, name, *, namespace=None, grace_s=None, propagation="Background"):
        await self._answer("delete")
        await super().delete(resource, name, namespace=namespace, grace_s=grace_s, propagation=propagation)

    async def _answer(self, verb):
        answer = self.answers.get(verb)
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            self.asked.set()
            await asyncio.sleep(answer)

    @property
    def pods(self):
        return [name for _, name in self.objects.get((PODS.group, PODS.plural), {})]


@asynccontextmanager
async def opened(cluster):
    session = ClusterSession(cluster, PLACE, 1.0, asyncio.Semaphore(4))
    async with session.open_object(PODS, POD, "cycle-0"):
        yield


async def hold(cluster):
    async with opened(cluster):
        await asyncio.sleep(60)


async def test_a_pod_is_there_while_its_instance_is():
    cluster = SlowCluster()
    async with opened(cluster):
        assert cluster.pods == ["freepage-abc-1-0"]
    assert cluster.pods == []


@pytest.mark.parametrize(
    "error", [UnreachableError("it broke off"), ClusterError("etcd is away", status=500)]
)
async def test_a_pod_whose_creation_has_no_answer_is_removed_and_fails_its_trial_only(error):
    cluster = SlowCluster()
    cluster.answers["create"] = error
    with pytest.raises(InstanceError, match=f"cycle-0 could not be created: {error.message}"):
        async with opened(cluster):
            pytest.fail("it was created")
    assert cluster.pods == []


async def test_a_pod_the_cluster_does_not_understand_ends_the_run():
    cluster = SlowCluster()
    cluster.answers["create"] = InvalidError("spec.memory: unknown field", status=422)
    with pytest.raises(InvalidError):
        async with opened(cluster):
            pytest.fail("it was created")


async def test_a_pod_whose_creation_is_interrupted_is_removed():
    cluster = SlowCluster()
    cluster.answers["create"] = 60.0
    task = asyncio.create_task(hold(cluster))
    await cluster.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cluster.pods == []


async def test_a_pod_whose_removal_is_interrupted_is_removed():
    cluster = SlowCluster()
    cluster.answers["delete"] = 0.1
    task = asyncio.create_task(hold(cluster))
    await asyncio.sleep(0.05)
    task.cancel()
    await cluster.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cluster.pods == []

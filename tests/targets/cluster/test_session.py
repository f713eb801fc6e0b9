"""What a run's session does with the objects of its instances: made, watched, and removed whatever happens."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from freepage.errors import InstanceError
from freepage.image.architecture import AMD64
from freepage.kube.errors import ClusterError, ForbiddenError, InvalidError, UnreachableError
from freepage.kube.resources import EVENTS, PODS, VMIS, name_of
from freepage.targets.cluster import launcher
from freepage.targets.cluster.latest import LatestValues
from freepage.targets.cluster.manifests import PLAIN_USER, PodShape, RunScope, build_worker_pod
from freepage.targets.cluster.objects import ObjectCache
from freepage.targets.cluster.session import ClusterSession
from freepage.targets.cluster.survey import find_user, read_namespace
from freepage.targets.cluster.vm import open_cluster_vm
from freepage.targets.cluster.vmi_manifests import VmiShape, build_vmi
from freepage.units import MIB
from helpers.fake_cluster import FakeCluster

FORBIDDEN = ForbiddenError("alice may not create pods/exec", status=403)
SCOPE = RunScope("bench", "abc", "freepage-abc", None, None, 1200, 7200, AMD64)
POD = build_worker_pod(SCOPE, PodShape("freepage-abc-1-0", "cycle-0", "worker-0", "small:1", 64 * MIB))


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
    session = ClusterSession(cluster, SCOPE, 1.0, asyncio.Semaphore(4))
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


@pytest.mark.parametrize(
    ("error", "tries"), [(OSError("cut off"), 3), (ClusterError("away"), 3), (FORBIDDEN, 1)]
)
async def test_a_launcher_is_read_again_unless_that_is_forbidden(monkeypatch, error, tries):
    monkeypatch.setattr(launcher, "RETRY_S", 0.01)
    cluster, opened, enough = SlowCluster(), [], asyncio.Event()

    @asynccontextmanager
    async def open_exec(pod, command, *, namespace, container):
        opened.append(pod)
        if len(opened) == tries:
            enough.set()
        raise error
        yield

    cluster.open_exec = open_exec
    pod = {"metadata": {"name": "virt-launcher-x", "namespace": "bench"}}
    task = asyncio.create_task(launcher.follow_launcher(cluster, pod, LatestValues(1.0, "usage_age_s"), 1.0))
    await enough.wait()
    await asyncio.sleep(0.05)
    assert task.done() == (error is FORBIDDEN)
    assert len(opened) == tries or error is not FORBIDDEN
    task.cancel()


@pytest.mark.parametrize(
    ("words", "hint"),
    [("exceeded quota: small", "--scale"), ("failed quota: small: must specify limits.cpu", "LimitRange")],
)
async def test_a_quota_fails_the_trial_with_what_to_do(words, hint):
    cluster = SlowCluster()
    cluster.answers["create"] = ForbiddenError(words, status=403)
    with pytest.raises(InstanceError, match=words) as caught:
        async with opened(cluster):
            pytest.fail("it was created")
    assert hint in caught.value.hint


@pytest.mark.parametrize(("groups", "user"), [((), PLAIN_USER), (("security.openshift.io",), None)])
async def test_where_the_namespace_may_not_be_read_the_cluster_still_says_who_chooses_users(groups, user):
    cluster = FakeCluster()
    cluster.forbidden.add(("get", "namespaces"))
    cluster.served |= {group: ["v1"] for group in groups}
    assert await find_user(cluster, await read_namespace(cluster)) == user


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


async def test_what_did_not_run_is_told_by_what_was_seen_of_it_for_it_is_gone_by_then():
    cluster = SlowCluster()
    session = ClusterSession(cluster, SCOPE, 1.0, asyncio.Semaphore(4), ready_deadline_s=0.01)
    session.caches[PODS] = cache = ObjectCache()
    waiting = {"name": "worker", "state": {"waiting": {"reason": "ContainerCreating"}}}
    cache.objects["p"] = {
        "metadata": {"name": "p"},
        "status": {"phase": "Pending", "containerStatuses": [waiting]},
    }
    scheduled = {"type": "Normal", "reason": "Scheduled", "message": "assigned to n2"}
    cluster.add(EVENTS, {"metadata": {"name": "p.1", "namespace": "bench"}, **scheduled})
    with pytest.raises(InstanceError, match="cycle-0 did not run within") as caught:
        await session.wait_running(PODS, "p", "cycle-0")
    assert caught.value.hint.splitlines() == [
        "its phase is Pending",
        "its container worker waits: ContainerCreating",
        "last event: Scheduled: assigned to n2",
    ]


async def test_a_guest_that_ended_at_once_is_told_by_its_console(tmp_path):
    cluster = SlowCluster()
    session = ClusterSession(cluster, SCOPE, 1.0, asyncio.Semaphore(4))
    for resource in (PODS, VMIS):
        session.caches[resource] = ObjectCache()
    shape = VmiShape("freepage-abc-1-0", "cycle-0", "worker-0", True, 64 * MIB, 1, image="i:1")
    vmi = cluster.add(VMIS, {**build_vmi(SCOPE, shape), "status": {"phase": "Succeeded"}})
    launcher = cluster.add_launcher(vmi, "worker-0", phase="Succeeded")
    cluster.logs["bench", name_of(launcher)] = "Kernel panic - not syncing\n"
    session.caches[PODS].objects[name_of(launcher)] = launcher

    async def create(resource, obj, *, namespace):
        session.caches[VMIS].objects[shape.name] = vmi

    async def delete(resource, name, *, namespace, grace_s):
        session.caches[VMIS].objects.clear()

    cluster.create, cluster.delete = create, delete
    with pytest.raises(InstanceError, match="cycle-0 did not start: it succeeded") as caught:
        async with open_cluster_vm(session, shape, build_vmi(SCOPE, shape), tmp_path, "kvm"):
            pytest.fail("it was started")
    assert "the console's last lines:\nKernel panic - not syncing" in caught.value.hint
    assert "kubectl" not in caught.value.hint


async def test_an_image_that_is_not_pulled_is_asked_about_beside_what_the_cluster_says():
    waiting = {"state": {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}}
    cluster = SlowCluster()
    session = ClusterSession(cluster, SCOPE, 1.0, asyncio.Semaphore(4))
    session.caches[PODS] = cache = ObjectCache()
    cache.objects["p"] = {"metadata": {"name": "p"}, "status": {"containerStatuses": [waiting]}}
    with pytest.raises(
        InstanceError, match="cycle-0 did not start: ErrImagePull: manifest unknown"
    ) as caught:
        await session.wait_running(PODS, "p", "cycle-0")
    assert "--pull-secret" in caught.value.hint

"""What a run owns: made once, kept alive, removed with all that belongs to it, also after a crash."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from freepage.errors import HostError
from freepage.kube.errors import ClusterError, ExistsError, ForbiddenError, UnreachableError
from freepage.kube.resources import CONFIG_MAPS, PODS, RUN_LABEL, VMIS, dig
from freepage.targets.cluster import leftovers, owner
from freepage.targets.cluster.leftovers import ALIVE, find_leftovers, remove_leftovers, wait_until_gone
from freepage.targets.cluster.manifests import build_owner_reference
from freepage.targets.cluster.owner import build_owner, open_owner
from helpers.crashed_run import add_crashed_run, add_pod, names_left
from helpers.fake_cluster import FakeCluster
from helpers.virtual_time import run_virtually


async def test_all_that_a_run_owns_is_gone_with_it():
    cluster = FakeCluster()
    async with open_owner(cluster, "bench", "r1") as made:
        assert made["metadata"]["name"] == "freepage-run-r1"
        assert made["metadata"]["labels"][RUN_LABEL] == "r1"
        add_pod(cluster, "r1", "r1-pod", made)
        add_pod(cluster, "other", "other-pod")
    assert names_left(cluster) == ["other-pod"]


async def test_a_run_that_fails_is_removed_as_well():
    cluster = FakeCluster()
    with pytest.raises(ValueError, match="trial"):
        async with open_owner(cluster, "bench", "r1"):
            raise ValueError("a trial failed")
    assert names_left(cluster) == []


async def test_a_run_that_is_interrupted_is_removed_as_well():
    cluster = FakeCluster()
    opened = asyncio.Event()

    async def run():
        async with open_owner(cluster, "bench", "r1"):
            opened.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(run())
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names_left(cluster) == []


async def test_an_owner_whose_creation_was_interrupted_is_not_left(monkeypatch):
    cluster = FakeCluster()
    create, created = cluster.create, asyncio.Event()

    async def answer_late(*args, **options):
        await create(*args, **options)
        created.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(cluster, "create", answer_late)
    task = asyncio.create_task(anext(open_owner(cluster, "bench", "r1").gen))
    await created.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names_left(cluster) == []


async def test_a_run_that_is_interrupted_twice_is_removed_as_well(monkeypatch):
    cluster = FakeCluster()
    delete, opened, removing = cluster.delete, asyncio.Event(), asyncio.Event()

    async def delete_slowly(*args, **options):
        removing.set()
        await asyncio.sleep(0.1)
        await delete(*args, **options)

    monkeypatch.setattr(cluster, "delete", delete_slowly)

    async def run():
        async with open_owner(cluster, "bench", "r1"):
            opened.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(run())
    for step in (opened, removing):
        await step.wait()
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names_left(cluster) == []


async def test_what_ended_a_run_is_said_although_it_cannot_be_removed_either():
    cluster = FakeCluster()
    cluster.forbidden.add(("delete", "configmaps"))
    with pytest.raises(
        ClusterError, match=r"no node left; and then run r1 could not be removed: .*"
    ) as caught:
        async with open_owner(cluster, "bench", "r1"):
            raise HostError("no node left")
    assert caught.value.hint.endswith("`freepage clean -n bench --run r1` removes what is left of it")


async def test_an_expired_login_is_told_once():
    cluster = FakeCluster()
    cluster.forbidden.add(("delete", "configmaps"))
    with pytest.raises(ClusterError) as caught:
        async with open_owner(cluster, "bench", "r1"):
            raise ClusterError("alice may not delete configmaps")
    assert caught.value.message == "run r1 could not be removed: alice may not delete configmaps"


async def test_a_name_that_is_taken_is_never_taken_over():
    cluster = FakeCluster()
    add_crashed_run(cluster)
    with pytest.raises(ExistsError, match="already has a run r1") as caught:
        async with open_owner(cluster, "bench", "r1"):
            pytest.fail("it was taken over")
    assert "freepage clean --run r1" in caught.value.hint
    assert "r1-pod" in names_left(cluster)


async def test_a_sign_of_life_is_renewed_also_after_the_cluster_said_no(monkeypatch):
    monkeypatch.setattr(owner, "RENEWAL_S", 0.01)
    cluster = FakeCluster()
    patch, failures = cluster.patch, iter([ClusterError("not now")])

    async def patch_sometimes(*args, **options):
        if failure := next(failures, None):
            raise failure
        return await patch(*args, **options)

    monkeypatch.setattr(cluster, "patch", patch_sometimes)
    async with open_owner(cluster, "bench", "r1") as made:
        before = made["metadata"]["resourceVersion"]
        await asyncio.sleep(0.1)
        now = await cluster.get(CONFIG_MAPS, "freepage-run-r1", "bench")
    assert now["metadata"]["resourceVersion"] != before
    assert datetime.fromisoformat(now["metadata"]["annotations"][ALIVE]).tzinfo is not None


async def test_what_a_killed_run_left_is_found_by_its_labels_in_the_order_of_removal():
    cluster = FakeCluster()
    add_crashed_run(cluster)
    add_pod(cluster, "r2", "orphan")
    cluster.add(PODS, {"metadata": {"name": "foreign", "namespace": "bench", "labels": {"app": "x"}}})
    first, second = await find_leftovers(cluster, "bench")
    assert [o.name for o in first.objects] == ["r1-vm", "r1-pod", "r1-seed", "freepage-run-r1"]
    assert not first.alive
    assert (second.run, second.silent_s, [o.name for o in second.objects]) == ("r2", None, ["orphan"])
    await remove_leftovers(cluster, "bench", first)
    assert names_left(cluster) == ["orphan", "foreign"]


async def test_a_run_that_was_heard_of_lately_is_alive():
    cluster = FakeCluster()
    add_crashed_run(cluster, silent_s=60)
    (found,) = await find_leftovers(cluster, "bench", "r1")
    assert found.alive
    assert 59 < found.silent_s < 65
    cluster.peek(CONFIG_MAPS, "bench", "freepage-run-r1")["metadata"]["annotations"][ALIVE] = "yesterday"
    (found,) = await find_leftovers(cluster, "bench", "r1")
    assert not found.alive


async def test_what_a_finalizer_holds_is_named_after_the_deadline():
    cluster = FakeCluster()
    add_pod(cluster, "r1", "held", finalizers=["example.com/hold"])
    with pytest.raises(ClusterError, match="Pod held is not gone after 0 s") as caught:
        await wait_until_gone(cluster, "bench", "r1", deadline_s=0.05)
    assert "freepage clean --run r1" in caught.value.hint


def test_a_cluster_that_is_away_for_a_while_does_not_end_the_wait(monkeypatch):
    cluster = FakeCluster()
    list_all, failures = cluster.list, iter([UnreachableError("it broke off"), ClusterError("x", status=503)])

    async def list_sometimes(*args, **options):
        if failure := next(failures, None):
            raise failure
        return await list_all(*args, **options)

    monkeypatch.setattr(cluster, "list", list_sometimes)
    run_virtually(wait_until_gone(cluster, "bench", "r1"))
    assert next(failures, None) is None


async def test_a_login_that_is_lost_ends_the_wait():
    cluster = FakeCluster()
    cluster.forbidden.add(("list", "pods"))
    with pytest.raises(ForbiddenError):
        await wait_until_gone(cluster, "bench", "r1")


async def test_a_cluster_without_kubevirt_is_cleaned_as_well(monkeypatch):
    cluster = FakeCluster(kubevirt=None)
    add_pod(cluster, "r1", "left")
    list_all = cluster.list

    async def list_without_vms(resource, *args, **options):
        if resource == VMIS:
            raise leftovers.NotFoundError("the cluster has no virtualmachineinstances")
        return await list_all(resource, *args, **options)

    monkeypatch.setattr(cluster, "list", list_without_vms)
    (found,) = await find_leftovers(cluster, "bench")
    await remove_leftovers(cluster, "bench", found)
    assert names_left(cluster) == []


def test_a_runs_objects_go_with_it_but_do_not_hold_it():
    made = build_owner("r1", "bench")
    made["metadata"]["uid"] = "u"
    assert dig(build_owner_reference(made), "blockOwnerDeletion") is False

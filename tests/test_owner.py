"""What a run owns: made once, kept alive, removed with all that belongs to it, also after a crash."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from fake_cluster import FakeCluster
from freepage.cluster import leftovers, owner
from freepage.cluster.errors import ClusterError, ExistsError
from freepage.cluster.leftovers import ALIVE, find_remains, remove_remains, wait_until_gone
from freepage.cluster.manifests import build_labels, build_owner_reference
from freepage.cluster.owner import build_owner, open_owner
from freepage.cluster.resources import CONFIG_MAPS, MACHINE_INSTANCES, PODS, RUN_LABEL, SECRETS, dig


def add_pod(cluster, run, name, owned_by=None, **metadata):
    made = {"name": name, "namespace": "bench", "labels": build_labels(run, "pod"), **metadata}
    if owned_by is not None:
        made["ownerReferences"] = [build_owner_reference(owned_by)]
    return cluster.add(PODS, {"metadata": made, "spec": {}, "status": {"phase": "Running"}})


def add_crashed_run(cluster, run="r1", silent_s=3600):
    """Leave what a run that was killed leaves: its owner, a VM with its launcher, a pod, a Secret."""
    made = build_owner(run, "bench")
    last = datetime.now(UTC) - timedelta(seconds=silent_s)
    made["metadata"]["annotations"][ALIVE] = last.isoformat(timespec="seconds")
    owning = cluster.add(CONFIG_MAPS, made)
    add_pod(cluster, run, f"{run}-pod", owning)
    labels = build_labels(run, "vm")
    reference = [build_owner_reference(owning)]
    cluster.add_instance("bench", f"{run}-vm", labels=labels, metadata={"ownerReferences": reference})
    secret = {"name": f"{run}-seed", "namespace": "bench", "labels": build_labels(run, "user-data")}
    cluster.add(SECRETS, {"metadata": secret})


def names_left(cluster):
    kinds = (CONFIG_MAPS, PODS, MACHINE_INSTANCES, SECRETS)
    return [name for k in kinds for _, name in cluster.objects.get((k.group, k.plural), {})]


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
    first, second = await find_remains(cluster, "bench")
    assert [o.name for o in first.objects] == ["r1-vm", "r1-pod", "r1-seed", "freepage-run-r1"]
    assert not first.alive
    assert (second.run, second.silent_s, [o.name for o in second.objects]) == ("r2", None, ["orphan"])
    await remove_remains(cluster, "bench", first)
    assert names_left(cluster) == ["orphan", "foreign"]


async def test_a_run_that_was_heard_of_lately_is_alive():
    cluster = FakeCluster()
    add_crashed_run(cluster, silent_s=60)
    (found,) = await find_remains(cluster, "bench", "r1")
    assert found.alive
    assert 59 < found.silent_s < 65
    cluster.peek(CONFIG_MAPS, "bench", "freepage-run-r1")["metadata"]["annotations"][ALIVE] = "yesterday"
    (found,) = await find_remains(cluster, "bench", "r1")
    assert not found.alive


async def test_what_a_finalizer_holds_is_named_after_the_deadline():
    cluster = FakeCluster()
    add_pod(cluster, "r1", "held", finalizers=["example.com/hold"])
    with pytest.raises(ClusterError, match="Pod held is not gone after 0 s") as caught:
        await wait_until_gone(cluster, "bench", "r1", deadline_s=0.05)
    assert "freepage clean --run r1" in caught.value.hint


async def test_a_cluster_without_kubevirt_is_cleaned_as_well(monkeypatch):
    cluster = FakeCluster(kubevirt=None)
    add_pod(cluster, "r1", "left")
    found = cluster.list

    async def list_without_machines(resource, *args, **options):
        if resource == MACHINE_INSTANCES:
            raise leftovers.NotFoundError("the cluster has no virtualmachineinstances")
        return await found(resource, *args, **options)

    monkeypatch.setattr(cluster, "list", list_without_machines)
    (remains,) = await find_remains(cluster, "bench")
    await remove_remains(cluster, "bench", remains)
    assert names_left(cluster) == []


def test_a_runs_objects_go_with_it_but_do_not_hold_it():
    made = build_owner("r1", "bench")
    made["metadata"]["uid"] = "u"
    assert dig(build_owner_reference(made), "blockOwnerDeletion") is False

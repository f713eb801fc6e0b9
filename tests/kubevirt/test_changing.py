"""The steps of a change of the setting, in their order, and what the cluster is asked for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.fpr.rule import ANNOTATION
from freepage.kube.errors import ClusterError, ConflictError, ForbiddenError
from freepage.kube.resources import VMS
from freepage.kubevirt.changing import ClusterChange, VmChange, change_cluster, change_vms
from freepage.kubevirt.restart import find_obstacle
from freepage.kubevirt.restoring import Restoration, restore
from freepage.kubevirt.steps import (
    Effective,
    Outdated,
    Planned,
    Proved,
    Refused,
    Restarting,
    Restoring,
    Unneeded,
    Unproved,
    VmChanged,
    VmsLeft,
    VmsRestored,
    Written,
)
from helpers.fake_cluster import FakeCluster

DB = ("shop", "db")


async def run(steps):
    return [step async for step in steps]


def kinds(steps):
    return [type(step) for step in steps]


@pytest.mark.parametrize("served", [(), ("v1beta1",), ("v1",)], ids=["KubeVirt", "HCO v1beta1", "HCO v1"])
async def test_a_change_is_planned_written_effective_and_proved(served):
    cluster = FakeCluster(hyperconverged=served)
    cluster.add_vm(*DB)
    wanted = ClusterChange(enabled=False, despite_running_vms=True, prove=DB)
    steps = await run(change_cluster(cluster, wanted))
    assert kinds(steps) == [Planned, Written, Effective, Outdated, Restarting, Proved]
    assert steps[2] == Effective("KubeVirt kubevirt/kubevirt", False)
    assert steps[3] == Outdated(restart=("shop/db",), unseen=())
    assert steps[4].vm == "shop/db"
    assert cluster.disabled


async def test_nothing_is_written_before_the_plan_has_been_shown():
    cluster = FakeCluster()
    steps = change_cluster(cluster, ClusterChange(enabled=False))
    assert isinstance(await anext(steps), Planned)
    assert not cluster.disabled
    assert isinstance(await anext(steps), Written)
    assert cluster.disabled
    await steps.aclose()


async def test_the_installation_is_found_once_and_running_vms_are_listed_before_and_after():
    cluster = FakeCluster(hyperconverged=("v1",))
    cluster.add_vm(*DB)
    await run(change_cluster(cluster, ClusterChange(enabled=False, despite_running_vms=True)))
    assert cluster.calls.count(("list", "kubevirts")) == 1
    assert cluster.calls.count(("list", "hyperconvergeds")) == 1
    assert cluster.calls.count(("list", "virtualmachineinstances")) == 2


async def test_who_may_not_see_running_vms_changes_nothing():
    cluster = FakeCluster()
    cluster.forbidden.add(("list", "virtualmachineinstances"))
    with pytest.raises(ClusterError):
        await run(change_cluster(cluster, ClusterChange(enabled=False, despite_running_vms=True)))
    assert not cluster.disabled


async def test_a_setting_that_is_as_wanted_is_still_shown_to_be_effective():
    steps = await run(change_cluster(FakeCluster(), ClusterChange(enabled=True)))
    assert steps[0] == Unneeded("the cluster", enabled=True)
    assert kinds(steps[1:]) == [Effective, Outdated, Unproved]


async def test_a_dry_run_ends_with_what_the_server_would_accept():
    cluster = FakeCluster()
    cluster.add_vm(*DB)
    steps = await run(change_cluster(cluster, ClusterChange(enabled=False, dry_run=True)))
    assert kinds(steps) == [Planned, Written, Refused]
    assert steps[1].dry_run
    assert steps[2].reason == "others have VMs running: 1 VM (shop/db)"
    assert not cluster.disabled
    allowed = ClusterChange(enabled=False, dry_run=True, despite_running_vms=True)
    assert kinds(await run(change_cluster(cluster, allowed))) == [Planned, Written]


async def test_vms_of_others_are_refused_after_the_plan_and_before_the_write():
    cluster = FakeCluster()
    cluster.add_vm(*DB)
    steps = change_cluster(cluster, ClusterChange(enabled=False))
    assert isinstance(await anext(steps), Planned)
    with pytest.raises(ClusterError, match="others have VMs running"):
        await anext(steps)
    assert not cluster.disabled


async def test_a_vm_is_changed_and_waits_for_its_restart_or_is_restarted_and_proved():
    cluster = FakeCluster()
    cluster.add_vm(*DB)
    steps = await run(change_vms(cluster, VmChange(False, (DB,))))
    assert kinds(steps) == [Planned, Written, VmChanged]
    assert steps[2] == VmChanged("shop/db", (), running=True, waits=True)
    steps = await run(change_vms(cluster, VmChange(True, (DB,), restart=True)))
    assert kinds(steps) == [Planned, Written, VmChanged, Restarting, Proved]
    assert not steps[2].waits


async def take(steps):
    """Take steps up to an error; return both."""
    taken = []
    try:
        async for step in steps:
            taken.append(step)  # noqa: PERF401 - those before an error count
    except ClusterError as error:
        return taken, error
    return taken, None


def annotations_of(cluster, name):
    return cluster.peek(VMS, "shop", name)["spec"]["template"]["metadata"].get("annotations") or {}


@pytest.mark.parametrize(
    ("spec", "restarts"),
    [
        ({"runStrategy": "Always"}, True),
        ({"runStrategy": "Manual"}, True),
        ({"runStrategy": "RerunOnFailure"}, True),
        ({"runStrategy": "Once"}, False),
        ({"runStrategy": "Halted"}, False),
        ({"running": True}, True),
        ({"running": False}, False),
        ({}, True),
    ],
)
def test_what_kubevirt_would_not_restart_is_known_by_its_run_strategy(spec, restarts):
    assert (find_obstacle({"spec": spec}) is None) == restarts


@pytest.mark.parametrize("strategy", ["Once", "Halted"])
async def test_a_vm_that_cannot_be_restarted_is_left_alone_and_holds_up_no_other(strategy):
    cluster = FakeCluster()
    cluster.add_vm("shop", "job", strategy=strategy)
    cluster.add_vm(*DB)
    both = VmChange(False, (("shop", "job"), DB), restart=True)
    steps, error = await take(change_vms(cluster, both))
    assert kinds(steps) == [Refused, Planned, Written, VmChanged, Restarting, Proved]
    assert f"whose run strategy is {strategy}" in steps[0].reason
    assert error.message == "1 of 2 VMs are not as asked for"
    assert (annotations_of(cluster, "job"), annotations_of(cluster, "db")) == ({}, {ANNOTATION: "true"})


async def test_a_single_vm_that_cannot_be_restarted_is_told_before_anything_is_written():
    cluster = FakeCluster()
    cluster.add_vm("shop", "job", strategy="Once")
    one = VmChange(False, (("shop", "job"),), restart=True)
    steps, error = await take(change_vms(cluster, one))
    assert steps == []
    assert error.message.startswith("shop/job is not changed, for it could not be restarted")
    assert ("patch", "virtualmachines") not in cluster.calls
    (told,) = await run(change_vms(cluster, replace(one, dry_run=True)))
    assert (told.reason, told.dry_run) == (error.message, True)
    steps = await run(change_vms(cluster, replace(one, restart=False)))
    assert kinds(steps) == [Planned, Written, VmChanged]


async def test_a_vm_that_cannot_be_restarted_is_no_witness():
    cluster = FakeCluster()
    cluster.add_vm("shop", "job", strategy="Once")
    wanted = ClusterChange(enabled=False, despite_running_vms=True, prove=("shop", "job"))
    with pytest.raises(ClusterError, match="cannot be restarted"):
        await run(change_cluster(cluster, wanted))
    assert not cluster.disabled


async def test_a_restart_that_proves_nothing_holds_up_no_other(monkeypatch):
    cluster = FakeCluster()
    cluster.add_vm("shop", "a")
    cluster.add_vm("shop", "b")
    restart = cluster.put_subresource

    async def refuse_first(resource, name, subresource, **options):
        if name == "a":
            raise ConflictError("VM is not running", status=409)
        await restart(resource, name, subresource, **options)

    monkeypatch.setattr(cluster, "put_subresource", refuse_first)
    steps, error = await take(
        change_vms(cluster, VmChange(False, (("shop", "a"), ("shop", "b")), restart=True))
    )
    assert kinds(steps)[-4:] == [Restarting, Refused, Restarting, Proved]
    assert error.message == "1 of 2 VMs are not as asked for"


async def test_a_right_that_is_missing_ends_it_for_all_vms():
    cluster = FakeCluster()
    cluster.add_vm("shop", "a")
    cluster.add_vm("shop", "b")
    cluster.forbidden.add(("update", "virtualmachines/restart"))
    steps, error = await take(
        change_vms(cluster, VmChange(False, (("shop", "a"), ("shop", "b")), restart=True))
    )
    assert isinstance(error, ForbiddenError)
    assert kinds(steps)[-1] is Restarting


async def test_a_vm_that_is_as_wanted_and_one_that_is_stopped_wait_for_nothing():
    cluster = FakeCluster()
    cluster.add_vm("shop", "out", annotations={ANNOTATION: "true"})
    cluster.add_vm("shop", "stopped", running=False)
    steps = await run(change_vms(cluster, VmChange(False, (("shop", "out"), ("shop", "stopped")))))
    assert kinds(steps) == [Unneeded, VmChanged, Planned, Written, VmChanged]
    assert [(s.running, s.waits) for s in steps if isinstance(s, VmChanged)] == [
        (True, False),
        (False, False),
    ]


async def test_a_restoration_puts_back_the_cluster_and_leaves_vms_that_were_not_named():
    cluster = FakeCluster()
    cluster.add_vm(*DB)
    await run(change_vms(cluster, VmChange(False, (DB,))))
    await run(change_cluster(cluster, ClusterChange(enabled=False, despite_running_vms=True)))
    steps = await run(restore(cluster, Restoration()))
    assert kinds(steps) == [Restoring, Written, Effective, Outdated, VmsLeft]
    assert steps[0].saved.by == "alice"
    assert not cluster.disabled
    steps = await run(restore(cluster, Restoration(all_vms=True)))
    assert kinds(steps) == [Restoring, Written, VmsRestored]
    assert await run(restore(cluster, Restoration(all_vms=True))) == []

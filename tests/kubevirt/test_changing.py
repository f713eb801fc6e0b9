"""The steps of a change of the setting, in their order, and what the cluster is asked for them."""

from __future__ import annotations

import pytest

from freepage.fpr.eligibility import ANNOTATION
from freepage.kube.errors import ClusterError
from freepage.kubevirt.changing import ClusterChange, VmChange, change_cluster, change_vms
from freepage.kubevirt.restoring import Restoration, restore
from freepage.kubevirt.steps import (
    Effective,
    Outdated,
    Planned,
    Proved,
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
    assert kinds(steps) == [Planned, Written]
    assert steps[1].dry_run
    assert not cluster.disabled


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

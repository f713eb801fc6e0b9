"""The live audit: what is expected of every VM beside what its domain XML shows."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.rule import ANNOTATION
from freepage.fpr.stranded import stranded_bytes
from freepage.kube.errors import (
    ClusterError,
    ForbiddenError,
    InvalidError,
    LoginError,
    NotFoundError,
    UnreachableError,
)
from freepage.kube.resources import KUBEVIRTS, PODS, VMIS, VMS, name_of
from freepage.kubevirt import kubelets
from freepage.kubevirt.audit import add_stranded, audit_cluster
from freepage.units import GIB
from helpers.fake_cluster import FakeCluster, domain_xml, launcher_log

HUGE = {"memory": {"hugepages": {"pageSize": "2Mi"}}}


async def audit_one(cluster, **options):
    (found,) = (await audit_cluster(cluster, **options)).vms
    return found


def launchers_of(cluster):
    return [name_of(p) for p in cluster.objects["", "pods"].values()]


def disable(cluster):
    kubevirt = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    kubevirt["spec"]["configuration"] = {"virtualMachineOptions": {"disableFreePageReporting": {}}}


async def test_each_vm_has_one_of_four_states():
    cluster = FakeCluster()
    cluster.add_vm("shop", "on")
    cluster.add_vm("shop", "out", annotations={ANNOTATION: "true"})
    cluster.add_vm("shop", "huge", domain=HUGE)
    cluster.add_vm("shop", "windows", status={"guestOSInfo": {"id": "mswindows"}})
    cluster.add_vm("shop", "quiet")
    cluster.logs["shop", launchers_of(cluster)[-1]] = "nothing of a domain\n"
    audit = await audit_cluster(cluster)
    states = {f.eligibility.name: f.state for f in audit.vms}
    assert states == {
        "on": "on",
        "out": "off",
        "huge": "off",
        "windows": "no effect",
        "quiet": "unknown",
    }
    assert [audit.count(s) for s in ("on", "off", "no effect", "unknown")] == [1, 2, 1, 1]
    assert not any(f.disagreement or f.restart for f in audit.vms)


async def test_a_vm_whose_launcher_no_node_takes_says_why():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db", status={"phase": "Scheduling", "nodeName": None})
    (pod,) = cluster.objects["", "pods"].values()
    del pod["spec"]["nodeName"]
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    pod["status"] = {"phase": "Pending", "conditions": [condition]}
    found = await audit_one(cluster)
    assert (found.state, found.phase) == ("unknown", "Scheduling")
    assert found.source == "its launcher is not scheduled: 0/3 nodes are available"
    pod["status"] = {"phase": "Pending"}
    assert (await audit_one(cluster)).source == "its launcher is not scheduled: no reason is known yet"


async def test_a_vm_without_a_launcher_says_why():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db", status={"phase": "Pending"})
    cluster.objects["", "pods"].clear()
    assert (await audit_one(cluster)).source == "it has no launcher (phase Pending)"
    refused = {"type": "Synchronized", "status": "False", "reason": "FailedCreate", "message": "over quota"}
    cluster.peek(VMIS, "shop", "db")["status"]["conditions"] = [refused]
    assert (await audit_one(cluster)).source == "it has no launcher (over quota)"


async def test_an_object_of_another_shape_is_left_out_and_said():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    cluster.add_vm("shop", "odd", domain={"devices": {"gpus": "all"}})
    audit = await audit_cluster(cluster)
    assert [vm.name for vm in audit.vms] == ["shop/db"]
    assert [s.what for s in audit.skipped] == ["VirtualMachineInstance shop/odd", "VirtualMachine shop/odd"]


async def test_a_change_of_the_cluster_shows_as_a_disagreement_until_the_restart():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    disable(cluster)
    found = await audit_one(cluster)
    assert (found.eligibility.expected, found.real) == (False, True)
    assert "expected off, but on in its domain XML" in found.disagreement
    assert found.restart == "restart it to have FPR off"


async def test_a_change_of_the_template_waits_for_a_restart_without_a_disagreement():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    template = cluster.peek(VMS, "shop", "db")["spec"]["template"]
    template["metadata"]["annotations"] = {ANNOTATION: "true"}
    found = await audit_one(cluster)
    assert (found.state, found.disagreement) == ("on", None)
    assert found.restart == "its template disables FPR: restart it"


async def test_no_restart_is_asked_for_that_would_change_nothing():
    cluster = FakeCluster(disabled=True)
    cluster.add_vm("shop", "db")
    template = cluster.peek(VMS, "shop", "db")["spec"]["template"]
    template["metadata"]["annotations"] = {ANNOTATION: "true"}
    assert (await audit_one(cluster)).restart is None


async def test_an_instance_type_keeps_fpr_off_though_the_template_does_not_show_it():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db", domain=HUGE)
    vm = cluster.peek(VMS, "shop", "db")
    vm["spec"]["template"]["spec"] = {"domain": {"devices": {}}}
    assert (await audit_one(cluster)).restart == "its template no longer disables FPR: restart it"
    vm["spec"]["instancetype"] = {"name": "cx1.medium"}
    assert (await audit_one(cluster)).restart is None


async def test_a_vm_without_a_virtualmachine_is_not_to_be_restarted_but_created_again():
    cluster = FakeCluster()
    cluster.add_instance("shop", "bare")
    disable(cluster)
    assert "created again" in (await audit_one(cluster)).restart


async def test_an_override_of_hyperconverged_does_not_matter_where_kubevirt_itself_is_read():
    cluster = FakeCluster(hyperconverged=("v1",), disabled=True)
    cluster.add_vm("shop", "db")
    found = await audit_one(cluster)
    assert (found.eligibility.expected, found.real) == (False, False)


async def test_after_a_live_migration_the_log_of_the_first_launcher_still_tells():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    (source,) = launchers_of(cluster)
    vmi = next(iter(cluster.objects["kubevirt.io", "virtualmachineinstances"].values()))
    vmi["status"]["nodeName"] = "node-b"
    target = cluster.add_launcher(vmi, "node-b")
    cluster.logs["shop", name_of(target)] = "RunPlan migration target pod\n"
    found = await audit_one(cluster)
    assert (found.real, found.source) == (True, f"the log of {source}")
    cluster._remove(PODS, "shop", source)
    found = await audit_one(cluster)
    assert (found.real, found.source) == (None, f"the log of {name_of(target)} does not hold the domain XML")


async def test_libvirt_is_asked_only_where_that_was_allowed_and_the_log_does_not_tell():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    (pod,) = launchers_of(cluster)
    assert (await audit_one(cluster, may_exec=True)).source == f"the log of {pod}"
    cluster.logs["shop", pod] = ""
    cluster.domains["shop", pod] = {True: domain_xml("shop_db", 'model="virtio"')}
    assert (await audit_one(cluster)).real is None
    assert ("create", "pods/exec") not in cluster.calls
    found = await audit_one(cluster, may_exec=True)
    assert (found.real, found.source) == (False, f"virsh in {pod}")


async def test_a_vm_that_runs_as_root_is_asked_for_the_system_way():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    (pod,) = launchers_of(cluster)
    cluster.logs["shop", pod] = ""
    cluster.domains["shop", pod] = {False: domain_xml("shop_db")}
    assert (await audit_one(cluster, may_exec=True)).real is True
    cluster.domains.clear()
    found = await audit_one(cluster, may_exec=True)
    assert "does not show the domain of shop/db: error: failed to get domain" in found.source


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("pod not found"),
        InvalidError("ContainerCreating"),
        ClusterError("too many requests", status=429),
    ],
)
async def test_a_log_that_cannot_be_read_leaves_one_vm_unknown_and_says_why(error):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    (pod,) = launchers_of(cluster)
    cluster.logs["shop", pod] = error
    found = await audit_one(cluster)
    assert (found.state, found.source) == ("unknown", f"the log of {pod} cannot be read: {error.message}")


@pytest.mark.parametrize(
    "error", [ForbiddenError("no"), LoginError("expired"), UnreachableError("gone")], ids=lambda e: e.message
)
async def test_what_stands_in_the_way_of_every_log_ends_the_audit(error):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    (pod,) = launchers_of(cluster)
    cluster.logs["shop", pod] = error
    with pytest.raises(type(error)):
        await audit_cluster(cluster)


async def test_a_domain_that_comes_late_in_the_log_is_found_by_a_second_look():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    (pod,) = launchers_of(cluster)
    cluster.logs["shop", pod] = launcher_log(domain_xml("shop_db"), before=1000)
    assert (await audit_one(cluster)).real is True
    assert cluster.calls.count(("get", "pods/log")) == 2


async def test_a_vm_that_is_starting_has_no_launcher_yet_and_one_that_ended_is_left_out():
    cluster = FakeCluster()
    vmi = cluster.add_instance("shop", "new", status={"phase": "Scheduling"})
    cluster._remove(PODS, "shop", launchers_of(cluster)[0])
    cluster.add_instance("shop", "old", status={"phase": "Succeeded"})
    found = await audit_one(cluster)
    assert (found.eligibility.name, found.source) == (name_of(vmi), "it has no launcher (phase Scheduling)")


async def test_a_namespace_limits_the_audit():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    cluster.add_vm("lab", "db")
    audit = await audit_cluster(cluster, "lab")
    assert [f.eligibility.namespace for f in audit.vms] == ["lab"]


async def test_many_vms_cost_one_list_of_each_kind_and_bounded_logs(monkeypatch):
    cluster = FakeCluster()
    for number in range(200):
        cluster.add_vm("shop", f"vm-{number:03}")
    open_now, most = 0, 0
    read_log = cluster.read_log

    async def count(*args, **options):
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0)
        open_now -= 1
        return await read_log(*args, **options)

    monkeypatch.setattr(cluster, "read_log", count)
    audit = await audit_cluster(cluster)
    assert audit.count("on") == 200
    assert most == kubelets.SLOTS
    lists = [call for call in cluster.calls if call[0] == "list"]
    assert len(lists) == len(set(lists)) == 4


async def test_metrics_tell_how_much_the_host_holds_for_nothing():
    cluster = FakeCluster()
    cluster.add_vm("shop", "off", annotations={ANNOTATION: "true"})
    cluster.add_vm("shop", "on")
    cluster.add_vm("shop", "silent", annotations={ANNOTATION: "true"})
    memory = {
        ("shop", "off"): {"resident": 8 * GIB, "available": 8 * GIB, "unused": 6 * GIB},
        ("shop", "on"): {"resident": 3 * GIB, "available": 8 * GIB, "unused": 6 * GIB},
        ("shop", "silent"): {"resident": 8 * GIB, "available": None, "unused": None},
    }
    audit = add_stranded(await audit_cluster(cluster), memory)
    by_name = {f.eligibility.name: f.stranded for f in audit.vms}
    assert by_name["silent"] is None
    assert by_name["off"].upper_bytes == 6 * GIB
    assert by_name["on"].upper_bytes == pytest.approx(1 * GIB)
    assert audit.stranded == by_name["off"]


def test_what_was_never_touched_is_not_stranded():
    found = stranded_bytes(1 * GIB, 0, total_bytes=8 * GIB, unused_bytes=7.5 * GIB)
    assert found.upper_bytes == pytest.approx(0.5 * GIB)
    assert found.lower_bytes == 0


sizes = st.floats(0, 1024 * GIB)


@given(sizes, sizes, sizes, sizes)
def test_bounds_are_in_order_and_never_beyond_what_is_free(resident, swapped, total, unused):
    found = stranded_bytes(resident, swapped, total, unused)
    assert 0 <= found.lower_bytes <= found.upper_bytes <= unused

"""What decides beside the VMs: read from the cluster where a VM names it, as far as the user may."""

from __future__ import annotations

import pytest

from freepage.kube.errors import ClusterError
from freepage.kube.resources import CONTROLLER_REVISIONS, INSTANCE_TYPE_KINDS, KUBEVIRTS, VMS
from freepage.kubevirt.audit import audit_cluster
from freepage.kubevirt.changing import VmChange, change_vms
from freepage.kubevirt.proof import find_witness
from freepage.kubevirt.surroundings import read_surroundings
from helpers.fake_cluster import FakeCluster
from helpers.vm_objects import revision, type_object, typed_vm

RESOURCES = {resource.kind: resource for resource in INSTANCE_TYPE_KINDS}
CLUSTER_TYPE = "VirtualMachineClusterInstancetype"
DEDICATED = {"cpu": {"guest": 1, "dedicatedCPUPlacement": True}}
SMALL = {"cpu": {"guest": 1}}
RESTART = {"conditions": [{"type": "RestartRequired", "status": "True"}]}


def build_cluster(spec=None, *, status=None, served=("v1beta1",)):
    """A cluster with a running VM of the instance type t, which it was not started with."""
    cluster = FakeCluster()
    cluster.served["instancetype.kubevirt.io"] = list(served)
    cluster.add_vm("shop", "db")
    vm = cluster.peek(VMS, "shop", "db")
    vm["spec"]["instancetype"] = {"name": "t"}
    vm["status"] = status or RESTART
    if spec is not None:
        cluster.add(RESOURCES[CLUSTER_TYPE], type_object(CLUSTER_TYPE, "t", spec))
    return cluster


def lists(cluster):
    return [plural for verb, plural in cluster.calls if verb == "list"]


async def test_nothing_is_asked_for_vms_that_name_nothing():
    cluster = build_cluster()
    around = await read_surroundings(cluster, [{"kind": "VirtualMachine", "spec": {}}])
    assert (cluster.calls, around.types.objects) == ([], {})


async def test_only_the_kinds_that_are_named_are_listed_in_the_version_that_is_served():
    cluster = build_cluster(DEDICATED, served=("v1", "v1beta1"))
    around = await read_surroundings(cluster, [typed_vm(instancetype="t")])
    assert lists(cluster) == ["virtualmachineclusterinstancetypes"]
    assert list(around.types.objects) == [(CLUSTER_TYPE, "", "t")]


async def test_copies_are_listed_only_where_an_instance_type_is_no_longer_what_was_copied():
    taken = {"name": "t", "controllerRevisionRef": {"name": "db-t-uid-1-1"}}
    vm = typed_vm(instancetype="t", status={"instancetypeRef": taken})
    cluster = build_cluster(SMALL)
    assert (await read_surroundings(cluster, [vm])).types.objects
    assert lists(cluster) == ["virtualmachineclusterinstancetypes"]
    changed = build_cluster()
    changed.add(RESOURCES[CLUSTER_TYPE], type_object(CLUSTER_TYPE, "t", SMALL, generation=2))
    changed.add(CONTROLLER_REVISIONS, revision("db-t-uid-1-1", DEDICATED))
    found = await read_surroundings(changed, [vm])
    assert lists(changed) == ["virtualmachineclusterinstancetypes", "controllerrevisions"]
    assert ("ControllerRevision", "shop", "db-t-uid-1-1") in found.types.objects


async def test_a_cluster_that_serves_no_instance_types_has_none():
    cluster = build_cluster(served=())
    assert (await read_surroundings(cluster, [typed_vm(instancetype="t")])).types.objects == {}
    assert lists(cluster) == []


async def test_the_audit_judges_the_next_start_by_the_instance_type_it_reads():
    (found,) = (await audit_cluster(build_cluster(DEDICATED))).vms
    assert (found.state, found.restart) == ("on", "its template disables FPR: restart it")
    (found,) = (await audit_cluster(build_cluster(SMALL))).vms
    assert (found.restart, found.eligibility.unknown) == (None, ())


async def test_a_right_that_is_lacking_leaves_it_unknown_and_is_named():
    cluster = build_cluster(DEDICATED)
    cluster.forbidden.add(("list", "virtualmachineclusterinstancetypes"))
    (found,) = (await audit_cluster(cluster)).vms
    assert (found.state, found.restart) == ("on", None)
    assert "this user may not list it (`freepage rbac audit` permits it)" in found.eligibility.unknown[0]


async def test_the_audit_knows_which_devices_the_cluster_permits():
    cluster = FakeCluster()
    lists_of_devices = {"usb": [{"resourceName": "a/stick"}]}
    kubevirt = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    kubevirt["spec"]["configuration"] = {"permittedHostDevices": lists_of_devices}
    devices = {"hostDevices": [{"name": "s", "deviceName": "a/stick"}]}
    cluster.add_vm("shop", "db", domain={"devices": devices})
    (found,) = (await audit_cluster(cluster)).vms
    assert (found.state, found.eligibility.unknown) == ("on", ())


@pytest.mark.parametrize(
    ("spec", "words"),
    [(None, "is not known, so it proves nothing"), (DEDICATED, "whatever the cluster says")],
)
async def test_a_vm_whose_next_start_is_not_known_or_off_is_no_witness(spec, words):
    with pytest.raises(ClusterError, match=words):
        await find_witness(build_cluster(spec), "shop", "db")


async def test_a_vm_whose_parts_are_known_is_a_witness():
    assert (await find_witness(build_cluster(SMALL), "shop", "db"))["metadata"]["name"] == "db"


async def test_a_change_of_one_vm_says_what_its_instance_type_keeps_off():
    wanted = VmChange(enabled=False, vms=(("shop", "db"),))
    for spec, exclusions in ((DEDICATED, 1), (SMALL, 0)):
        steps = [step async for step in change_vms(build_cluster(spec), wanted)]
        assert len(steps[-1].exclusions) == exclusions

"""The audit of a cluster by its objects alone."""

from __future__ import annotations

import copy

import pytest

from freepage.fpr.rule import ANNOTATION
from freepage.kube.errors import ClusterError
from freepage.kube.object_files import ObjectsError
from freepage.kubevirt.audit_objects import UNSEEN, audit_objects, is_wanted, keep_newest
from helpers.kubevirt_objects import KUBEVIRT, build_instance, build_launcher, build_vm

OUT = {ANNOTATION: "true"}
HYPERCONVERGED = {
    "apiVersion": "hco.kubevirt.io/v1beta1",
    "kind": "HyperConverged",
    "metadata": {"name": "hco"},
    "spec": {"virtualMachineOptions": {"disableFreePageReporting": False}},
}


def audit_one(*objects):
    (found,) = audit_objects([KUBEVIRT, *objects]).vms
    return found


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_instance_that_has_ended_is_a_stopped_vm_or_none(phase):
    ended = [build_instance(phase=phase), build_instance("bare", phase=phase)]
    audit = audit_objects([KUBEVIRT, build_vm(annotations=OUT), *ended, build_instance("alive")])
    assert [(vm.name, vm.eligibility.running, vm.eligibility.expected) for vm in audit.vms] == [
        ("shop/alive", True, True),
        ("shop/db", False, False),
    ]
    assert audit.notes == (
        "without a VirtualMachine, and ended (Succeeded or Failed), so left out: 1 VM (shop/bare)",
    )


@pytest.mark.parametrize("phase", ["Running", "Unknown", "Scheduling", None])
def test_every_other_phase_is_that_of_a_vm_that_runs_or_is_about_to(phase):
    found = audit_one(build_vm(annotations=OUT), build_instance(phase=phase))
    assert (found.eligibility.running, found.phase) == (True, phase)
    assert found.eligibility.restart == "its template disables FPR: restart it"


def test_what_is_real_is_not_known_from_objects():
    audit = audit_objects([KUBEVIRT, build_vm(), build_instance()])
    (found,) = audit.vms
    assert (found.real, found.state, found.source) == (None, "unknown", UNSEEN)
    assert (audit.version, audit.notes, audit.skipped) == ("v1.9.0", (), ())


def test_a_vm_that_runs_without_its_instance_is_not_called_stopped():
    audit = audit_objects([KUBEVIRT, build_vm(created=True), build_vm("off", created=False)])
    running, stopped = audit.vms
    assert (running.eligibility.running, stopped.eligibility.running) == (True, False)
    assert "its VirtualMachineInstance was not given" in running.eligibility.unknown[0]
    assert "no VirtualMachineInstance: which VMs run" in audit.notes[0]


def test_a_launcher_that_no_node_takes_says_why_its_vm_does_not_run():
    waiting = build_instance(phase="Scheduling", nodeName=None)
    assert audit_one(
        build_vm(), waiting, build_launcher(waiting, reason="0/3 nodes: too few huge pages")
    ).source == ("its launcher is not scheduled: 0/3 nodes: too few huge pages")
    assert audit_one(build_vm(), waiting, build_launcher(waiting)).source == (
        "its launcher is not scheduled: no reason is known yet"
    )
    assert audit_one(build_vm(), waiting, build_launcher(waiting, node="worker-0")).source == UNSEEN


def test_pods_that_are_no_launchers_are_not_read():
    launcher = build_launcher(build_instance())
    assert is_wanted(launcher)
    assert not is_wanted({**launcher, "metadata": {"name": "web", "labels": "none"}})


def test_a_vm_without_a_namespace_has_its_name_alone():
    for namespace in ({}, {"namespace": None}):
        vm = build_vm()
        vm["metadata"] = {"name": "db", **namespace}
        audit = audit_objects([KUBEVIRT, vm, build_vm("other")])
        assert [found.name for found in audit.vms] == ["db", "shop/other"]


def test_only_the_namespace_that_was_asked_for_is_audited():
    objects = [KUBEVIRT, build_vm(), build_vm("web", "lab")]
    assert [vm.name for vm in audit_objects(objects, "lab").vms] == ["lab/web"]


def test_of_an_object_that_was_given_again_the_newest_counts():
    def revised(version, **changed):
        made = build_vm(**changed)
        made["metadata"]["resourceVersion"] = version
        return made

    first, second = revised("99"), revised("100", annotations=OUT)
    for objects in ([first, second], [second, first]):
        audit = audit_objects([KUBEVIRT, *objects, build_instance()])
        assert audit.vms[0].eligibility.restart is not None
        (note,) = audit.notes
        assert note.startswith("given again: 1 object; of each the newest counts (by resourceVersion")
    unversioned = build_vm(annotations=OUT)
    assert keep_newest([build_vm(), unversioned]) == [build_vm()]
    unversioned["metadata"]["generation"] = 3
    assert keep_newest([build_vm(), unversioned]) == [unversioned]


def test_a_kubevirt_that_is_older_than_fpr_is_refused_as_in_a_cluster():
    old = copy.deepcopy(KUBEVIRT)
    old["status"]["observedKubeVirtVersion"] = "v0.59.2"
    with pytest.raises(ClusterError, match=r"KubeVirt v0\.59\.2 knows nothing of Free Page Reporting"):
        audit_objects([old, build_instance()])


def test_objects_of_two_clusters_are_not_mixed():
    other = copy.deepcopy(KUBEVIRT)
    other["metadata"]["namespace"] = "openshift-cnv"
    with pytest.raises(
        ObjectsError, match="of several clusters, for there are 2 of kind KubeVirt: kubevirt/kubevirt"
    ):
        audit_objects([KUBEVIRT, other])


def with_uid(uid):
    found = copy.deepcopy(KUBEVIRT)
    found["metadata"]["uid"] = uid
    return found


def test_objects_of_two_clusters_are_told_apart_where_their_kubevirt_has_the_same_name():
    with pytest.raises(ObjectsError, match="2 of kind KubeVirt: kubevirt/kubevirt, with different uids"):
        audit_objects([with_uid("one"), build_instance(), with_uid("two"), build_instance("web")])
    for same in (with_uid("one"), with_uid(None), KUBEVIRT):
        assert audit_objects([with_uid("one"), same, build_instance()]).count_expected(True) == 1


def test_a_kubevirt_that_cannot_be_read_leaves_the_setting_unknown_whatever_else_was_given():
    broken = copy.deepcopy(KUBEVIRT)
    broken["spec"]["configuration"]["virtualMachineOptions"] = {"disableFreePageReporting": True}
    for others in ([], [HYPERCONVERGED]):
        audit = audit_objects([broken, *others, build_vm(), build_instance()])
        assert audit.setting.enabled is None
        assert audit.setting.source == "the KubeVirt object, which decides, was given and cannot be read"
        assert audit.count_expected(None) == 1
        assert audit.notes == ()
    assert audit_objects([broken, KUBEVIRT, build_vm(), build_instance()]).setting.enabled is True


def test_a_namespace_without_a_vm_is_told():
    audit = audit_objects([KUBEVIRT, build_vm(), build_instance()], "lab")
    assert (audit.vms, audit.notes) == ([], ("no VM among the objects is in namespace lab",))


@pytest.mark.parametrize(
    ("objects", "note"),
    [
        ([KUBEVIRT], "there is no VirtualMachine or VirtualMachineInstance among the objects"),
        (
            [KUBEVIRT, build_instance()],
            "there is no VirtualMachine: stopped VMs, and what waits for a restart",
        ),
        ([KUBEVIRT, build_vm()], "there is no VirtualMachineInstance: which VMs run"),
        (
            [
                HYPERCONVERGED,
                build_vm(),
                build_instance(),
            ],
            "there is no KubeVirt object, which decides: HyperConverged counts",
        ),
    ],
    ids=["no VMs", "no templates", "no instances", "no KubeVirt"],
)
def test_what_could_not_be_seen_is_said(objects, note):
    (found,) = audit_objects(objects).notes
    assert found.startswith(note)


def test_without_kubevirt_and_hyperconverged_nothing_is_assumed():
    audit = audit_objects([build_vm(), build_instance()])
    assert audit.setting.enabled is None
    assert audit.count_expected(None) == 1

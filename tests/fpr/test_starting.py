"""The next start of a VM, put together from its template, instance type and preference, or not known."""

from __future__ import annotations

import pytest

from freepage.fpr.eligibility import assess_all, assess_next_start
from freepage.fpr.rule import ANNOTATION, read_setting
from helpers.vm_objects import KUBEVIRT, VMI, changed, revision, type_object, typed_vm, vm_of

TYPE, CLUSTER_TYPE = "VirtualMachineInstancetype", "VirtualMachineClusterInstancetype"
PREFERENCE, CLUSTER_PREFERENCE = "VirtualMachinePreference", "VirtualMachineClusterPreference"
SMALL = {"cpu": {"guest": 1}, "memory": {"guest": "4Gi"}}
DEDICATED = {"cpu": {"guest": 1, "dedicatedCPUPlacement": True}, "memory": {"guest": "4Gi"}}
NO_BALLOON = {"devices": {"preferredAutoattachMemBalloon": False}}
RESTART = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "RestartRequired", "status": "True"}]}
AS_STARTED = {"conditions": [{"type": "Ready", "status": "True"}]}


def assess(*objects):
    (found,) = assess_all([KUBEVIRT, *objects])[1]
    return found


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (DEDICATED, "dedicated CPUs"),
        ({"cpu": {"guest": 1, "realtime": {}}}, "realtime"),
        ({"memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}}, "huge pages"),
        ({"annotations": {ANNOTATION: "true"}}, "annotation"),
        (SMALL, None),
        ({}, None),
    ],
)
def test_a_stopped_vm_is_judged_with_all_its_instance_type_brings(spec, words):
    found = assess(typed_vm(instancetype="t"), type_object(CLUSTER_TYPE, "t", spec))
    assert found.expected is (words is None)
    assert found.unknown == ()
    assert (words or "") in "".join(found.because)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (NO_BALLOON, False),
        ({"annotations": {ANNOTATION: "true"}}, False),
        ({"devices": {"preferredAutoattachMemBalloon": True}}, True),
        ({"devices": None}, True),
    ],
)
def test_a_stopped_vm_is_judged_with_all_its_preference_brings(spec, expected):
    found = assess(typed_vm(preference="p"), type_object(CLUSTER_PREFERENCE, "p", spec))
    assert (found.expected, found.unknown) == (expected, ())


def test_what_the_template_has_itself_a_preference_does_not_change():
    vm = typed_vm(preference="p")
    balloon = changed(vm, "spec.template.spec", {"domain": {"devices": {"autoattachMemBalloon": True}}})
    annotated = changed(vm, "spec.template.metadata.annotations", {ANNOTATION: "false"})
    assert assess(balloon, type_object(CLUSTER_PREFERENCE, "p", NO_BALLOON)).expected is True
    by_annotation = type_object(CLUSTER_PREFERENCE, "p", {"annotations": {ANNOTATION: "true"}})
    assert assess(annotated, by_annotation).expected is True


def test_devices_and_protection_of_an_instance_type_count_as_the_vms_own():
    spec = {**SMALL, "gpus": [{"name": "g", "deviceName": "a/b"}], "launchSecurity": {"sev": {}}}
    found = assess(typed_vm(instancetype="t"), type_object(CLUSTER_TYPE, "t", spec))
    assert [words.split(" (")[0] for words in found.ineffective] == [
        "gpus pin all memory",
        "SEV pins all memory",
    ]


@pytest.mark.parametrize("field", ["instancetype", "preference"])
def test_a_stopped_vm_whose_part_is_not_at_hand_is_not_known_but_never_on(field):
    found = assess(typed_vm(**{field: "x"}))
    assert found.expected is None
    for words in ("dedicated CPUs", "huge pages", "realtime", "balloon", "x would tell"):
        assert words in found.unknown[0]


def test_what_is_known_to_keep_fpr_off_does_so_whatever_part_is_missing():
    vm = changed(typed_vm(preference="x"), "spec.template.metadata.annotations", {ANNOTATION: "true"})
    assert (assess(vm).expected, assess(vm).unknown) == (False, ())
    both = typed_vm(preference="x", instancetype="t")
    assert assess(both, type_object(CLUSTER_TYPE, "t", DEDICATED)).expected is False


@pytest.mark.parametrize(
    ("kind", "namespace", "found"),
    [
        (TYPE, "shop", True),
        ("virtualmachineinstancetypes", "shop", True),
        (TYPE, "elsewhere", False),
        (CLUSTER_TYPE, "", False),
    ],
)
def test_a_part_is_looked_for_where_its_kind_says(kind, namespace, found):
    vm = typed_vm(instancetype={"name": "t", "kind": kind})
    obj = type_object(TYPE, "t", SMALL, namespace=namespace or "shop")
    assert (assess(vm, obj).expected is True) is found


def test_the_copy_that_a_vm_was_given_counts_and_not_what_its_instance_type_has_become():
    taken = {"name": "t", "controllerRevisionRef": {"name": "db-t-v1beta1-uid-1-1"}}
    vm = typed_vm(instancetype="t", status={"instancetypeRef": taken})
    now = type_object(CLUSTER_TYPE, "t", SMALL, generation=2)
    assert assess(vm, now, revision("db-t-v1beta1-uid-1-1", DEDICATED)).expected is False
    unseen = assess(vm, now)
    assert unseen.expected is None
    assert "ControllerRevision db-t-v1beta1-uid-1-1 would tell" in unseen.unknown[0]


def test_an_instance_type_that_is_still_as_it_was_copied_tells_as_much_as_the_copy():
    taken = {"name": "t", "controllerRevisionRef": {"name": "db-t-v1beta1-uid-1-1"}}
    vm = typed_vm(instancetype="t", status={"instancetypeRef": taken})
    assert assess(vm, type_object(CLUSTER_TYPE, "t", DEDICATED)).expected is False


def test_the_copy_of_another_instance_type_than_is_named_now_does_not_count():
    taken = {"name": "old", "controllerRevisionRef": {"name": "db-old-1"}}
    vm = typed_vm(instancetype="t", status={"instancetypeRef": taken})
    found = assess(vm, type_object(CLUSTER_TYPE, "t", DEDICATED), revision("db-old-1", SMALL))
    assert found.expected is False


def test_a_revision_named_in_the_spec_comes_before_all_others():
    vm = typed_vm(instancetype={"name": "t", "revisionName": "pinned"})
    assert assess(vm, type_object(CLUSTER_TYPE, "t", SMALL), revision("pinned", DEDICATED)).expected is False
    unreadable = revision("pinned", "eyJjcHUi")
    assert assess(vm, type_object(CLUSTER_TYPE, "t", SMALL), unreadable).expected is None


def test_a_name_that_is_still_to_be_inferred_is_read_from_the_status_or_not_known():
    vm = typed_vm(instancetype={"inferFromVolume": "root"})
    inferred = {**vm, "status": {"instancetypeRef": {"name": "t", "kind": CLUSTER_TYPE}}}
    dedicated = type_object(CLUSTER_TYPE, "t", DEDICATED)
    assert assess(vm, dedicated).expected is None
    assert assess(inferred, dedicated).expected is False


def test_a_stopped_vm_with_a_preference_for_windows_has_a_doubt():
    found = assess(typed_vm(preference="windows.11"), type_object(CLUSTER_PREFERENCE, "windows.11", {}))
    assert found.expected is True
    assert "virtio-win" in found.unknown[0]


def test_a_template_that_takes_the_balloon_away_waits_for_a_restart_with_or_without_the_preference_at_hand():
    vm = typed_vm(preference="p", status=RESTART)
    vm = changed(vm, "spec.template.spec", {"domain": {"devices": {"autoattachMemBalloon": False}}})
    for others in ([], [type_object(CLUSTER_PREFERENCE, "p", {})]):
        found = assess(VMI, vm, *others)
        assert (found.expected, found.restart) == (True, "its template disables FPR: restart it")


def test_another_instance_type_waits_for_a_restart_and_is_judged_where_it_is_at_hand():
    taken = {"name": "small", "controllerRevisionRef": {"name": "db-small-1"}}
    vm = typed_vm(instancetype="big", status={**RESTART, "instancetypeRef": taken})
    big = type_object(CLUSTER_TYPE, "big", DEDICATED)
    assert assess(VMI, vm, big).restart == "its template disables FPR: restart it"
    unseen = assess(VMI, vm)
    assert (unseen.expected, unseen.restart) == (True, None)
    assert "whether FPR is on after its next start: what instance type big adds" in unseen.unknown[0]


def test_a_restart_that_waits_for_something_else_changes_nothing_of_fpr():
    vm = typed_vm(instancetype="t", status=RESTART)
    found = assess(VMI, vm, type_object(CLUSTER_TYPE, "t", SMALL))
    assert (found.restart, found.unknown) == (None, ())


def test_a_running_vm_of_which_nothing_has_changed_shows_itself_what_its_parts_bring():
    setting = read_setting([KUBEVIRT])
    vm = typed_vm(instancetype="t", preference="p", status=AS_STARTED)
    huge = changed(VMI, "spec.domain.memory.hugepages", {"pageSize": "2Mi"})
    without = changed(VMI, "spec.domain.devices.autoattachMemBalloon", False)
    assert assess_next_start(VMI, vm, setting).expected is True
    assert assess_next_start(huge, vm, setting).expected is False
    assert assess_next_start(without, vm, setting).expected is False


@pytest.mark.parametrize(
    ("instance", "status"),
    [
        (VMI, {}),
        (VMI, RESTART),
        (VMI, {**AS_STARTED, "instancetypeRef": {"name": "old"}}),
        (changed(VMI, "metadata.annotations", {"kubevirt.io/cluster-instancetype-name": "old"}), AS_STARTED),
        (changed(VMI, "metadata.annotations", {ANNOTATION: "true"}), AS_STARTED),
    ],
    ids=["no status", "restart required", "another was copied", "started with another", "its annotation"],
)
def test_a_running_vm_of_which_something_may_have_changed_does_not_show_its_next_start(instance, status):
    then = assess_next_start(instance, typed_vm(instancetype="t", status=status), read_setting([KUBEVIRT]))
    assert then.expected is None
    assert "instance type t" in then.missing[0]


def test_a_vm_without_parts_is_known_by_its_template_alone():
    then = assess_next_start(VMI, vm_of(VMI), read_setting([KUBEVIRT]))
    assert (then.expected, then.missing) == (True, ())


def test_a_false_choice_for_dedicated_cpus_is_one_left_out_as_for_kubevirt():
    vm = changed(
        typed_vm(instancetype="t"), "spec.template.spec.domain.cpu", {"dedicatedCpuPlacement": False}
    )
    assert assess(vm, type_object(CLUSTER_TYPE, "t", DEDICATED)).expected is False

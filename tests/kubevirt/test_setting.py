"""The setting of FPR: found, changed by one patch that keeps what was there, put back."""

from __future__ import annotations

import json

import pytest

from freepage.fpr.rule import ANNOTATION, JSON_PATCH
from freepage.kube.errors import ClusterError, ConflictError, InvalidError, NotFoundError
from freepage.kube.resources import HYPERCONVERGED_V1, KUBEVIRTS, VMS, dig
from freepage.kubevirt.installation import find_installation
from freepage.kubevirt.setting import (
    SAVED,
    VM_PATH,
    Setting,
    find_setting,
    plan_change,
    plan_restoration,
    read_saved,
    refuse_override,
)
from freepage.kubevirt.writing import apply_change, wait_for_effect
from helpers.fake_cluster import FakeCluster

# A cluster by the versions of HyperConverged it serves, and the field of its setting.
FIELDS = {
    (): "spec.configuration.virtualMachineOptions.disableFreePageReporting",
    ("v1beta1",): "spec.virtualMachineOptions.disableFreePageReporting",
    ("v1beta1", "v1"): "spec.virtualization.virtualMachineOptions.disableFreePageReporting",
}
every_field = pytest.mark.parametrize("served", FIELDS, ids=["KubeVirt", "HCO v1beta1", "HCO v1"])


async def read(cluster):
    """Read a cluster's setting."""
    return find_setting(await find_installation(cluster))


async def change(cluster, *, enabled, dry_run=False):
    found = await find_installation(cluster)
    planned = plan_change(find_setting(found), enabled=enabled, by="alice")
    written = await apply_change(cluster, planned, dry_run=dry_run)
    await wait_for_effect(cluster, found, enabled=enabled, deadline_s=0.1)
    return written


@every_field
async def test_the_setting_is_where_the_cluster_serves_it(served):
    cluster = FakeCluster(hyperconverged=served)
    setting = await read(cluster)
    assert str(setting.path) == FIELDS[served]
    assert setting.object["apiVersion"] == setting.path.resource.api_version
    assert setting.enabled is True


@every_field
async def test_disabling_and_restoring_leaves_the_setting_as_it_was(served):
    cluster = FakeCluster(hyperconverged=served)
    before = await read(cluster)
    await change(cluster, enabled=False)
    assert cluster.disabled
    restored = await apply_change(cluster, plan_restoration(await read(cluster)), dry_run=False)
    assert not cluster.disabled
    assert (await read(cluster)).value == restored.value == before.value
    assert read_saved(restored.object) is None


@every_field
async def test_enabling_a_disabled_cluster_works_the_same_way(served):
    cluster = FakeCluster(hyperconverged=served, disabled=True)
    await change(cluster, enabled=True)
    assert not cluster.disabled
    await apply_change(cluster, plan_restoration(await read(cluster)), dry_run=False)
    assert cluster.disabled


@every_field
async def test_what_is_as_wanted_already_needs_no_change(served):
    setting = await read(FakeCluster(hyperconverged=served))
    assert plan_change(setting, enabled=True, by="alice") is None
    assert plan_restoration(setting) is None


async def test_the_value_and_what_it_replaced_are_written_at_once():
    cluster = FakeCluster(hyperconverged=("v1",))
    await change(cluster, enabled=False)
    assert [verb for verb, _ in cluster.calls].count("patch") == 1
    obj = cluster.peek(HYPERCONVERGED_V1, "kubevirt", "kubevirt-hyperconverged")
    kept = json.loads(obj["metadata"]["annotations"][SAVED])
    assert kept["path"] == "/spec/virtualization/virtualMachineOptions/disableFreePageReporting"
    assert (kept["value"], kept["by"]) == (False, "alice")


async def test_nothing_is_kept_as_nothing():
    cluster = FakeCluster()
    await change(cluster, enabled=False)
    obj = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    assert "value" not in json.loads(obj["metadata"]["annotations"][SAVED])
    assert read_saved(obj).value is None


@pytest.mark.parametrize(
    "spec", [{"configuration": {}}, {"configuration": {"cpuModel": "x"}}, {"other": 1}, {}]
)
async def test_restoring_leaves_nothing_where_nothing_was(spec):
    cluster = FakeCluster()
    kubevirt = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    kubevirt["spec"] = spec
    await change(cluster, enabled=False)
    await change(cluster, enabled=True)
    await apply_change(cluster, plan_restoration(await read(cluster)), dry_run=False)
    assert cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")["spec"] == spec


@pytest.mark.parametrize("options", [{}, {"disableSerialConsoleLog": {}}])
async def test_restoring_leaves_what_was_there_beside_the_setting(options):
    cluster = FakeCluster()
    kubevirt = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    kubevirt["spec"]["configuration"]["virtualMachineOptions"] = options
    await change(cluster, enabled=False)
    await apply_change(cluster, plan_restoration(await read(cluster)), dry_run=False)
    kubevirt = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    assert kubevirt["spec"]["configuration"] == {"virtualMachineOptions": options}


async def test_restoring_leaves_what_somebody_has_put_beside_the_setting_since():
    cluster = FakeCluster()
    await change(cluster, enabled=False)
    options = {"virtualMachineOptions": {"disableSerialConsoleLog": {}}}
    await cluster.patch(KUBEVIRTS, "kubevirt", {"spec": {"configuration": options}}, namespace="kubevirt")
    await apply_change(cluster, plan_restoration(await read(cluster)), dry_run=False)
    kubevirt = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    assert kubevirt["spec"]["configuration"] == options


async def test_a_change_of_an_earlier_version_is_restored_as_that_did():
    cluster = FakeCluster()
    await change(cluster, enabled=False)
    kubevirt = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    kept = json.loads(kubevirt["metadata"]["annotations"][SAVED])
    assert kept.pop("made") == "/spec/configuration/virtualMachineOptions"
    kubevirt["metadata"]["annotations"][SAVED] = json.dumps(kept)
    await apply_change(cluster, plan_restoration(await read(cluster)), dry_run=False)
    kubevirt = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    assert kubevirt["spec"]["configuration"] == {"virtualMachineOptions": {}}


@pytest.mark.parametrize("metadata", [{}, {"annotations": {}}, {"labels": {"a": "b"}}])
async def test_a_vms_template_is_restored_as_it_was(metadata):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db", running=False)
    cluster.peek(VMS, "shop", "db")["spec"]["template"]["metadata"] = metadata
    planned = plan_change(Setting(VM_PATH, await cluster.get(VMS, "db", "shop")), enabled=False, by="alice")
    written = await apply_change(cluster, planned, dry_run=False)
    restored = (await apply_change(cluster, plan_restoration(written), dry_run=False)).object
    assert restored["spec"]["template"]["metadata"] == metadata


async def test_a_second_change_keeps_what_was_there_before_the_first():
    cluster = FakeCluster(hyperconverged=("v1",), disabled=True)
    await change(cluster, enabled=True)
    first = read_saved((await read(cluster)).object)
    await change(cluster, enabled=False)
    assert read_saved((await read(cluster)).object) == first
    assert first.value is True


async def test_a_setting_kept_by_the_older_api_is_restored_by_the_newer():
    cluster = FakeCluster(hyperconverged=("v1beta1",))
    await change(cluster, enabled=False)
    cluster.served["hco.kubevirt.io"] = ["v1", "v1beta1"]
    setting = await read(cluster)
    assert setting.path.resource == HYPERCONVERGED_V1
    await apply_change(cluster, plan_restoration(setting), dry_run=False)
    assert not cluster.disabled


async def test_a_dry_run_writes_nothing():
    cluster = FakeCluster()
    planned = plan_change(await read(cluster), enabled=False, by="alice")
    written = await apply_change(cluster, planned, dry_run=True)
    assert written.enabled is False
    assert not cluster.disabled


async def test_an_object_that_was_touched_elsewhere_in_between_is_read_again():
    cluster = FakeCluster()
    touches = iter(range(2))

    def touch(obj):
        if next(touches, None) is not None:
            obj["metadata"]["resourceVersion"] += "0"
            obj["status"]["phase"] = "Deployed"

    cluster.before_patch = touch
    await change(cluster, enabled=False)
    assert cluster.disabled
    assert cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")["status"]["phase"] == "Deployed"


async def test_a_setting_that_was_changed_in_between_is_left_to_whoever_changed_it():
    cluster = FakeCluster(hyperconverged=("v1",))

    def interfere(obj):
        obj["metadata"]["resourceVersion"] += "0"
        obj["spec"]["virtualization"]["virtualMachineOptions"]["disableFreePageReporting"] = None

    cluster.before_patch = interfere
    with pytest.raises(ConflictError, match="somebody else has changed"):
        await change(cluster, enabled=False)
    assert read_saved(cluster.peek(HYPERCONVERGED_V1, "kubevirt", "kubevirt-hyperconverged")) is None


async def test_an_object_that_never_keeps_still_is_given_up():
    cluster = FakeCluster()

    def touch(obj):
        obj["metadata"]["resourceVersion"] += "0"

    cluster.before_patch = touch
    with pytest.raises(ConflictError, match="changes faster"):
        await change(cluster, enabled=False)


async def test_kubevirt_that_does_not_follow_is_an_error_with_a_way_back():
    cluster = FakeCluster(hyperconverged=("v1",))
    cluster.follows = False
    with pytest.raises(ClusterError, match="has not followed") as caught:
        await change(cluster, enabled=False)
    assert "freepage restore" in caught.value.hint


async def test_hyperconverged_that_overrides_itself_is_not_changed():
    cluster = FakeCluster(hyperconverged=("v1",))
    obj = cluster.peek(HYPERCONVERGED_V1, "kubevirt", "kubevirt-hyperconverged")
    path = "/spec/configuration/virtualMachineOptions"
    obj["metadata"]["annotations"] = {JSON_PATCH: json.dumps([{"op": "add", "path": path, "value": {}}])}
    found = await find_installation(cluster)
    assert found.overridden
    with pytest.raises(ClusterError, match="overrides its own setting"):
        refuse_override(found)


async def test_an_annotation_that_is_not_ours_any_more_is_not_believed():
    cluster = FakeCluster()
    cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")["metadata"]["annotations"] = {SAVED: "yes"}
    with pytest.raises(ClusterError, match="is not what freepage wrote: 'yes'"):
        read_saved((await read(cluster)).object)


async def test_a_vm_is_switched_by_the_annotation_of_its_template():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db", annotations={"other": "kept"})
    vm = await cluster.get(VMS, "db", "shop")
    planned = plan_change(Setting(VM_PATH, vm), enabled=False, by="alice")
    written = await apply_change(cluster, planned, dry_run=False)
    template = written.object["spec"]["template"]["metadata"]
    assert template["annotations"] == {"other": "kept", ANNOTATION: "true"}
    restored = (await apply_change(cluster, plan_restoration(written), dry_run=False)).object
    assert restored["spec"]["template"]["metadata"]["annotations"] == {"other": "kept"}
    assert dig(restored, "metadata", "annotations") == {}


async def test_a_vms_annotation_counts_only_when_it_is_exactly_true():
    cluster = FakeCluster()
    cluster.add_vm("shop", "db", annotations={ANNOTATION: "True"})
    setting = Setting(VM_PATH, await cluster.get(VMS, "db", "shop"))
    assert plan_change(setting, enabled=True, by="alice") is None
    planned = plan_change(setting, enabled=False, by="alice")
    assert planned.saved.value == "True"


async def test_a_boolean_in_the_kubevirt_object_would_be_refused():
    patch = {"spec": {"configuration": {"virtualMachineOptions": {"disableFreePageReporting": False}}}}
    with pytest.raises(InvalidError):
        await FakeCluster().patch(KUBEVIRTS, "kubevirt", patch, namespace="kubevirt")


@pytest.mark.parametrize(
    ("cluster", "error", "words"),
    [
        (FakeCluster(kubevirt=None), NotFoundError, "has no KubeVirt"),
        (FakeCluster(kubevirt="v0.59.2"), ClusterError, "KubeVirt v0.59.2 knows nothing"),
    ],
)
async def test_a_cluster_without_a_kubevirt_that_knows_fpr_is_said_at_once(cluster, error, words):
    with pytest.raises(error, match=words) as caught:
        await find_installation(cluster)
    assert caught.value.hint


async def test_a_kubevirt_that_is_no_longer_installed_is_told_from_one_that_never_was():
    cluster = FakeCluster()
    cluster.objects.clear()
    with pytest.raises(NotFoundError, match="no KubeVirt object"):
        await find_installation(cluster)


async def test_a_kubevirt_whose_operator_has_no_object_is_not_edited_instead():
    cluster = FakeCluster(hyperconverged=("v1",))
    cluster.objects.pop(("hco.kubevirt.io", "hyperconvergeds"))
    with pytest.raises(NotFoundError, match="managed by hco-operator"):
        await find_installation(cluster)


@pytest.mark.parametrize("version", ["v1.0.0", "1.4.0-150600.5.15.1", "v1.9.0-12-gabc", "sha256:0123", None])
async def test_versions_are_read_as_distributions_write_them(version):
    cluster = FakeCluster()
    cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")["status"] = {"observedKubeVirtVersion": version}
    assert (await find_installation(cluster)).version == version

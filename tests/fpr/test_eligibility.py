"""KubeVirt's rule for FPR, on objects as its API gives them."""

from __future__ import annotations

import json

import pytest

from freepage.cli.main import main
from freepage.fpr.eligibility import assess_all
from freepage.fpr.rule import ANNOTATION, JSON_PATCH, read_setting
from helpers.vm_objects import KUBEVIRT, VMI, changed, vm_of


def assess(*objects):
    return assess_all(objects)[1][0]


def hyperconverged(version, disabled, annotations=None):
    options = {"virtualMachineOptions": {"disableFreePageReporting": disabled}}
    spec = {"virtualization": options} if version == "v1" else options
    metadata = {"namespace": "openshift-cnv", "name": "hco", "annotations": annotations or {}}
    return {
        "kind": "HyperConverged",
        "apiVersion": f"hco.kubevirt.io/{version}",
        "metadata": metadata,
        "spec": spec,
    }


def test_an_ordinary_vm_has_fpr_by_default():
    found = assess(KUBEVIRT, VMI)
    assert (found.expected, found.because, found.ineffective, found.unknown) == (True, (), (), ())
    assert (found.node, found.running) == ("worker-0", True)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.domain.devices.autoattachMemBalloon", False, "autoattachMemBalloon"),
        ("spec.domain.cpu.dedicatedCpuPlacement", True, "dedicated CPUs"),
        ("spec.domain.cpu.realtime", {}, "realtime"),
        ("spec.domain.memory.hugepages", {"pageSize": "2Mi"}, "huge pages"),
        ("metadata.annotations", {ANNOTATION: "true"}, "annotation"),
    ],
)
def test_each_of_kubevirts_conditions_keeps_fpr_off(path, value, words):
    found = assess(KUBEVIRT, changed(VMI, path, value))
    assert found.expected is False
    assert len(found.because) == 1
    assert words in found.because[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.annotations", {ANNOTATION: "false"}),
        ("metadata.annotations", {ANNOTATION: "True"}),
        ("spec.domain.devices.autoattachMemBalloon", True),
        ("spec.domain.cpu.dedicatedCpuPlacement", False),
    ],
)
def test_what_only_looks_like_a_condition_keeps_nothing_off(path, value):
    assert assess(KUBEVIRT, changed(VMI, path, value)).expected is True


def test_the_clusters_switch_is_a_struct_that_is_there_or_not():
    off = changed(KUBEVIRT, "spec.configuration.virtualMachineOptions", {"disableFreePageReporting": {}})
    other = changed(KUBEVIRT, "spec.configuration.virtualMachineOptions", {"disableSerialConsoleLog": {}})
    assert read_setting([off]).enabled is False
    assert read_setting([other]).enabled is True
    found = assess(off, VMI)
    assert found.expected is False
    assert "whole cluster" in found.because[0]


@pytest.mark.parametrize("version", ["v1beta1", "v1"])
def test_hyperconverged_has_a_boolean_at_another_place_in_each_version(version):
    assert read_setting([hyperconverged(version, disabled=True)]).enabled is False
    assert read_setting([hyperconverged(version, disabled=False)]).enabled is True
    assert read_setting([hyperconverged(version, disabled=False), KUBEVIRT]).source.startswith("KubeVirt")


def test_a_hyperconverged_that_is_overridden_decides_nothing():
    patch = '[{"op":"add","path":"/spec/configuration/virtualMachineOptions","value":{"disableFreePageReporting":{}}}]'
    setting = read_setting([hyperconverged("v1", disabled=False, annotations={JSON_PATCH: patch})])
    assert setting.enabled is None
    assert JSON_PATCH in setting.source


def test_without_the_clusters_setting_only_what_is_off_is_known():
    assert assess(VMI).expected is None
    assert assess(changed(VMI, "metadata.annotations", {ANNOTATION: "true"})).expected is False


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.domain.devices.gpus", [{"name": "g"}], "gpus pin all memory"),
        ("spec.domain.devices.interfaces", [{"name": "n", "sriov": {}}], "SR-IOV"),
        ("spec.domain.launchSecurity", {"sev": {}}, "SEV pins"),
        ("status.guestOSInfo", {"id": "mswindows"}, "Windows"),
        ("status.guestOSInfo", {"id": "centos", "kernelRelease": "4.18.0-193.el8"}, "Linux 4.18"),
    ],
)
def test_fpr_that_is_on_may_have_no_effect(path, value, words):
    found = assess(KUBEVIRT, changed(VMI, path, value))
    assert found.expected is True
    assert words in found.ineffective[0]


def test_what_cannot_be_seen_is_not_taken_for_granted():
    found = assess(
        KUBEVIRT, changed(changed(VMI, "status.guestOSInfo", {}), "spec.domain.launchSecurity", {"tdx": {}})
    )
    assert found.expected is True
    assert found.unknown == ("which system the guest runs (no guest agent)", "whether FPR works with TDX")


def test_an_annotation_on_the_template_waits_for_a_restart():
    vm = vm_of(VMI, metadata={"annotations": {ANNOTATION: "true"}})
    found = assess(KUBEVIRT, VMI, vm)
    assert found.expected is True
    assert found.restart == "its template disables FPR: restart it"
    assert assess(KUBEVIRT, VMI, vm_of(VMI)).restart is None


def test_a_stopped_vm_is_judged_by_its_template_as_far_as_that_goes():
    assert assess(KUBEVIRT, vm_of(VMI)).expected is True
    for key in ("instancetype", "preference"):
        found = assess(KUBEVIRT, changed(vm_of(VMI), f"spec.{key}", {"name": "u1.medium"}))
        assert found.expected is None
        assert "u1.medium adds (dedicated CPUs, huge pages, realtime, no balloon" in found.unknown[0]
        assert found.running is False


def test_the_command_reads_what_kubectl_prints_and_counts(tmp_path, capsys):
    windows = changed(changed(VMI, "metadata.name", "win"), "status.guestOSInfo", {"id": "mswindows"})
    pinned = changed(changed(VMI, "metadata.name", "fast"), "spec.domain.cpu.dedicatedCpuPlacement", True)
    path = tmp_path / "objects.json"
    path.write_text(json.dumps({"kind": "List", "items": [KUBEVIRT, VMI, windows, pinned]}))
    assert main(["audit", str(path)]) == 0
    said = capsys.readouterr().out
    assert "3 VMs: 2 on, 1 off, 0 not known; 1 on without effect" in said
    assert main(["audit", str(path), "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [vm["name"] for vm in content["vms"]] == ["db", "fast", "win"]
    assert content["cluster"]["enabled"] is True


@pytest.mark.parametrize("text", ["not json", "[1, 2]", '{"a": 1}', '{"items": [{"name": "x"}]}'])
def test_what_are_no_objects_is_refused_with_how_to_get_them(tmp_path, capsys, text):
    path = tmp_path / "objects.json"
    path.write_text(text)
    assert main(["audit", str(path)]) == 2
    assert "kubectl get" in capsys.readouterr().err

"""The change of the setting by hand: what is printed does what freepage's own change does."""

from __future__ import annotations

import json
import shlex

import pytest
import yaml

from freepage.kube.resources import HYPERCONVERGED_V1, HYPERCONVERGED_V1BETA1, KUBEVIRTS, VMS
from freepage.kubevirt.by_hand import describe_installed, describe_usual, describe_vms, find_program
from freepage.kubevirt.installation import find_installation
from freepage.kubevirt.setting import CLUSTER_PATHS, VM_PATH, Setting, find_setting
from helpers.fake_cluster import FakeCluster, merge


def body_of(change):
    """The patch as a shell hands it to the client."""
    words = shlex.split(change.patch)
    assert words[1:3] == ["patch", "--type=merge"]
    return json.loads(words[words.index("-p") + 1])


def follow_lines(change, obj):
    """Do what the lines to edit say."""
    tree = yaml.safe_load("\n".join(change.lines))
    return merge(obj, blank(tree) if change.is_removal else tree)


def blank(tree):
    return {key: blank(value) if isinstance(value, dict) and value else None for key, value in tree.items()}


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("served", [(), ("v1beta1",), ("v1",), ("v1", "v1beta1")])
async def test_the_patch_and_the_edit_of_a_cluster_do_what_freepage_would(served, enabled):
    cluster = FakeCluster(hyperconverged=served, disabled=enabled)
    found = await find_installation(cluster)
    setting = find_setting(found)
    assert setting.enabled is not enabled
    change = describe_installed(found, enabled=enabled, program="oc")
    for after in (merge(setting.object, body_of(change)), follow_lines(change, setting.object)):
        assert Setting(setting.path, after).enabled is enabled
    assert change.value == json.dumps(setting.value)


@pytest.mark.parametrize("enabled", [True, False])
def test_every_kind_of_installation_has_its_own_place(enabled):
    changes = describe_usual(enabled=enabled)
    bodies = [body_of(change) for change in changes]
    for path, body in zip((CLUSTER_PATHS[1], CLUSTER_PATHS[2], CLUSTER_PATHS[0]), bodies, strict=True):
        assert Setting(path, body).enabled is enabled
    assert [shlex.split(c.patch)[0] for c in changes] == ["oc", "oc", "kubectl"]
    assert len({c.edit for c in changes}) == len(CLUSTER_PATHS)


def test_openshift_virtualization_is_patched_as_its_documentation_has_it():
    change = describe_usual(enabled=True)[0]
    assert change.patch == (
        "oc patch --type=merge -n openshift-cnv hyperconvergeds.v1beta1.hco.kubevirt.io/kubevirt-hyperconverged "
        """-p '{"spec":{"virtualMachineOptions":{"disableFreePageReporting":false}}}'"""
    )
    assert change.lines == ("spec:", "  virtualMachineOptions:", "    disableFreePageReporting: false")


@pytest.mark.parametrize("enabled", [True, False])
def test_a_vm_is_switched_by_its_templates_annotation(enabled):
    (change,) = describe_vms([("shop", "db")], enabled=enabled)
    before = {
        "spec": {
            "template": {
                "metadata": {"annotations": {"kept": "yes"} | ({VM_PATH.keys[-1]: "true"} if enabled else {})}
            }
        }
    }
    for after in (merge(before, body_of(change)), follow_lines(change, before)):
        assert Setting(VM_PATH, after).enabled is enabled
        assert after["spec"]["template"]["metadata"]["annotations"]["kept"] == "yes"
    assert change.edit == "kubectl edit virtualmachine -n shop db"


def test_names_are_quoted_for_the_shell():
    (change,) = describe_vms([("shop", "db; rm -rf ~")], enabled=False)
    assert shlex.split(change.edit)[-1] == "db; rm -rf ~"
    assert shlex.split(change.patch)[-3] == "virtualmachine/db; rm -rf ~"


@pytest.mark.parametrize(("served", "program"), [({}, "kubectl"), ({"route.openshift.io": ["v1"]}, "oc")])
async def test_the_client_is_oc_on_openshift_alone(served, program):
    cluster = FakeCluster()
    cluster.served |= served
    assert await find_program(cluster) == program


@pytest.mark.parametrize("resource", [KUBEVIRTS, VMS, HYPERCONVERGED_V1, HYPERCONVERGED_V1BETA1])
def test_a_kind_whose_versions_differ_is_named_with_its_version(resource):
    changes = (*describe_usual(enabled=True), *describe_vms([("shop", "db")], enabled=True))
    named = f"{resource.plural}.{resource.version}.{resource.group}"
    wanted = named if "hco" in resource.group else resource.kind.lower()
    assert any(f" {wanted}/" in change.patch for change in changes)

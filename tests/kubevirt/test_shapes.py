"""Objects that do not have the shape their API gives them."""

from __future__ import annotations

import pytest

from freepage.kubevirt.shapes import find_misshape, is_read, part_sound
from helpers.kubevirt_objects import KUBEVIRT, build_instance, build_launcher, build_vm
from helpers.vm_objects import changed


@pytest.mark.parametrize(
    "obj", [KUBEVIRT, build_vm(), build_instance(), build_launcher(build_instance(), reason="no node")]
)
def test_objects_of_a_cluster_have_their_shape(obj):
    assert is_read(obj)
    assert find_misshape(obj) is None


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("metadata", "db", "metadata is a string, not a mapping"),
        ("metadata", None, "it has no metadata.name"),
        ("metadata.name", 5, "metadata.name is a number, not a string"),
        ("metadata.name", "", "it has no metadata.name"),
        ("metadata.annotations", {"a/b": True}, "metadata.annotations[a/b] is true, not a string"),
        ("spec", [], "spec is a list, not a mapping"),
        ("spec.domain", "db", "spec.domain is a string, not a mapping"),
        (
            "spec.domain.cpu",
            {"dedicatedCpuPlacement": "true"},
            "spec.domain.cpu.dedicatedCpuPlacement is a string, not true or false",
        ),
        ("spec.domain.devices", {"gpus": [{}, None]}, "spec.domain.devices.gpus[1] is null, not a mapping"),
        ("spec.domain.devices", {"gpus": {}}, "spec.domain.devices.gpus is a mapping, not a list"),
        ("status.phase", ["Running"], "status.phase is a list, not a string"),
        ("status.guestOSInfo", {"id": 7}, "status.guestOSInfo[id] is a number, not a string"),
        ("apiVersion", 1, "apiVersion is a number, not a string"),
    ],
)
def test_the_first_part_of_another_shape_is_named(path, value, why):
    assert find_misshape(changed(build_instance(), path, value)) == why


@pytest.mark.parametrize("path", ["spec", "status", "metadata.annotations", "spec.domain.devices"])
def test_null_is_what_is_missing(path):
    assert find_misshape(changed(build_instance(), path, None)) is None


def test_the_same_word_of_another_api_is_another_kind():
    vm = build_vm()
    assert not is_read({**vm, "apiVersion": "vmoperator.vmware.com/v1alpha1"})
    assert not is_read({**vm, "kind": "Secret"})
    assert is_read({key: value for key, value in vm.items() if key != "apiVersion"})
    assert is_read({**vm, "apiVersion": "kubevirt.io/v1alpha3"})


def test_those_that_are_left_out_are_named_as_well_as_they_can_be():
    odd = [changed(build_vm(), "spec", 5), {**build_vm(), "metadata": {"name": 5}}]
    sound, skipped = part_sound([build_vm(), *odd])
    assert sound == [build_vm()]
    assert [(s.what, s.why) for s in skipped] == [
        ("VirtualMachine shop/db", "spec is a number, not a mapping"),
        ("VirtualMachine without a name", "metadata.name is a number, not a string"),
    ]

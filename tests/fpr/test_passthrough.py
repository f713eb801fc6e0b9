"""Devices that are passed through to a VM: which of them pin its memory, and when that cannot be told."""

from __future__ import annotations

import pytest

from freepage.fpr.passthrough import PermittedDevices, find_passthrough, read_permitted
from helpers.vm_objects import KUBEVIRT, VMI, changed

LISTS = {
    "pciHostDevices": [{"resourceName": "lab.example/card"}],
    "mediatedDevices": [{"resourceName": "lab.example/crypto"}],
    "usb": [{"resourceName": "lab.example/stick"}],
}
PERMITTED = read_permitted([changed(KUBEVIRT, "spec.configuration.permittedHostDevices", LISTS)])


def with_devices(kind, *devices, architecture="amd64", status=None):
    vmi = changed(VMI, "spec.architecture", architecture)
    if status is not None:
        vmi = changed(vmi, "status.deviceStatus", {"hostDeviceStatuses": status})
    return changed(vmi, f"spec.domain.devices.{kind}", list(devices))


def resource(name):
    return {"name": "dev", "deviceName": f"lab.example/{name}"}


def claimed(**attributes):
    return [{"name": "dev", "deviceResourceClaimStatus": {"attributes": attributes}}]


@pytest.mark.parametrize("name", ["card", "crypto"])
def test_pci_and_mediated_devices_pin_all_memory(name):
    found = find_passthrough(with_devices("hostDevices", resource(name)), PERMITTED)
    assert found.ineffective == (f"hostDevices pin all memory (VFIO): lab.example/{name}",)
    assert found.unknown == ()


def test_a_usb_device_pins_nothing_and_takes_nothing_from_one_beside_it_that_does():
    stick = with_devices("hostDevices", resource("stick"))
    both = with_devices("hostDevices", resource("stick"), resource("card"))
    assert (find_passthrough(stick, PERMITTED).ineffective, find_passthrough(stick, PERMITTED).unknown) == (
        (),
        (),
    )
    assert find_passthrough(both, PERMITTED).ineffective == (
        "hostDevices pin all memory (VFIO): lab.example/card",
    )


def test_on_s390x_a_mediated_device_is_one_of_vfio_ap_which_allows_discarding_but_a_pci_device_pins():
    crypto = with_devices("hostDevices", resource("crypto"), architecture="s390x")
    card = with_devices("hostDevices", resource("card"), architecture="s390x")
    assert find_passthrough(crypto, PERMITTED).ineffective == ()
    assert find_passthrough(card, PERMITTED).ineffective


def test_where_the_architecture_is_not_said_a_mediated_device_is_not_judged_by_it():
    found = find_passthrough(with_devices("hostDevices", resource("crypto"), architecture=None), PERMITTED)
    assert found.ineffective == ()
    assert "the VM's architecture would tell" in found.unknown[0]


@pytest.mark.parametrize(
    ("permitted", "words"),
    [
        (PermittedDevices(), "permittedHostDevices of the KubeVirt object would tell"),
        (read_permitted([KUBEVIRT]), "the KubeVirt object has no such resource"),
    ],
)
def test_a_resource_that_no_object_at_hand_explains_is_not_known(permitted, words):
    found = find_passthrough(with_devices("hostDevices", resource("stick")), permitted)
    assert found.ineffective == ()
    assert words in found.unknown[0]
    assert "lab.example/stick" in found.unknown[0]


@pytest.mark.parametrize("version", ["v1beta1", "v1"])
def test_without_a_kubevirt_object_the_hyperconverged_object_tells(version):
    lists = {
        "permittedHostDevices": {"usbHostDevices": LISTS["usb"], "pciHostDevices": LISTS["pciHostDevices"]}
    }
    spec = {"virtualization": lists} if version == "v1" else lists
    hyperconverged = {"kind": "HyperConverged", "apiVersion": f"hco.kubevirt.io/{version}", "spec": spec}
    permitted = read_permitted([hyperconverged])
    assert permitted.kinds == {"lab.example/stick": {"USB"}, "lab.example/card": {"PCI"}}


@pytest.mark.parametrize(
    "gpu", [{"name": "g", "deviceName": "x/y"}, {"name": "g", "claimName": "c", "requestName": "r"}]
)
def test_a_graphics_card_pins_all_memory_however_it_is_given(gpu):
    assert "gpus pin all memory" in find_passthrough(with_devices("gpus", gpu), PERMITTED).ineffective[0]


@pytest.mark.parametrize(
    ("attributes", "architecture", "pins"),
    [
        ({"pciAddress": "0000:01:00.0"}, "amd64", True),
        ({"mDevUUID": "u"}, "amd64", True),
        ({"mDevUUID": "u", "pciAddress": "0000:01:00.0"}, "s390x", False),
        ({"usbAddress": {"bus": 1}}, "amd64", False),
        ({}, "amd64", True),
    ],
)
def test_a_device_by_a_claim_is_what_the_status_says_it_became(attributes, architecture, pins):
    device = {"name": "dev", "claimName": "claim", "requestName": "one"}
    vmi = with_devices("hostDevices", device, architecture=architecture, status=claimed(**attributes))
    found = find_passthrough(vmi, PERMITTED)
    assert bool(found.ineffective) is pins
    assert found.unknown == ()


def test_a_claim_without_a_device_yet_is_not_known_where_it_may_be_one_that_pins_nothing():
    device = {"name": "dev", "claimName": "claim"}
    found = find_passthrough(with_devices("hostDevices", device, architecture="s390x"), PERMITTED)
    assert found.ineffective == ()
    assert "its claim's device would tell" in found.unknown[0]


@pytest.mark.parametrize(("struct", "pins"), [({}, True), (None, False)])
def test_an_sriov_interface_is_one_that_has_the_struct_even_empty(struct, pins):
    vmi = with_devices("interfaces", {"name": "fast", "sriov": struct}, {"name": "pod", "masquerade": {}})
    assert bool(find_passthrough(vmi, PERMITTED).ineffective) is pins


@pytest.mark.parametrize(
    ("name", "attachment", "known"),
    [("passt", None, True), ("vdpa", None, False), ("ours", "tap", True), ("ours", "", False)],
)
def test_a_network_binding_that_may_be_vhost_vdpa_is_not_known(name, attachment, known):
    binding = {} if attachment is None else {name: {"domainAttachmentType": attachment}}
    permitted = read_permitted([changed(KUBEVIRT, "spec.configuration.network", {"binding": binding})])
    found = find_passthrough(with_devices("interfaces", {"name": "n", "binding": {"name": name}}), permitted)
    assert found.ineffective == ()
    assert (found.unknown == ()) is known


@pytest.mark.parametrize("devices", [None, "x", 3, [None, "x", 3, []], {"a": 1}])
def test_what_is_no_list_of_devices_holds_none(devices):
    vmi = changed(
        VMI, "spec.domain.devices", {"hostDevices": devices, "gpus": devices, "interfaces": devices}
    )
    assert find_passthrough(vmi, PERMITTED) == find_passthrough(VMI, PERMITTED)

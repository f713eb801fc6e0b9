"""The test cluster's KubeVirt: validated by the projects' own schemas, and as their webhooks and operators do."""

from __future__ import annotations

import json
import os

import pytest

from freepage.kube.api import Login, open_cluster
from freepage.kube.errors import ConflictError, InvalidError
from freepage.kube.resources import HYPERCONVERGED_V1, KUBEVIRTS, PODS, VMIS
from freepage.kubevirt.launchers import list_launchers, observe_reporting
from lab.fleet import VARIANT_LABEL, VARIANTS
from lab.schemas import BESIDE_THE_CHECKOUT, Schemas, check
from lab.starting import start_cluster, wait_for
from lab.store import merged

pytestmark = pytest.mark.cluster

HCO = "kubevirt-hyperconverged"
VMIS_PATH = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
VMS_PATH = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
KUBEVIRT = "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt"
MANAGED = f"/apis/kubevirt.io/v1/namespaces/{HCO}/kubevirts/kubevirt-{HCO}"
HCO_V1 = f"/apis/hco.kubevirt.io/v1/namespaces/{HCO}/hyperconvergeds/{HCO}"
HCO_V1BETA1 = HCO_V1.replace("/v1/", "/v1beta1/")
STRICT = {"fieldValidation": "Strict"}
DRY = {"dryRun": "All"}

needs_schemas = pytest.mark.skipif(
    not BESIDE_THE_CHECKOUT.is_dir() and not os.environ.get("CI"),
    reason="KubeVirt's schemas are not beside the checkout (../shared/schemas)",
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with start_cluster(tmp_path_factory.mktemp("plain"), "--no-nodes") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def managed(tmp_path_factory):
    with start_cluster(tmp_path_factory.mktemp("managed"), "--no-nodes", "--operator", "hco") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with start_cluster(tmp_path_factory.mktemp("fleet"), "--fleet", str(len(VARIANTS))) as cluster:
        yield cluster


def instance(name="vm", **spec):
    """Return a VMI as freepage would create one, with changes merged into its spec."""
    ordinary = {
        "terminationGracePeriodSeconds": 0,
        "evictionStrategy": "None",
        "domain": {
            "cpu": {"sockets": 1, "maxSockets": 1, "cores": 4, "threads": 1},
            "memory": {"guest": "1Gi", "maxGuest": "1Gi"},
            "devices": {"autoattachMemBalloon": True, "logSerialConsole": True, "rng": {}},
        },
    }
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name},
        "spec": merged(ordinary, spec),
    }


# Validation by the projects' own schemas


@needs_schemas
def test_a_misspelt_field_is_refused_when_asked_to_be_strict_and_dropped_otherwise(plain):
    body = instance("misspelt", domain={"devices": {"autoAttachMemBalloon": True}})
    status = plain.refused("POST", VMIS_PATH, body, params=STRICT)
    assert status["reason"] == "BadRequest"
    assert (
        status["message"] == 'strict decoding error: unknown field "spec.domain.devices.autoAttachMemBalloon"'
    )
    created = plain.ask("POST", VMIS_PATH, body)
    assert "autoAttachMemBalloon" not in created["spec"]["domain"]["devices"]


@needs_schemas
def test_kubevirts_switch_is_a_struct_and_no_boolean(plain):
    options = {"virtualMachineOptions": {"disableFreePageReporting": True}}
    wrong = plain.patch(KUBEVIRT, {"spec": {"configuration": options}}, **STRICT).json()
    assert wrong["reason"] == "Invalid"
    assert 'must be of type object: "boolean"' in wrong["message"]
    options["virtualMachineOptions"]["disableFreePageReporting"] = {}
    right = plain.patch(KUBEVIRT, {"spec": {"configuration": options}}, **STRICT, **DRY).json()
    assert right["spec"]["configuration"]["virtualMachineOptions"] == {"disableFreePageReporting": {}}


@needs_schemas
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"domain": None}, "spec.domain"),
        ({"domain": {"cpu": {"cores": "four"}}}, "spec.domain.cpu.cores"),
        ({"domain": {"memory": {"guest": "many"}}}, "spec.domain.memory.guest"),
    ],
)
def test_types_and_required_fields_are_checked(plain, spec, field):
    body = instance("typed", **spec)
    status = plain.refused("POST", VMIS_PATH, body)
    assert status["reason"] == "Invalid"
    assert [cause["field"] for cause in status["details"]["causes"]] == [field]
    assert status["message"].startswith('VirtualMachineInstance.kubevirt.io "typed" is invalid: ')


KERNEL_BOOT = {
    "container": {"image": "i", "kernelPath": "/kernel", "initrdPath": "/initrd"},
    "kernelArgs": "a",
}


@needs_schemas
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"domain": {"firmware": {"kernelBoot": {"kernelArgs": "a"}}}}, "without an external kernel"),
        ({"domain": {"firmware": {"kernelBoot": {"container": {"image": "i"}}}}}, "at least one of"),
        (
            {"domain": {"firmware": {"kernelBoot": merged(KERNEL_BOOT, {"container": {"kernelPath": "k"}})}}},
            "must be an absolute path",
        ),
        (
            {"volumes": [{"name": "v", "cloudInitNoCloud": {"userData": "x" * 2049}}]},
            "userdata exceeds 2048 byte limit",
        ),
        ({"domain": {"devices": {"disks": [{"name": "d", "disk": {}}]}}}, "'d' not found."),
        ({"domain": {"memory": {"maxGuest": "512Mi"}}}, "must not be less than the guest memory"),
    ],
)
def test_kubevirt_refuses_what_its_webhooks_refuse(plain, spec, words):
    status = plain.refused("POST", VMIS_PATH, instance("webhook", **spec), params=STRICT)
    assert status["message"].startswith(
        'admission webhook "virtualmachineinstances-create-validator.kubevirt.io" denied the request: '
    )
    assert words in status["message"]


@needs_schemas
def test_a_vmi_that_boots_a_kernel_from_an_image_is_taken_and_completed(plain):
    body = instance("boots", domain={"firmware": {"kernelBoot": KERNEL_BOOT}})
    del body["spec"]["domain"]["memory"]["maxGuest"]
    created = plain.ask("POST", VMIS_PATH, body, params=STRICT)
    assert created["spec"]["domain"]["memory"]["maxGuest"] == str(4 * 2**30)
    assert created["spec"]["domain"]["firmware"]["uuid"]
    assert "status" not in created
    changed = {"spec": {"domain": {"memory": {"guest": "2Gi"}}}}
    assert "restricted" in plain.patch(f"{VMIS_PATH}/boots", changed).json()["message"]
    labelled = plain.patch(f"{VMIS_PATH}/boots", {"metadata": {"labels": {"mine": "yes"}}})
    assert labelled.json()["metadata"]["labels"] == {"mine": "yes"}


# HyperConverged


@needs_schemas
def test_both_versions_of_hyperconverged_show_one_object(managed):
    assert managed.ask("GET", HCO_V1BETA1)["spec"]["virtualMachineOptions"] == {
        "disableFreePageReporting": False,
        "disableSerialConsoleLog": False,
    }
    options = {"virtualMachineOptions": {"disableFreePageReporting": True}}
    changed = managed.patch(HCO_V1, {"spec": {"virtualization": options}}, **STRICT).json()
    assert changed["spec"]["virtualization"]["virtualMachineOptions"]["disableFreePageReporting"] is True
    old = managed.ask("GET", HCO_V1BETA1)
    assert old["spec"]["virtualMachineOptions"]["disableFreePageReporting"] is True
    assert old["spec"]["featureGates"]["videoConfig"] is True
    assert "virtualMachineOptions" in refused_by_v1(managed)
    managed.patch(HCO_V1BETA1, {"spec": {"virtualMachineOptions": {"disableFreePageReporting": False}}})


def refused_by_v1(managed):
    misplaced = {"spec": {"virtualMachineOptions": {"disableFreePageReporting": True}}}
    return managed.patch(HCO_V1, misplaced, **STRICT).json()["message"]


def options_of(cluster):
    return cluster.ask("GET", MANAGED)["spec"]["configuration"].get("virtualMachineOptions")


@needs_schemas
def test_hyperconverged_is_carried_to_kubevirt_and_what_others_write_there_reverted(managed):
    def set_disabled(value):
        options = {"virtualMachineOptions": {"disableFreePageReporting": value}}
        managed.patch(HCO_V1BETA1, {"spec": options})

    set_disabled(value=True)
    assert options_of(managed) is None
    wait_for(lambda: options_of(managed) == {"disableFreePageReporting": {}})
    set_disabled(value=False)
    wait_for(lambda: options_of(managed) is None)
    by_hand = {"virtualMachineOptions": {"disableFreePageReporting": {}}}
    managed.patch(MANAGED, {"spec": {"configuration": by_hand}})
    assert options_of(managed)
    wait_for(lambda: options_of(managed) is None)


@needs_schemas
def test_hyperconverged_can_be_overridden_by_a_json_patch(managed):
    step = {
        "op": "add",
        "path": "/spec/configuration/virtualMachineOptions",
        "value": {"disableFreePageReporting": {}},
    }
    annotation = {"kubevirt.kubevirt.io/jsonpatch": json.dumps([step])}
    managed.patch(HCO_V1, {"metadata": {"annotations": annotation}})
    wait_for(lambda: options_of(managed) == {"disableFreePageReporting": {}})
    conditions = managed.ask("GET", HCO_V1)["status"]["conditions"]
    assert "TaintedConfiguration" in [c["type"] for c in conditions]
    managed.patch(HCO_V1, {"metadata": {"annotations": None}})
    wait_for(lambda: options_of(managed) is None)


# VMs by their VirtualMachine


def machine(name, **spec):
    template = {"spec": instance()["spec"]}
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


@needs_schemas
def test_a_vm_is_started_by_its_run_strategy(plain):
    plain.ask("POST", VMS_PATH, machine("halted", runStrategy="Halted"))
    below = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/halted"
    status = plain.refused("PUT", f"{below}/restart", {})
    assert (status["code"], "does not support manual restart" in status["message"]) == (409, True)
    assert plain.client.put(f"{below}/start", json={}).status_code == 202
    assert plain.ask("GET", f"{VMS_PATH}/halted")["spec"]["runStrategy"] == "Always"
    assert "not running" in plain.refused("PUT", f"{below}/restart", {})["message"]
    both = plain.refused("POST", VMS_PATH, machine("both", runStrategy="Always", running=True))
    assert "mutually exclusive" in both["message"]


def test_a_running_vm_is_restarted_by_a_request_in_its_status(fleet):
    vmi = fleet.ask("GET", "/apis/kubevirt.io/v1/namespaces/team-0/virtualmachineinstances/vm-0000")
    below = "/apis/subresources.kubevirt.io/v1/namespaces/team-0/virtualmachines/vm-0000/restart"
    assert fleet.client.put(below, json={}).status_code == 202
    vm = fleet.ask("GET", "/apis/kubevirt.io/v1/namespaces/team-0/virtualmachines/vm-0000")
    assert vm["status"]["stateChangeRequests"] == [
        {"action": "Stop", "uid": vmi["metadata"]["uid"]},
        {"action": "Start"},
    ]


# The fleet, by freepage's own client


@pytest.fixture
async def api(fleet):
    async with open_cluster(Login(kubeconfig=str(fleet.kubeconfig))) as api:
        yield api


@needs_schemas
def test_synthetic_vms_fit_the_schemas(fleet):
    schemas = Schemas(BESIDE_THE_CHECKOUT)
    for plural, kind in (
        ("virtualmachineinstances", "VirtualMachineInstance"),
        ("virtualmachines", "VirtualMachine"),
    ):
        for obj in fleet.ask("GET", f"/apis/kubevirt.io/v1/{plural}")["items"]:
            checked = check(schemas.find(plural, kind, "v1", custom=True), obj)
            assert (checked.unknown, checked.causes) == ([], [])


async def test_a_fleet_is_of_all_variants_and_shows_what_each_is(api):
    launchers = await list_launchers(api)
    seen = {}
    for vmi in await api.list(VMIS):
        observation = await observe_reporting(api, vmi, launchers, may_exec=True)
        seen.setdefault(vmi["metadata"]["labels"][VARIANT_LABEL], observation.reporting)
    assert seen == {variant.name: variant.reporting == "on" for variant in VARIANTS}


async def test_without_exec_a_rotated_log_hides_what_a_vm_is(api):
    launchers = await list_launchers(api)
    (vmi,) = await api.list(VMIS, labels=f"{VARIANT_LABEL}=log-rotated")
    assert (await observe_reporting(api, vmi, launchers, may_exec=False)).reporting is None


async def test_a_command_that_is_not_there_says_so(api):
    (pod, *_) = await api.list(PODS, labels="kubevirt.io=virt-launcher")
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    result = await api.run(name, ["nonsense"], namespace=namespace, container="compute")
    assert result.status is None
    assert b"not found" in result.stderr


@needs_schemas
async def test_freepages_client_is_refused_in_its_own_words(managed):
    async with open_cluster(Login(kubeconfig=str(managed.kubeconfig), namespace=HCO)) as api:
        with pytest.raises(InvalidError, match="unknown field"):
            await api.patch(HYPERCONVERGED_V1, HCO, {"spec": {"virtualMachineOptions": {}}}, dry_run=True)
        old = {"metadata": {"resourceVersion": "1"}, "spec": {}}
        with pytest.raises(ConflictError):
            await api.patch(KUBEVIRTS, f"kubevirt-{HCO}", old)
        assert await api.served_versions("hco.kubevirt.io") == ["v1", "v1beta1"]

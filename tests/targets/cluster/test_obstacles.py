"""What stands in a trial's way in a cluster, told before anything is created there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.errors import CapacityError, HostError
from freepage.image.architecture import AMD64, ARM64
from freepage.records import Arm
from freepage.study.plan import ToolsPlan
from freepage.targets.cluster.instances import build_shape
from freepage.targets.cluster.launcher_memory import LauncherMemory
from freepage.targets.cluster.obstacles import (
    ENFORCED,
    build_launcher_memory,
    describe_architectures,
    describe_pod_security,
    find_obstacle,
    find_overload,
)
from freepage.units import GIB, MIB
from helpers.outlines import CHOICES, configured, node, outline_of, plan_of, trial_of

LARGE = node("a", memory="64Gi")
FIO = ToolsPlan(("fio",), None)


def obstacle(outline, *plans):
    return find_obstacle(outline, trial_of(*plans), build_launcher_memory(outline))


def vms(count, memory_bytes):
    return [plan_of(f"vm-{n}", memory_bytes=memory_bytes) for n in range(count)]


def test_a_node_is_asked_for_what_kubevirt_adds_to_a_vm():
    outline, memory = outline_of(node("a", memory="4Gi"), node("b", memory="4Gi")), LauncherMemory(AMD64)
    assert find_overload(outline, trial_of(*vms(4, 27 * GIB // 16)), memory) is None
    crowded = trial_of(*vms(4, 7 * GIB // 4))
    assert "of memory on node a, which gives 4.00 GiB" in find_overload(outline, crowded, memory)


def test_a_node_that_gives_all_it_has_to_vms_has_nothing_left_for_its_sampler():
    memory = LauncherMemory(AMD64)
    shape_bytes = memory.estimate_bytes(build_shape(outline_of(LARGE), "vm-0", 0, *vms(1, GIB)))
    full = outline_of(node("a", memory=str(shape_bytes)))
    assert find_overload(full, trial_of(*vms(1, GIB)), memory) is not None
    enough = outline_of(node("a", memory=str(shape_bytes + 32 * MIB)))
    assert find_overload(enough, trial_of(*vms(1, GIB)), memory) is None


def test_a_trial_larger_than_its_nodes_is_refused_with_what_would_fit():
    found = obstacle(outline_of(node("a", memory="4Gi")), *vms(3, 2 * GIB))
    assert isinstance(found, CapacityError)
    assert found.message.startswith("001-cycle-vm-1 asks for ")
    assert "--scale" in found.hint


def test_a_clusters_factor_counts_against_its_nodes():
    kubevirt = configured(additionalGuestMemoryOverheadRatio="4")
    plans = vms(2, GIB)
    assert obstacle(outline_of(node("a", memory="3Gi")), *plans) is None
    assert obstacle(outline_of(node("a", memory="3Gi"), kubevirt=kubevirt), *plans) is not None


def test_fpr_that_the_cluster_disables_stands_in_the_way_of_its_arm_only():
    outline = outline_of(LARGE, kubevirt=configured(virtualMachineOptions={"disableFreePageReporting": {}}))
    found = obstacle(outline, plan_of("vm-0", carrier=Arm.VM_FPR, memory_bytes=GIB))
    assert "Free Page Reporting is disabled for the whole cluster" in found.message
    assert obstacle(outline, *vms(1, GIB)) is None


@pytest.mark.parametrize("carrier", [Arm.POD, Arm.VM])
def test_programs_need_freepages_own_image_in_pods_and_vms(carrier):
    others = replace(CHOICES, image=None, vm_disk="registry/fedora:41", pod_image="registry/small:1")
    plan = plan_of("fio-0", carrier=carrier, memory_bytes=GIB, tools=FIO)
    found = obstacle(outline_of(LARGE, choices=others), plan)
    assert isinstance(found, HostError)
    assert "programs such as fio reach a cluster in freepage's own image only" in found.message
    assert obstacle(outline_of(LARGE, choices=others), replace(plan, tools=None)) is None


def test_a_restricted_namespace_takes_no_vms_but_pods():
    outline = outline_of(LARGE, kubevirt=configured(), pod_security="restricted")
    found = obstacle(outline, *vms(1, GIB))
    assert 'namespace bench enforces the pod security standard "restricted"' in found.message
    assert f"namespace bench {ENFORCED}=privileged" in found.hint
    assert obstacle(outline, plan_of("pod-0", carrier=Arm.POD)) is None


@pytest.mark.parametrize(
    "kubevirt",
    [
        configured(developerConfiguration={"featureGates": ["PSA"]}),
        configured(
            seccompConfiguration={
                "virtualMachineInstanceProfile": {
                    "customProfile": {"localhostProfile": "kubevirt/kubevirt.json"}
                }
            }
        ),
    ],
    ids=["KubeVirt lifts the standard", "launchers have a profile"],
)
def test_a_restricted_namespace_is_no_obstacle_where_kubevirt_may_meet_it(kubevirt):
    outline = outline_of(LARGE, kubevirt=kubevirt, pod_security="restricted")
    assert obstacle(outline, *vms(1, GIB)) is None
    namespace = {"metadata": {"labels": {ENFORCED: "restricted"}}}
    assert "is not known" in describe_pod_security("bench", namespace, kubevirt)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({}, None),
        ({ENFORCED: "privileged"}, None),
        ({ENFORCED: "restricted"}, None),
        ({ENFORCED: "baseline"}, 'enforces the pod security standard "baseline"'),
    ],
)
def test_what_is_not_known_of_a_namespaces_pod_security_is_said(labels, words):
    said = describe_pod_security("bench", {"metadata": {"labels": labels}}, configured())
    assert said is None if words is None else words in said
    assert "it may not be read" in describe_pod_security("bench", None, configured())


def status(architecture):
    return {**configured(), "status": {"defaultArchitecture": architecture}}


@pytest.mark.parametrize(
    ("kubevirt", "architecture", "is_noted"),
    [
        (status("amd64"), AMD64, False),
        (status("amd64"), ARM64, True),
        (configured(architectureConfiguration={"defaultArchitecture": "arm64"}), AMD64, True),
        (configured(architectureConfiguration={"defaultArchitecture": "arm64"}), ARM64, False),
        (
            status("amd64") | configured(developerConfiguration={"featureGates": ["MultiArchitecture"]}),
            ARM64,
            False,
        ),
        (configured(), ARM64, False),
        (None, ARM64, False),
    ],
)
def test_vms_of_another_architecture_than_kubevirts_own_may_need_a_feature_gate(
    kubevirt, architecture, is_noted
):
    said = describe_architectures(kubevirt, architecture)
    assert (said is not None) == is_noted
    assert said is None or "MultiArchitecture" in said

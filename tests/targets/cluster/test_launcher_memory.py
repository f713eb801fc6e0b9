"""The memory that launchers request: KubeVirt's own reckoning, and launchers as they were seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.image.architecture import AMD64, ARM64
from freepage.targets.cluster.launcher_memory import (
    LauncherMemory,
    read_overhead_ratio,
    read_request_bytes,
)
from freepage.targets.cluster.vmi_manifests import VmiShape
from freepage.units import GIB, MIB
from helpers.outlines import configured

# What launchers of KubeVirt as of August 2026 requested beyond their guests' memory, with the console's log in it.
SEEN = {896: 291.15, 1408: 292.15, 5248: 299.65}


def vm(memory_mib, *, cpus=1):
    return VmiShape("vm", "vm", "node", True, memory_mib * MIB, cpus, image="registry/freepage:1")


@pytest.mark.parametrize("memory_mib", SEEN)
def test_the_reckoning_is_never_less_than_what_was_seen_and_hardly_more(memory_mib):
    beyond_mib = LauncherMemory(AMD64).estimate_bytes(vm(memory_mib)) / MIB - memory_mib
    assert SEEN[memory_mib] - 0.05 <= beyond_mib <= SEEN[memory_mib] + 2


def test_cpus_images_and_firmware_cost_more_memory():
    one = LauncherMemory(AMD64).estimate_bytes(vm(1024))
    assert LauncherMemory(AMD64).estimate_bytes(vm(1024, cpus=3)) == one + 16 * MIB
    assert LauncherMemory(AMD64).estimate_bytes(replace(vm(1024), tools=True)) == one + 1_000_000
    assert LauncherMemory(ARM64).estimate_bytes(vm(1024)) == one + 128 * MIB


def test_a_clusters_own_factor_multiplies_what_kubevirt_adds_and_not_the_guest_or_other_containers():
    plain, doubled = (LauncherMemory(AMD64, ratio).estimate_bytes(vm(1024)) for ratio in (1.0, 2.0))
    assert doubled - plain == (240 + 16 + 2) * MIB


@pytest.mark.parametrize(
    ("kubevirt", "ratio"),
    [
        (configured(additionalGuestMemoryOverheadRatio="1.5"), 1.5),
        (configured(additionalGuestMemoryOverheadRatio=""), 1.0),
        (configured(additionalGuestMemoryOverheadRatio="much"), 1.0),
        (configured(), 1.0),
        (None, 1.0),
    ],
)
def test_the_factor_is_read_from_kubevirts_object(kubevirt, ratio):
    assert read_overhead_ratio(kubevirt) == ratio


def container(requests=None, limits=None, **more):
    resources = {"requests": {"memory": requests}} if requests else {}
    return {"resources": resources | ({"limits": {"memory": limits}} if limits else {}), **more}


def test_a_pod_requests_its_containers_and_the_init_containers_that_go_on():
    sidecar = container("35M", restartPolicy="Always")
    pod = {"spec": {"initContainers": [sidecar, container("1M")], "containers": [container("1187Mi")]}}
    assert read_request_bytes(pod) == 1187 * MIB + 35_000_000
    pod["spec"]["overhead"] = {"memory": "100Mi"}
    assert read_request_bytes(pod) == 1287 * MIB + 35_000_000


def test_an_init_container_that_needs_more_than_all_others_together_counts_with_those_before_it():
    sidecar = container("100Mi", restartPolicy="Always")
    pod = {"spec": {"initContainers": [sidecar, container("2Gi")], "containers": [container("1Gi")]}}
    assert read_request_bytes(pod) == 2 * GIB + 100 * MIB


def test_a_limit_without_a_request_is_one_and_a_container_that_asks_for_nothing_adds_nothing():
    pod = {"spec": {"containers": [container(limits="64Mi"), container(), {"name": "bare"}]}}
    assert read_request_bytes(pod) == 64 * MIB
    assert read_request_bytes({}) == 0


def test_a_launcher_that_is_there_counts_for_more_than_the_reckoning():
    memory = LauncherMemory(AMD64)
    before = memory.estimate_bytes(vm(1024))
    memory.observe(vm(1024), {"spec": {"containers": [container("1500Mi")]}})
    assert memory.estimate_bytes(vm(1024)) == 1500 * MIB
    assert memory.estimate_bytes(vm(1536)) == 1500 * MIB + 512 * MIB + MIB
    memory.observe(vm(1024), {"spec": {"containers": [container(str(before))]}})
    assert memory.correction_bytes == 0

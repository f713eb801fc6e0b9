"""The launcher pods of the test cluster, beside what freepage expects of KubeVirt's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.image.architecture import AMD64, ARM64
from freepage.targets.cluster.launcher_memory import LauncherMemory, read_overhead_ratio, read_request_bytes
from freepage.targets.cluster.manifests import RunScope
from freepage.targets.cluster.vmi_manifests import VmiShape, build_vmi
from freepage.units import GIB, MIB
from helpers.outlines import IMAGE, configured
from lab.scheduler import memory_request
from lab.virt_objects import build_launcher

SCOPE = RunScope("bench", "abc", "freepage-abc", None, 65534, 1200, 7200, AMD64)
VM = VmiShape("vm", "vm", "node-0", True, GIB, 2, image=IMAGE, tools=True)


def launcher_of(shape, *, architecture=AMD64, kubevirt=None):
    vmi = build_vmi(replace(SCOPE, architecture=architecture), shape)
    vmi["metadata"] |= {"uid": "u-1"}
    return build_launcher(vmi, kubevirt or configured(), "tcg")


def test_a_launcher_starts_each_image_and_keeps_the_consoles_log_beside_it():
    spec = launcher_of(VM)["spec"]
    first = {c["name"]: c for c in spec["initContainers"]}
    assert list(first) == ["volumekernel-boot-volume", "volumetools", "guest-console-log"]
    assert {first[name]["image"] for name in list(first)[:2]} == {IMAGE}
    assert [name for name, c in first.items() if c.get("restartPolicy") == "Always"] == ["guest-console-log"]
    assert [c["name"] for c in spec["containers"]] == ["compute"]
    assert spec["nodeSelector"]["kubernetes.io/arch"] == "amd64"


@pytest.mark.parametrize("architecture", [AMD64, ARM64])
@pytest.mark.parametrize("ratio", [None, "1.5"])
def test_freepage_and_the_test_cluster_reckon_alike_but_for_images_that_are_no_volumes(architecture, ratio):
    kubevirt = configured(**({"additionalGuestMemoryOverheadRatio": ratio} if ratio else {}))
    pod = launcher_of(VM, architecture=architecture, kubevirt=kubevirt)
    memory = LauncherMemory(architecture, read_overhead_ratio(kubevirt))
    assert read_request_bytes(pod) == memory_request(pod["spec"])
    assert 0 <= memory.estimate_bytes(VM) - read_request_bytes(pod) <= 2 * MIB

"""Trials that cannot run here though others may, and what an instance's disks and mounts are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from freepage.errors import HostError
from freepage.image import disk, programs, tools
from freepage.image.guest import Guest
from freepage.image.kernel import find_kernel
from freepage.records import NODE, Arm
from freepage.run.run import check_runnable
from freepage.study.plan import DataPlan, InstancePlan, ToolsPlan, Trial
from freepage.targets.base import Accelerator, TargetFacts
from freepage.targets.local import cgroup as cgroups
from freepage.targets.local import disks
from freepage.targets.local.cgroup import Cgroup
from freepage.targets.local.choices import LocalChoices
from freepage.targets.local.container import write_bundle
from freepage.targets.local.disks import PodMounts, open_pod_mounts, open_vm_disks
from freepage.targets.local.qemu_command import ARCHITECTURES, VmDisk, VmPipes, VmShape, build_command
from freepage.targets.local.target import LocalTarget
from freepage.units import MIB

GUEST = Guest(Path("/k/vmlinuz"), Path("/k/initramfs"), "6.1", "d")
PLAIN = InstancePlan("plain-0", Arm.VM, 1, 512 * MIB, ())
FIO = replace(PLAIN, name="io-0", tools=ToolsPlan(programs=("fio",)), data=DataPlan("xfs", 320 * MIB))


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for check in (disks._check_guest_modules, disks._check_host_file_system):
        check.cache_clear()
    yield
    for check in (disks._check_guest_modules, disks._check_host_file_system):
        check.cache_clear()


FACTS = TargetFacts("local", "host", "", "host", False, Accelerator("tcg", ""), {}, {})


@pytest.fixture(scope="module")
def kernel():
    """The guests' kernel as it is cached for everybody, so that no test fetches it anew."""
    return find_kernel()


def target(cgroup=None, limit_bytes=None):
    return LocalTarget(FACTS, GUEST, None, cgroup, LocalChoices(node_memory_bytes=limit_bytes))


def trial(*instances, node_memory_bytes=None):
    return Trial("001", 0, None, Arm.VM, 0, instances, 10.0, 0, 1, 0.0, node_memory_bytes)


def forget_program(monkeypatch, name):
    real = programs.find_program

    def find(wanted):
        if wanted == name:
            raise HostError(f"{name} is not installed", hint=f"apt-get install {name}")
        return real(wanted)

    for module in (programs, tools, disk, disks):
        monkeypatch.setattr(module, "find_program", find)


def test_without_fio_only_the_trials_that_need_it_are_in_the_way(monkeypatch):
    forget_program(monkeypatch, "fio")
    obstacle = target().find_obstacle(trial(FIO))
    assert (obstacle.message, obstacle.hint) == ("fio is not installed", "apt-get install fio")
    assert target().find_obstacle(trial(PLAIN)) is None


def test_a_guest_kernel_without_the_file_system_is_named(monkeypatch):
    def lacks(kernel, names):
        raise HostError("the guest kernel 6.1 has no module xfs, and it is not built in")

    monkeypatch.setattr(disks, "find_kernel", lambda image: None)
    monkeypatch.setattr(disks, "find_modules", lacks)
    assert "no module xfs" in target().find_obstacle(trial(FIO)).message


def test_a_file_system_this_hosts_kernel_has_not_is_in_the_way_of_pods_only(monkeypatch, kernel):
    monkeypatch.setattr(disks, "find_kernel", lambda image: kernel)
    monkeypatch.setattr(disks, "read_text", lambda path: "nodev\ttmpfs\n\text4\n")
    monkeypatch.setattr(disks, "_has_module", lambda name: False)
    monkeypatch.setattr(disks, "build_tools", lambda plan: None)
    pod = replace(FIO, carrier=Arm.POD)
    assert "this host's kernel has no xfs" in target().find_obstacle(trial(pod)).message
    assert target().find_obstacle(trial(FIO)) is None


def test_a_node_of_its_own_needs_cgroups():
    assert "memory cgroup" in target().find_obstacle(trial(PLAIN, node_memory_bytes=MIB)).message
    with (
        pytest.raises(HostError, match="memory cgroup"),
        target().open_node(trial(PLAIN, node_memory_bytes=MIB)),
    ):
        pytest.fail("there is no node")


def test_a_run_of_which_nothing_can_run_is_refused_with_the_reason(monkeypatch):
    forget_program(monkeypatch, "fio")
    with pytest.raises(HostError, match="fio is not installed"):
        check_runnable([trial(FIO), trial(FIO)], target())
    check_runnable([trial(FIO), trial(FIO), trial(PLAIN)], target())


@pytest.mark.parametrize(
    ("version", "name", "none"), [(1, "memory.limit_in_bytes", "-1"), (2, "memory.max", "max")]
)
def test_a_trials_own_node_is_a_limit_of_the_runs_cgroup_for_its_time(tmp_path, version, name, none):
    small = trial(PLAIN, node_memory_bytes=64 * MIB)
    with target(Cgroup(tmp_path, version)).open_node(small) as read_node:
        assert (tmp_path / name).read_text() == str(64 * MIB)
        assert read_node()[NODE]["node_cgroup_limit_bytes"] == 64 * MIB
    assert (tmp_path / name).read_text() == none
    limited = target(Cgroup(tmp_path, version), limit_bytes=128 * MIB)
    with limited.open_node(small):
        assert (tmp_path / name).read_text() == str(64 * MIB)
    assert (tmp_path / name).read_text() == str(128 * MIB)
    with limited.open_node(trial(PLAIN)) as read_node:
        assert read_node()[NODE]["node_cgroup_limit_bytes"] == 128 * MIB


def test_a_trials_limit_ends_with_it_even_when_it_fails(tmp_path):
    with (
        pytest.raises(HostError),
        target(Cgroup(tmp_path, 2)).open_node(trial(PLAIN, node_memory_bytes=MIB)),
    ):
        raise HostError("it failed")
    assert (tmp_path / "memory.max").read_text() == "max"


def test_without_a_limit_the_node_is_the_host():
    with target().open_node(trial(PLAIN)) as read_node:
        values = read_node()
    assert list(values) == [NODE]
    assert values[NODE]["mem_total_bytes"] > 0
    assert "node_cgroup_usage_bytes" not in values[NODE]


def test_a_disk_is_inherited_by_number_and_known_by_its_serial():
    shape = VmShape("io-0", 512 * MIB, cpus=1, reporting=True, accelerator="tcg")
    shape = replace(
        shape,
        disks=(VmDisk("tools", "ext4", 11, read_only=True), VmDisk("data", "xfs", 12, direct=True)),
    )
    words = " ".join(build_command(ARCHITECTURES["x86_64"], shape, GUEST, VmPipes(7, 8, Path("/c"))))
    assert "-add-fd fd=12,set=1,opaque=data" in words
    assert "filename=/dev/fdset/1,node-name=data-file,read-only=off,cache.direct=on" in words
    assert "node-name=tools,read-only=on,cache.direct=off" in words
    assert "virtio-blk-pci,drive=data,serial=data" in words
    assert "freepage.tools=ext4 freepage.data=xfs" in words


def test_a_vms_data_disk_has_no_name_any_more_when_it_starts(tmp_path):
    plan = replace(FIO, tools=None, data=DataPlan("ext4", 320 * MIB))
    with open_vm_disks(plan, tmp_path) as (data,):
        assert list(tmp_path.iterdir()) == []
        assert Path(f"/proc/self/fd/{data.fd}").stat().st_size == 320 * MIB


def test_a_pods_folder_of_the_host_goes_with_it(tmp_path):
    plan = replace(FIO, carrier=Arm.POD, tools=None, data=DataPlan("host", MIB))
    with open_pod_mounts(plan, tmp_path) as mounts:
        (mount,) = mounts.mounts
        assert (mount["destination"], mount["type"]) == ("/data", "bind")
        (Path(mount["source"]) / "test.0").write_bytes(b"x")
    assert list(tmp_path.glob("data-*")) == []


def test_a_bundle_leads_to_its_tools(tmp_path):
    tools_folder = tmp_path / "tools-root"
    tools_folder.mkdir()
    mounts = PodMounts([disks._bind(tools_folder, "/tools", "ro"), disks._bind(tmp_path, "/data", "rw")])
    write_bundle(tmp_path / "bundle", "io-0", None, mounts)
    root = tmp_path / "bundle/rootfs"
    assert (root / "lib64").readlink() == Path("tools/lib64")
    assert (root / "data").is_dir()
    assert '"ro"' in (tmp_path / "bundle/config.json").read_text()


def test_limits_are_given_back_to_a_cgroup(tmp_path):
    cgroups.set_limit(Cgroup(tmp_path, 2), None)
    assert (tmp_path / "memory.max").read_text() == "max"

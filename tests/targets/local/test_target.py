"""What needs no VM of the local target: command lines, bundles, cgroups, what is missing."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from freepage.errors import HostError
from freepage.image.guest import Guest
from freepage.records import Arm
from freepage.targets.base import Accelerator
from freepage.targets.local import accelerator as accelerators
from freepage.targets.local import cgroup as cgroups
from freepage.targets.local import target as local
from freepage.targets.local.accelerator import guess_accelerator
from freepage.targets.local.cgroup import Cgroup, open_instance_cgroup
from freepage.targets.local.container import build_config, is_root_mounted
from freepage.targets.local.process import read_tail
from freepage.targets.local.qemu_command import (
    ARCHITECTURES,
    VmPipes,
    VmShape,
    build_command,
    find_architecture,
)
from freepage.targets.local.vm import _describe_death
from freepage.units import MIB

SHAPE = VmShape("cycle-0", 640 * MIB, cpus=2, reporting=True, accelerator="tcg")
GUEST = Guest(Path("/k/vmlinuz"), Path("/k/initramfs"), "6.1", "d")
PIPES = VmPipes(7, 8, Path("/run,dir/console.log"))


def command(shape=SHAPE, machine="x86_64"):
    return " ".join(build_command(ARCHITECTURES[machine], shape, GUEST, PIPES))


def test_only_the_balloon_differs_between_the_arms():
    on, off = command(), command(replace(SHAPE, reporting=False))
    assert "free-page-reporting=on" in on
    assert on.replace("free-page-reporting=on", "free-page-reporting=off") == off


def test_a_vm_has_no_network_no_display_and_a_sandbox():
    words = command()
    assert "-nic none" in words
    assert "-display none" in words
    assert "-nodefaults" in words
    assert "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny" in words


def test_memory_is_private_and_as_large_as_asked():
    assert "-m 640M" in command()
    assert "memory-backend" not in command()


def test_emulation_caps_its_buffer_and_leaves_out_what_is_slow():
    assert "-accel tcg,thread=multi,tb-size=32 -cpu max,-erms" in command()
    assert "-accel kvm -cpu host" in command(replace(SHAPE, accelerator="kvm"))


def test_a_panic_ends_qemu_and_reaches_the_console():
    words = command()
    assert "panic=-1" in words
    assert "-no-reboot" in words
    assert "path=/run,,dir/console.log" in words


def test_another_architecture_has_its_own_program_machine_and_console():
    words = command(machine="aarch64")
    assert words.startswith("qemu-system-aarch64")
    assert "-machine virt" in words
    assert "console=ttyAMA0" in words
    with pytest.raises(HostError, match="riscv64"):
        find_architecture("riscv64")


def test_a_container_has_no_rights_and_no_network():
    config = build_config("cycle-0", Cgroup(Path("/sys/fs/cgroup/memory/freepage-1/cycle-0"), 1))
    assert config["process"]["args"] == ["/worker"]
    assert "capabilities" not in config["process"]
    assert config["root"]["readonly"]
    assert {"type": "network"} in config["linux"]["namespaces"]
    assert config["linux"]["cgroupsPath"] == "/freepage-1/cycle-0"
    assert {m["destination"] for m in config["mounts"]} == {"/proc", "/dev", "/dev/shm", "/tmp"}


@pytest.mark.parametrize(
    ("status", "tail", "words"),
    [
        (0, "Kernel panic - not syncing: No working init found", "panicked"),
        (0, "freepage-init: cannot load /modules/x.ko: No such file", "init gave up"),
        (0, "Out of memory: Killed process 80", "ran out of memory"),
        (-9, "", "host's OOM killer"),
        (1, "qemu: cannot set up guest memory", "status 1"),
        (0, "", "powered off"),
    ],
)
def test_the_ways_a_vm_dies_are_told_apart(status, tail, words):
    assert words in _describe_death(status, tail)


def test_a_chroot_into_a_plain_folder_has_no_mounted_root():
    mounted = "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n22 21 0:20 / /proc rw - proc proc rw\n"
    assert is_root_mounted(mounted)
    assert not is_root_mounted(mounted.splitlines()[1])


def test_the_last_lines_of_a_console_are_shown_without_blank_ones(tmp_path):
    path = tmp_path / "console.log"
    path.write_bytes(b"one\r\n\r\ntwo\r\nthree\xff\r\n")
    assert read_tail(path, 2) == "two\nthree\ufffd"
    assert read_tail(tmp_path / "none") == ""


def test_missing_programs_are_all_named_at_once_with_the_command_that_installs_them(monkeypatch):
    real = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name: None if "qemu" in name or name in {"runc", "crun"} else real(name)
    )
    with pytest.raises(HostError) as caught:
        local.check_programs()
    assert "qemu-system-" in caught.value.message
    assert "runc or crun" in caught.value.message
    assert "apt-get install" in caught.value.hint
    assert "dnf install" in caught.value.hint


def test_containers_need_root_and_only_where_they_are_wanted(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None if name in {"runc", "crun"} else f"/bin/{name}")
    with pytest.raises(HostError, match="needs root") as caught:
        local.check_programs()
    assert "--arms vm,vm-fpr" in caught.value.hint
    local.check_programs((Arm.VM, Arm.VM_FPR))


async def test_kvm_that_was_asked_for_and_boots_nothing_is_refused(monkeypatch):
    async def no_kvm(*_):
        return Accelerator("tcg", "no guest boots on it")

    monkeypatch.setattr(accelerators, "_find_kept", no_kvm)
    with pytest.raises(HostError, match="no guest boots on it"):
        await accelerators.find_accelerator("kvm", GUEST, "QEMU")
    assert (await accelerators.find_accelerator("auto", GUEST, "QEMU")).name == "tcg"


def test_an_instances_cgroup_is_removed_at_the_end(tmp_path):
    run = Cgroup(tmp_path, 2)
    with open_instance_cgroup(run, "cycle-0") as instance:
        assert instance.folder.is_dir()
    assert not instance.folder.exists()


def test_without_cgroups_instances_go_without():
    with open_instance_cgroup(None, "cycle-0") as instance:
        assert instance is None


def test_only_cgroups_of_processes_that_are_gone_are_stale(tmp_path):
    for name in (f"freepage-{os.getpid()}", f"freepage-{2**22 + 5}", "freepage-notes", "system.slice"):
        (tmp_path / name).mkdir()
    cgroups.remove_stale(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"freepage-{os.getpid()}",
        "freepage-notes",
        "system.slice",
    ]


def test_what_a_runtime_left_below_other_controllers_is_stale_too(tmp_path):
    gone, here = f"freepage-{2**22 + 5}", f"freepage-{os.getpid()}"
    for controller in ("memory", "pids", "systemd"):
        (tmp_path / controller / here).mkdir(parents=True)
    for controller in ("pids", "systemd"):
        (tmp_path / controller / gone / "cycle-0").mkdir(parents=True)
    cgroups.remove_stale(tmp_path / "memory")
    assert {p.name for p in tmp_path.glob("*/*")} == {here}


def test_a_limit_without_cgroups_is_refused(monkeypatch):
    monkeypatch.setattr(cgroups, "find_cgroup_version", lambda: None)
    with pytest.raises(HostError, match="--node-memory"), cgroups.open_run_cgroup(MIB):
        pass
    with cgroups.open_run_cgroup(None) as run:
        assert run is None


def test_an_accelerator_that_was_asked_for_is_not_guessed():
    assert guess_accelerator("tcg") == Accelerator("tcg", "it was asked for")
    assert guess_accelerator("auto").name in {"kvm", "tcg"}

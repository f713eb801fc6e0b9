"""Programs and file systems for instances, made without root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from freepage.errors import CapacityError, HostError, StudyError
from freepage.image import disk, tools
from freepage.image.disk import find_maker, make_disk
from freepage.image.tools import build_tools, parse_ldd
from freepage.plan import DataPlan, ToolsPlan
from freepage.units import GIB, MIB

LDD = """\tlinux-vdso.so.1 (0x00007ffd)
\tlibaio.so.1 => /lib/x86_64-linux-gnu/libaio.so.1 (0x00007f10)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f00)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f20)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def listed(image, folder):
    said = subprocess.run(
        [tools.find_program("debugfs"), "-R", f"ls -p {folder}", image],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.split("/")[5] for line in said.stdout.splitlines() if line.startswith("/")}


def test_libraries_and_the_loader_are_read_from_what_ldd_prints():
    assert parse_ldd(LDD) == [
        Path("/lib/x86_64-linux-gnu/libaio.so.1"),
        Path("/lib/x86_64-linux-gnu/libc.so.6"),
        Path("/lib64/ld-linux-x86-64.so.2"),
    ]
    assert parse_ldd("\tnot a dynamic executable\n") == []


def test_a_library_that_is_missing_is_named():
    with pytest.raises(HostError, match=r"libodd.so.3, which is not installed"):
        parse_ldd("\tlibodd.so.3 => not found\n")


def test_programs_stand_in_a_root_of_their_own_and_run_there(tmp_path):
    made = build_tools(ToolsPlan(programs=("ls",)))
    # root may be refused a user namespace, as in a chroot; others need one.
    changed = ["chroot"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "chroot"]
    said = subprocess.run(
        [*changed, made.folder, "/bin/ls", "/"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "usr" in said.stdout.split()
    assert "ls" in listed(made.image, "/usr/bin")
    assert build_tools(ToolsPlan(programs=("ls",))) == made


def test_a_users_folder_and_the_interpreter_of_a_script_come_along(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "measure.sh").write_text("#!/bin/sh\necho hi\n")
    made = build_tools(ToolsPlan(folder=str(folder)))
    assert "measure.sh" in listed(made.image, "/opt")
    assert "sh" in listed(made.image, "/usr/bin")
    (folder / "more").write_text("x")
    assert "more" in listed(build_tools(ToolsPlan(folder=str(folder))).image, "/opt")


def test_a_program_that_is_not_installed_is_named_with_what_installs_it():
    with pytest.raises(HostError, match="nonesuch is not installed") as caught:
        build_tools(ToolsPlan(programs=("nonesuch",)))
    assert caught.value.hint == "apt-get install nonesuch"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StudyError, match="nowhere is not there"):
        build_tools(ToolsPlan(folder=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(("filesystem", "magic", "at"), [("ext4", b"\x53\xef", 1080), ("xfs", b"XFSB", 0)])
def test_a_disk_has_its_file_system_and_takes_no_room_yet(tmp_path, filesystem, magic, at):
    path = tmp_path / "disk"
    make_disk(path, DataPlan(filesystem, 320 * MIB))
    with path.open("rb") as stream:
        stream.seek(at)
        assert stream.read(len(magic)) == magic
    assert path.stat().st_size == 320 * MIB
    assert path.stat().st_blocks * 512 < 80 * MIB


def test_a_disk_that_does_not_fit_is_refused_with_what_is_free(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=GIB))
    with pytest.raises(CapacityError, match=r"a disk of 2\.00 GiB does not fit: .* has 1\.00 GiB free"):
        make_disk(tmp_path / "disk", DataPlan("ext4", 2 * GIB))
    assert not (tmp_path / "disk").exists()


def test_a_file_system_nobody_can_make_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(tools, "_SYSTEM_FOLDERS", "")
    with pytest.raises(HostError, match=r"mkfs.xfs is not installed, so there is no xfs") as caught:
        find_maker("xfs")
    assert caught.value.hint == "apt-get install xfsprogs"

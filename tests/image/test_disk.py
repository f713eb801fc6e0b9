"""File systems for instances, made without root."""

from __future__ import annotations

import os
import shutil

import pytest

from freepage.errors import CapacityError, HostError
from freepage.image import disk, programs
from freepage.image.disk import find_mkfs, open_disk, run_on_disk
from freepage.study.plan import DataPlan
from freepage.units import GIB, MIB


@pytest.mark.parametrize(("filesystem", "magic", "at"), [("ext4", b"\x53\xef", 1080), ("xfs", b"XFSB", 0)])
def test_a_disk_has_its_file_system_no_name_and_takes_no_room_yet(tmp_path, filesystem, magic, at):
    folder = tmp_path / "trial"
    folder.mkdir()
    with open_disk(folder, DataPlan(filesystem, 320 * MIB)) as file:
        status = os.fstat(file.fileno())
        assert os.pread(file.fileno(), len(magic), at) == magic
        assert list(folder.iterdir()) == []
    assert (status.st_size, status.st_nlink) == (320 * MIB, 0)
    assert status.st_blocks * 512 < 80 * MIB


def test_a_disk_that_does_not_fit_is_refused_with_what_is_free(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=GIB))
    with pytest.raises(CapacityError, match=r"a disk of 2\.00 GiB does not fit: .* has 1\.00 GiB free"):
        open_disk(tmp_path, DataPlan("ext4", 2 * GIB))


def test_a_program_that_fails_on_a_disk_is_named_with_what_it_said(tmp_path):
    with (
        (tmp_path / "disk").open("w+b") as file,
        pytest.raises(HostError, match=r"ls failed: .*unrecognized"),
    ):
        run_on_disk(["ls", "--nonesuch"], file)


def test_a_file_system_nobody_can_make_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(programs, "_SYSTEM_FOLDERS", "")
    with pytest.raises(HostError, match=r"mkfs.xfs is not installed, so there is no xfs") as caught:
        find_mkfs("xfs")
    assert caught.value.hint == "apt-get install xfsprogs"

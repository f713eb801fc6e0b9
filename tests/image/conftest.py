"""What tests of the image share."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from freepage.image import push, requirements
from freepage.image.guest import Guest
from freepage.image.kernel import Kernel
from freepage.image.oci import write_image
from freepage.image.tools import Tools


@pytest.fixture(autouse=True)
def all_installed(monkeypatch):
    """Every program is there, as far as it is only looked for."""
    monkeypatch.setattr(requirements, "find_program", Path)
    monkeypatch.setattr(requirements, "find_mkfs", lambda filesystem: [filesystem])


@pytest.fixture
def kernel(tmp_path):
    """A kernel that has everything built in."""
    (tmp_path / "vmlinuz-1").write_bytes(b"kernel")
    (tmp_path / "vmlinuz-1").chmod(0o600)
    return Kernel(tmp_path / "vmlinuz-1", "6.1.0-test", None)


@pytest.fixture
def guest(tmp_path, kernel):
    (tmp_path / "initramfs-1").write_bytes(b"initramfs")
    return Guest(kernel.image, tmp_path / "initramfs-1", kernel.version, "0123456789abcdef")


@pytest.fixture
def tools(tmp_path):
    """Tools of one program that is none."""
    root = tmp_path / "tools/root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/it").write_bytes(b"it")
    (root / "usr/bin/it").chmod(0o750)
    (root / "list").write_bytes(b"of words")
    (root / "list").chmod(0o600)
    (tmp_path / "tools/image").write_bytes(bytes(1024))
    return Tools(root, tmp_path / "tools/image")


@pytest.fixture
def programs(tmp_path, monkeypatch):
    folder = tmp_path / "programs"
    folder.mkdir()
    found = SimpleNamespace(which=lambda name: (folder / name).exists() or None)
    monkeypatch.setattr(push, "shutil", found)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def layout(tmp_path, guest, tools):
    write_image(tmp_path / "layout", guest, tools)
    return tmp_path / "layout"

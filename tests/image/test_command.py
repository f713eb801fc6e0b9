"""The command: freepage image."""

from __future__ import annotations

from pathlib import Path

import pytest

from freepage.cli import image as command
from freepage.cli.main import main
from freepage.image.oci import read_image
from freepage.study.plan import ToolsPlan
from freepage.units import format_bytes
from helpers.pretended import pretend

STUDY = """
name = "mine"
title = "mine"

[[experiment]]
kind = "command"
name = "own"
command = ["/tools/opt/look"]
folder = "mine"
programs = ["awk"]
"""


@pytest.fixture
def asked(guest, kernel, tools, monkeypatch):
    """Nothing is built but the layout; what was asked for."""
    told = []
    monkeypatch.setattr(command, "find_kernel", lambda path: told.append(path) or kernel)
    monkeypatch.setattr(command, "build_guest", lambda path, modules: told.append(modules) or guest)
    monkeypatch.setattr(command, "build_tools", lambda plan: told.append(plan) or tools)
    return told


def test_building_says_what_was_built_and_what_comes_next(tmp_path, asked, capsys):
    assert main(["image", "build", "--out", str(tmp_path / "a")]) == 0
    first, holds, layers, following = capsys.readouterr().out.splitlines()
    image = read_image(tmp_path / "a")
    assert first == f"{tmp_path / 'a'}: {image.digest}"
    assert holds == "Linux 6.1.0-test, fio, mke2fs, mkfs.xfs"
    assert layers.endswith(format_bytes(sum(image.layers_bytes)))
    assert following == f"next: freepage image push REF --layout {tmp_path / 'a'}"
    assert asked == [None, ("virtio_blk", "ext4", "xfs"), ToolsPlan(("fio", "mke2fs", "mkfs.xfs"))]


def test_an_image_for_studies_has_their_programs_and_folder(tmp_path, asked, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine.toml").write_text(STUDY)
    studies = ["--study", "guest-io", str(tmp_path / "mine.toml")]
    assert main(["image", "build", "--out", str(tmp_path / "a"), "--kernel", "/k", *studies]) == 0
    assert asked[0] == Path("/k")
    assert asked[2] == ToolsPlan(("fio", "awk", "mke2fs", "mkfs.xfs"), str(tmp_path / "mine"))
    assert f"the folder {tmp_path / 'mine'}" in capsys.readouterr().out


def test_a_reference_is_looked_at_before_anything_is_built(tmp_path, asked, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["image", "push", "q.example/x"]) == 2
    assert "has no tag" in capsys.readouterr().err
    assert asked == []


def test_pushing_a_layout_that_is_none_says_how_to_build_one(tmp_path, capsys):
    assert main(["image", "push", "q.example/x:1", "--layout", str(tmp_path)]) == 4
    assert "freepage image build" in capsys.readouterr().err


@pytest.mark.long
def test_pushing_without_a_layout_builds_one_in_the_cache(tmp_path, asked, programs, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cached = tmp_path / "cache/freepage" / command.DEFAULT_LAYOUT
    pretend(programs, "skopeo", "true")
    assert main(["image", "push", "docker://q.example/x:1"]) == 0
    said = capsys.readouterr().out
    assert f"pushed by skopeo: q.example/x@{read_image(cached).digest}" in said
    assert "--image q.example/x:1" in said
    assert len(asked) == 3


def test_pushing_takes_the_layout_of_this_folder(tmp_path, asked, layout, programs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layout.rename(tmp_path / command.DEFAULT_LAYOUT)
    pretend(programs, "skopeo", f'echo "$@" > {tmp_path}/told')
    assert main(["image", "push", "q.example/x:1"]) == 0
    assert f"oci:{command.DEFAULT_LAYOUT}:latest" in (tmp_path / "told").read_text()
    assert asked == []

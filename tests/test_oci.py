"""The image for clusters: an OCI layout that anyone can read, the same for the same inputs, and how it is pushed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from types import SimpleNamespace

import pytest

from freepage.cli import image as command
from freepage.cli.main import main
from freepage.errors import HostError, StudyError
from freepage.image import guest as guests
from freepage.image import push
from freepage.image.guest import Guest
from freepage.image.oci import find_needs, read_digest, write_image
from freepage.image.push import PULLED, PUSHERS, build_commands, push_image
from freepage.image.tools import build_tools
from freepage.plan import DataPlan, InstancePlan, ToolsPlan
from freepage.records import Arm


@pytest.fixture
def guest(tmp_path):
    (tmp_path / "vmlinuz-1").write_bytes(b"kernel")
    (tmp_path / "initramfs-1").write_bytes(b"initramfs")
    (tmp_path / "vmlinuz-1").chmod(0o600)
    return Guest(tmp_path / "vmlinuz-1", tmp_path / "initramfs-1", "6.1.0-test", "1")


def make_tools(cache, folder, monkeypatch):
    """Build the same tools in a cache of their own, from a folder whose files have times of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    folder.mkdir(exist_ok=True)
    (folder / "look").write_text("#!/bin/sh\nls\n")
    (folder / "look").chmod(0o755)
    (folder / "list").write_text("of words")
    (folder / "also").unlink(missing_ok=True)
    (folder / "also").symlink_to("list")
    return build_tools(ToolsPlan(("ls",), str(folder)))


def read_blob(layout, descriptor):
    data = (layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
    assert "sha256:" + hashlib.sha256(data).hexdigest() == descriptor["digest"]
    assert len(data) == descriptor["size"]
    return data


def read_image(layout):
    """Read a layout as the specification says; give its configuration and its entries by path."""
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_text())
    (named,) = index["manifests"]
    manifest = json.loads(read_blob(layout, named))
    config = json.loads(read_blob(layout, manifest["config"]))
    entries = {}
    for layer, raw in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        data = gzip.decompress(read_blob(layout, layer))
        assert "sha256:" + hashlib.sha256(data).hexdigest() == raw
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for entry in archive:
                content = archive.extractfile(entry).read() if entry.isfile() else None
                entries[entry.name] = (entry, content)
    assert len(list((layout / "blobs/sha256").iterdir())) == len(manifest["layers"]) + 2
    return config, entries


def test_an_image_holds_what_vms_boot_and_what_pods_run(tmp_path, guest):
    digest = write_image(tmp_path / "layout", guest, None)
    config, entries = read_image(tmp_path / "layout")
    assert read_digest(tmp_path / "layout") == digest
    assert (config["os"], config["config"]["Entrypoint"]) == ("linux", ["/worker"])
    assert config["config"]["Labels"]["freepage.kernel"] == "6.1.0-test"
    assert entries["boot/vmlinuz"][1] == b"kernel"
    assert entries["boot/initramfs"][1] == b"initramfs"
    modes = {name: oct(entry.mode) for name, (entry, _) in entries.items()}
    assert modes == {
        "boot": "0o755",
        "boot/initramfs": "0o644",
        "boot/vmlinuz": "0o644",
        "data": "0o777",
        "tmp": "0o1777",
        "worker": "0o755",
    }
    assert {entry.mtime for entry, _ in entries.values()} == {0}
    assert {(entry.uid, entry.uname) for entry, _ in entries.values()} == {(0, "")}


def test_tools_are_the_root_of_pods_and_a_disk_of_vms(tmp_path, guest, monkeypatch):
    made = make_tools(tmp_path / "cache", tmp_path / "mine", monkeypatch)
    write_image(tmp_path / "layout", guest, made)
    _, entries = read_image(tmp_path / "layout")
    assert entries["tools"][0].linkname == "."
    assert entries["bin"][0].linkname == "usr/bin"
    assert entries["opt/also"][0].linkname == "list"
    assert (entries["opt/look"][0].mode, entries["opt/list"][0].mode) == (0o755, 0o644)
    disk, content = entries["disk/tools.img"]
    assert (disk.uid, disk.gid, disk.mode) == (107, 107, 0o440)
    assert content == made.image.read_bytes()
    assert len(content) % 512 == 0
    assert [name for name in entries if name.startswith("disk/")] == ["disk/tools.img"]


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its root")
def test_the_programs_of_an_image_run_as_nobody(tmp_path, guest, monkeypatch):
    write_image(tmp_path / "layout", guest, make_tools(tmp_path / "cache", tmp_path / "mine", monkeypatch))
    root = tmp_path / "root"
    root.mkdir()
    tmp_path.chmod(0o755)
    manifest = json.loads(
        read_blob(
            tmp_path / "layout", json.loads((tmp_path / "layout/index.json").read_text())["manifests"][0]
        )
    )
    for layer in manifest["layers"]:
        unpack = ["tar", "-xz", "-C", root]
        subprocess.run(unpack, input=read_blob(tmp_path / "layout", layer), check=True)
    said = subprocess.run(
        ["chroot", "--userspec=65534:65534", root, "/tools/opt/look"], capture_output=True, check=True
    )
    assert {b"boot", b"tools", b"worker"} <= set(said.stdout.split())


def test_the_same_inputs_give_the_same_image(tmp_path, guest, monkeypatch):
    first = make_tools(tmp_path / "one", tmp_path / "mine", monkeypatch)
    digest = write_image(tmp_path / "a", guest, first)
    (tmp_path / "mine/list").read_text()
    second = make_tools(tmp_path / "two", tmp_path / "mine", monkeypatch)
    assert second.image != first.image
    assert second.image.read_bytes() == first.image.read_bytes()
    assert write_image(tmp_path / "b", guest, second) == digest
    assert write_image(tmp_path / "b", guest, None) != digest


def test_only_an_image_is_replaced(tmp_path, guest):
    taken = tmp_path / "taken"
    taken.mkdir()
    write_image(taken, guest, None)
    write_image(taken, guest, None)
    (taken / "oci-layout").unlink()
    with pytest.raises(HostError, match="no image that could be replaced"):
        write_image(taken, guest, None)
    with pytest.raises(HostError, match="no image that could be replaced"):
        write_image(tmp_path / "vmlinuz-1", guest, None)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".freepage-image")]


def instance(tools=None, filesystem=None, carrier=Arm.VM):
    data = None if filesystem is None else DataPlan(filesystem, 2**20)
    return InstancePlan("i", carrier, 1, 2**28, (), tools, data)


def test_an_image_carries_what_all_instances_need_and_what_makes_their_file_systems():
    needs = find_needs(
        [
            instance(),
            instance(ToolsPlan(("fio",)), "xfs"),
            instance(ToolsPlan(("fio",)), "host", Arm.POD),
            instance(ToolsPlan(("sh", "fio"), "/mine"), "ext4"),
        ]
    )
    assert needs.tools == ToolsPlan(("fio", "sh", "mke2fs", "mkfs.xfs"), "/mine")
    assert needs.filesystems == ("ext4", "xfs")
    assert find_needs([instance()]).tools is None


def test_two_folders_of_programs_do_not_fit_into_one_image():
    with pytest.raises(StudyError, match="the study has /a, /b"):
        find_needs([instance(ToolsPlan((), "/b")), instance(ToolsPlan((), "/a"))])


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
def test_skopeo_reads_the_layout(tmp_path, guest, monkeypatch):
    made = make_tools(tmp_path / "cache", tmp_path / "mine", monkeypatch)
    digest = write_image(tmp_path / "layout", guest, made)
    said = subprocess.run(
        ["skopeo", "inspect", f"oci:{tmp_path}/layout:latest"], capture_output=True, check=True
    )
    assert json.loads(said.stdout)["Digest"] == digest
    copy = ["skopeo", "copy", "--quiet", f"oci:{tmp_path}/layout:latest", f"dir:{tmp_path}/copy"]
    subprocess.run(copy, check=True)


# ---- pushing


def pretend(folder, name, script):
    """Put a program of this name first on the PATH."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    folder = tmp_path / "programs"
    folder.mkdir()
    found = SimpleNamespace(which=lambda name: (folder / name).exists() or None)
    monkeypatch.setattr(push, "shutil", found)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_the_best_program_there_is_pushes(tmp_path, programs):
    pretend(programs, "crane", "exit 1")
    pretend(programs, "skopeo", f'echo "$@" > {tmp_path}/told')
    assert push_image(tmp_path / "layout", "q.example/me/x:1", insecure=True) == "skopeo"
    expected = f"copy --dest-tls-verify=false oci:{tmp_path}/layout:latest docker://q.example/me/x:1\n"
    assert (tmp_path / "told").read_text() == expected


def test_podman_pushes_what_it_has_pulled(tmp_path, programs):
    pretend(programs, "podman", f'echo "$@" >> {tmp_path}/told; echo pulling; echo 0123abcd')
    assert push_image(tmp_path / "layout", "q.example/me/x:1", insecure=False) == "podman"
    pulled, pushed = (tmp_path / "told").read_text().splitlines()
    assert pulled == f"pull --quiet oci:{tmp_path}/layout:latest"
    assert pushed == "push 0123abcd q.example/me/x:1"


def test_what_the_program_says_is_shown(tmp_path, programs):
    pretend(programs, "skopeo", "echo unauthorized: access denied >&2; exit 1")
    with pytest.raises(HostError, match="unauthorized: access denied"):
        push_image(tmp_path / "layout", "q.example/me/x:1", insecure=False)


def test_without_a_program_every_command_is_shown(tmp_path, programs):
    with pytest.raises(HostError, match="no program that pushes") as caught:
        push_image(tmp_path / "layout", "q.example/me/x:1", insecure=False)
    for name in PUSHERS:
        assert f"{name} " in caught.value.hint
    assert PULLED in caught.value.hint
    assert "tls" not in caught.value.hint


@pytest.mark.parametrize("name", PUSHERS)
def test_every_program_is_told_of_a_registry_without_a_certificate(tmp_path, name):
    told = [build_commands(name, tmp_path, "q.example/x", insecure=insecure) for insecure in (False, True)]
    secure, insecure = ([word for command in commands for word in command] for commands in told)
    assert [word for word in insecure if word not in secure] == [PUSHERS[name].insecure]


# ---- the command


@pytest.fixture
def quick_guest(guest, monkeypatch):
    asked = []
    monkeypatch.setattr(
        guests, "build_guest", lambda kernel, modules: asked.append((kernel, modules)) or guest
    )
    return asked


def test_an_image_is_built_twice_alike_and_its_digest_is_shown(tmp_path, quick_guest, capsys):
    digests = set()
    for name in ("a", "b"):
        assert main(["image", "build", "--out", str(tmp_path / name)]) == 0
        said = capsys.readouterr().out
        assert f"freepage image push REF --layout {tmp_path / name}" in said
        digests.add(said.splitlines()[0].split(": ")[1])
    assert digests == {read_digest(tmp_path / "a")}
    assert quick_guest == [(None, ())] * 2


def test_an_image_for_a_study_has_its_programs(tmp_path, quick_guest, capsys):
    assert (
        main(["image", "build", "--out", str(tmp_path / "a"), "--study", "guest-io", "--kernel", "/k"]) == 0
    )
    assert "fio, mke2fs" in capsys.readouterr().out
    ((kernel, modules),) = quick_guest
    assert str(kernel) == "/k"
    assert modules[:2] == ("virtio_blk", "ext4")
    _, entries = read_image(tmp_path / "a")
    assert {"usr/bin/fio", "usr/bin/mke2fs", "disk/tools.img"} <= set(entries)


def test_pushing_without_an_image_says_how_to_build_one(tmp_path, capsys):
    assert main(["image", "push", "q.example/x", "--layout", str(tmp_path)]) == 4
    assert "freepage image build" in capsys.readouterr().err


def test_pushing_says_what_was_pushed(tmp_path, quick_guest, programs, capsys):
    pretend(programs, "skopeo", "true")
    main(["image", "build", "--out", str(tmp_path / "a")])
    assert main(["image", "push", "docker://q.example/x:1", "--layout", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert f"q.example/x:1: {read_digest(tmp_path / 'a')} (pushed by skopeo)" in said
    assert "--image q.example/x:1" in said
    assert command.DEFAULT_LAYOUT == "freepage-image"

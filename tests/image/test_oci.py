"""The image for clusters: an OCI layout that anyone can read, the same for the same inputs, and how it is pushed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from freepage import __version__
from freepage.cli import image as command
from freepage.cli.main import main
from freepage.errors import HostError, StudyError
from freepage.image import guest as guests
from freepage.image import kernel as kernels
from freepage.image import needs, push
from freepage.image import tools as all_tools
from freepage.image.guest import Guest
from freepage.image.kernel import Kernel
from freepage.image.needs import find_needs
from freepage.image.oci import read_image, write_image
from freepage.image.push import PULLED, PUSHERS, build_commands, push_image
from freepage.image.reference import parse_reference
from freepage.image.tools import Tools, build_tools
from freepage.records import Arm
from freepage.study.plan import DataPlan, InstancePlan, ToolsPlan
from freepage.targets.cluster.vmi_manifests import INITRAMFS_PATH, KERNEL_PATH, TOOLS_DISK_PATH
from freepage.units import format_bytes
from freepage.worker.build import build_worker

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
REFERENCE = parse_reference("q.example/me/x:1")


@pytest.fixture(autouse=True)
def all_installed(monkeypatch):
    """Every program is there, as far as it is only looked for."""
    monkeypatch.setattr(needs, "find_program", Path)
    monkeypatch.setattr(needs, "find_maker", lambda filesystem: [filesystem])


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


def unpack(layout):
    """Read a layout as the specification says; give its configuration and its entries by path, in their order."""
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


def test_an_image_holds_what_vms_boot_and_what_both_run(tmp_path, guest, tools):
    image = write_image(tmp_path / "layout", guest, tools)
    config, entries = unpack(tmp_path / "layout")
    assert read_image(tmp_path / "layout") == image
    assert len(image.layers_bytes) == 3
    assert {name: content for name, (_, content) in entries.items() if content is not None} == {
        "boot/initramfs": b"initramfs",
        "boot/vmlinuz": b"kernel",
        "worker": build_worker().read_bytes(),
        "tools/list": b"of words",
        "tools/usr/bin/it": b"it",
        "disk/tools.img": bytes(1024),
    }
    assert (config["os"], config["config"]["Entrypoint"]) == ("linux", ["/worker"])
    assert config["architecture"] in {"amd64", "arm64"}
    labels = config["config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert (labels["freepage.kernel"], labels["freepage.guest"]) == ("6.1.0-test", "0123456789abcdef")


def test_everybody_may_read_an_image_and_nothing_in_it_has_a_time(tmp_path, guest, tools):
    write_image(tmp_path / "layout", guest, tools)
    _, entries = unpack(tmp_path / "layout")
    assert {name: oct(e.mode) for name, (e, _) in entries.items() if not e.issym()} == {
        "boot": "0o755",
        "boot/initramfs": "0o644",
        "boot/vmlinuz": "0o644",
        "worker": "0o755",
        "tools": "0o755",
        "tools/list": "0o644",
        "tools/usr": "0o755",
        "tools/usr/bin": "0o755",
        "tools/usr/bin/it": "0o755",
        "disk": "0o755",
        "disk/tools.img": "0o644",
    }
    assert {(e.uid, e.gid) for name, (e, _) in entries.items() if not name.startswith("disk")} == {(0, 0)}
    assert {(e.uid, e.gid) for name, (e, _) in entries.items() if name.startswith("disk")} == {(107, 107)}
    assert {(e.mtime, e.uname, e.gname) for e, _ in entries.values()} == {(0, "", "")}


def test_everything_stands_where_pods_and_vms_look_for_it(tmp_path, guest, tools):
    write_image(tmp_path / "layout", guest, tools)
    _, entries = unpack(tmp_path / "layout")
    links = {name: e.linkname for name, (e, _) in entries.items() if e.issym() and "/" not in name}
    assert links == {name: f"tools/{name}" for name in ("bin", "sbin", "lib", "lib64", "usr")}
    assert entries["tools/bin"][0].linkname == "usr/bin"
    assert {p.strip("/") for p in (KERNEL_PATH, INITRAMFS_PATH, TOOLS_DISK_PATH)} <= set(entries)


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its root")
def test_the_programs_of_an_image_run_as_nobody(tmp_path, guest, monkeypatch):
    write_image(tmp_path / "layout", guest, make_tools(tmp_path / "cache", tmp_path / "mine", monkeypatch))
    root = tmp_path / "root"
    root.mkdir()
    tmp_path.chmod(0o755)
    (named,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    manifest = json.loads(read_blob(tmp_path / "layout", named))
    for layer in manifest["layers"]:
        command = ["tar", "-xz", "-C", root]
        subprocess.run(command, input=read_blob(tmp_path / "layout", layer), check=True)
    said = subprocess.run(
        ["chroot", "--userspec=65534:65534", root, "/tools/opt/look"], capture_output=True, check=True
    )
    assert {b"boot", b"tools", b"worker"} <= set(said.stdout.split())


def test_the_same_inputs_give_the_same_image(tmp_path, guest, monkeypatch):
    first = make_tools(tmp_path / "one", tmp_path / "mine", monkeypatch)
    image = write_image(tmp_path / "a", guest, first)
    (tmp_path / "mine/list").read_text()
    second = make_tools(tmp_path / "two", tmp_path / "mine", monkeypatch)
    assert second.image != first.image
    assert second.image.read_bytes() == first.image.read_bytes()
    assert write_image(tmp_path / "b", guest, second) == image
    (second.folder / "opt/list").write_text("of others")
    assert write_image(tmp_path / "b", guest, second) != image


def test_an_earlier_image_is_replaced_and_an_empty_folder_filled(tmp_path, guest, tools):
    (tmp_path / "it").mkdir()
    image = write_image(tmp_path / "it", guest, tools)
    guest.initramfs.write_bytes(b"another")
    assert write_image(tmp_path / "it", guest, tools) != image
    unpack(tmp_path / "it")


def test_what_is_no_image_is_never_replaced(tmp_path, guest, tools):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    for taken in (tmp_path / "full", tmp_path / "full/file"):
        with pytest.raises(HostError, match="no image that could be replaced"):
            write_image(taken, guest, tools, force=True)
    assert (tmp_path / "full/file").read_text() == "mine"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".freepage-image")]


def test_an_image_of_somebody_else_is_replaced_when_told_to(tmp_path, guest, tools):
    layout = tmp_path / "layout"
    write_image(layout, guest, tools)
    index = json.loads((layout / "index.json").read_text())
    del index["manifests"][0]["annotations"]["org.opencontainers.image.title"]
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises(HostError, match="did not write") as caught:
        write_image(layout, guest, tools)
    assert "--force" in caught.value.hint
    write_image(layout, guest, tools, force=True)
    unpack(layout)


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
def test_skopeo_reads_the_layout(tmp_path, guest, tools):
    image = write_image(tmp_path / "layout", guest, tools)
    source = f"oci:{tmp_path}/layout:latest"
    said = subprocess.run(["skopeo", "inspect", source], capture_output=True, check=True)
    assert json.loads(said.stdout)["Digest"] == image.digest
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", source, f"dir:{tmp_path}/copy"]
    subprocess.run(copy, check=True)


# ---- what it carries


def instance(tools=None, filesystem=None, carrier=Arm.VM):
    data = None if filesystem is None else DataPlan(filesystem, 2**20)
    return InstancePlan("i", carrier, 1, 2**28, (), tools, data)


def test_any_image_carries_fio_and_what_makes_file_systems(kernel):
    found = find_needs([], kernel)
    assert found.tools == ToolsPlan(("fio", "mke2fs", "mkfs.xfs"))
    assert (found.filesystems, found.lacks) == (("ext4", "xfs"), ())


def test_an_image_carries_what_all_instances_need(kernel):
    plans = [
        instance(ToolsPlan(("awk", "sh")), "xfs"),
        instance(ToolsPlan(("fio",)), "host", Arm.POD),
        instance(ToolsPlan(("sh", "fio"), "/mine"), "ext4"),
        instance(ToolsPlan((), "/mine")),
    ]
    assert find_needs(plans, kernel).tools == ToolsPlan(("awk", "sh", "fio", "mke2fs", "mkfs.xfs"), "/mine")


def test_two_folders_of_programs_do_not_fit_into_one_image(kernel):
    with pytest.raises(StudyError, match="not /a and /b"):
        find_needs([instance(ToolsPlan((), "/b")), instance(ToolsPlan((), "/a"))], kernel)


def test_an_image_does_without_a_fio_that_is_not_installed(kernel, monkeypatch):
    def find(name):
        raise HostError(f"{name} is not installed")

    monkeypatch.setattr(needs, "find_program", find)
    found = find_needs([], kernel)
    assert found.tools.programs == ("mke2fs", "mkfs.xfs")
    assert found.lacks == ("fio is not installed",)
    assert "fio" in find_needs([instance(ToolsPlan(("fio",)))], kernel).tools.programs


def test_a_file_system_the_kernel_lacks_is_left_out_unless_it_is_needed(tmp_path):
    (tmp_path / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    poor = Kernel(tmp_path / "vmlinuz", "6.1.0-poor", tmp_path)
    found = find_needs([], poor)
    assert (found.filesystems, found.tools.programs) == (("ext4",), ("fio", "mke2fs"))
    assert "6.1.0-poor has no module xfs" in found.lacks[0]
    assert find_needs([instance(ToolsPlan(), "xfs")], poor).filesystems == ("ext4", "xfs")


# ---- where it goes


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        ("quay.io/me/freepage:1", "quay.io/me/freepage", "1"),
        ("docker://quay.io/me/free__page:V1.0-rc_1", "quay.io/me/free__page", "V1.0-rc_1"),
        ("127.0.0.1:5000/x:latest", "127.0.0.1:5000/x", "latest"),
        ("localhost/x:1", "localhost/x", "1"),
        ("registry:5000/a/b-c/d.e:1", "registry:5000/a/b-c/d.e", "1"),
    ],
)
def test_a_reference_is_read(text, repository, tag):
    reference = parse_reference(text)
    assert (reference.repository, reference.tag) == (repository, tag)
    assert str(reference) == text.removeprefix("docker://")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("freepage", "names no registry"),
        ("me/freepage:1", "names no registry"),
        ("https://quay.io/me/freepage:1", "names no registry"),
        ("quay.io/me/freepage", "has no tag"),
        ("quay.io/me/freepage:", "has no tag"),
        ("quay.io/me/freepage:-1", "has '-1' for a tag"),
        ("quay.io/Me/freepage:1", "upper case in its name; quay.io/me/freepage would do"),
        ("quay.io/me//freepage:1", "has 'me//freepage' for a name"),
        ("quay.io/:1", "has '' for a name"),
        ("quay.io/me/freepage:1@sha256:0", "names a digest"),
    ],
)
def test_a_reference_that_is_none_is_refused(text, reason):
    with pytest.raises(StudyError, match=re.escape(reason)) as caught:
        parse_reference(text)
    assert "REGISTRY/NAME:TAG" in caught.value.hint


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


@pytest.fixture
def layout(tmp_path, guest, tools):
    write_image(tmp_path / "layout", guest, tools)
    return tmp_path / "layout"


def test_the_best_program_there_is_pushes(tmp_path, layout, programs):
    pretend(programs, "crane", "exit 1")
    pretend(programs, "skopeo", f'echo "$@" > {tmp_path}/told')
    pushed = push_image(layout, REFERENCE, insecure=True)
    assert (pushed.program, pushed.digest) == ("skopeo", read_image(layout).digest)
    options = "--dest-tls-verify=false --insecure-policy"
    assert (
        tmp_path / "told"
    ).read_text() == f"copy {options} oci:{layout}:latest docker://q.example/me/x:1\n"


def test_podman_pushes_what_it_has_pulled_and_says_what_became_of_it(tmp_path, layout, programs):
    pretend(programs, "podman", f'echo "$@" >> {tmp_path}/told; echo pulling; echo 0123abcd')
    pushed = push_image(layout, REFERENCE, insecure=False)
    assert (pushed.program, pushed.digest) == ("podman", "0123abcd")
    pulled, told = (tmp_path / "told").read_text().splitlines()
    assert pulled == f"pull --quiet oci:{layout}:latest"
    assert told == "push --digestfile=/dev/stdout 0123abcd q.example/me/x:1"


def test_what_the_program_says_is_shown(layout, programs):
    pretend(programs, "skopeo", "echo unauthorized: access denied >&2; exit 1")
    with pytest.raises(HostError, match="unauthorized: access denied") as caught:
        push_image(layout, REFERENCE, insecure=False)
    assert "log in with skopeo" in caught.value.hint


@pytest.mark.usefixtures("programs")
def test_without_a_program_every_command_is_shown(layout):
    with pytest.raises(HostError, match="no program that pushes") as caught:
        push_image(layout, REFERENCE, insecure=False)
    for name in PUSHERS:
        assert f"{name} " in caught.value.hint
    assert PULLED in caught.value.hint
    assert "tls" not in caught.value.hint


@pytest.mark.parametrize("name", PUSHERS)
def test_every_program_is_told_of_a_registry_without_a_certificate(tmp_path, name):
    told = [build_commands(name, tmp_path, REFERENCE, insecure=insecure) for insecure in (False, True)]
    secure, insecure = ([word for command in commands for word in command] for commands in told)
    assert [word for word in insecure if word not in secure] == [PUSHERS[name].insecure]


# ---- the command


@pytest.fixture
def asked(guest, kernel, tools, monkeypatch):
    """Nothing is built but the layout; what was asked for."""
    told = []
    monkeypatch.setattr(kernels, "find_kernel", lambda path: told.append(path) or kernel)
    monkeypatch.setattr(guests, "build_guest", lambda path, modules: told.append(modules) or guest)
    monkeypatch.setattr(all_tools, "build_tools", lambda plan: told.append(plan) or tools)
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

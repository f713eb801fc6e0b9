"""The image for clusters, as an OCI layout."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile

import pytest

from freepage import __version__
from freepage.errors import HostError
from freepage.image.oci import read_image, write_image
from freepage.image.tools import build_tools
from freepage.study.plan import ToolsPlan
from freepage.targets.cluster.vmi_manifests import INITRAMFS_PATH, KERNEL_PATH, TOOLS_DISK_PATH
from freepage.worker.build import build_worker


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
        "boot/architecture": config["architecture"].encode(),
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
        "boot/architecture": "0o644",
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


@pytest.mark.long
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


@pytest.mark.long
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

"""Writes the image that a cluster's VMs and pods start from, as an OCI layout: the same bytes for the same inputs.

VMs boot its kernel and initramfs (KubeVirt's kernelBoot) and have its tools as a disk (a containerDisk); to pods the
same tools are the root file system.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage import __version__
from freepage.errors import HostError, StudyError
from freepage.image.disk import MAKERS
from freepage.plan import ToolsPlan
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.image.guest import Guest
    from freepage.image.tools import Tools
    from freepage.plan import InstancePlan

# KubeVirt's QEMU runs as this user, and takes disks from this folder.
QEMU_USER = 107
TAG = "latest"
_LAYOUT = {"imageLayoutVersion": "1.0.0"}
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_COMPRESSION = 6
_NOBODY = "65534:65534"
_LONG_AGO = "1970-01-01T00:00:00Z"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Needs:
    """What instances need of an image beside the guest: tools, and the file systems of their disks."""

    tools: ToolsPlan | None
    filesystems: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    """One entry of a layer: a folder, a link (`target`), or a file (`source`)."""

    path: str
    mode: int
    source: Path | None = None
    target: str | None = None
    owner: int = 0


def find_needs(plans: Iterable[InstancePlan]) -> Needs:
    """Gather what instances need, the programs that make their file systems included.

    Raises StudyError for folders of programs that cannot all stand at one place.
    """
    instances = list(plans)
    tools = [i.tools for i in instances if i.tools is not None]
    folders = sorted({t.folder for t in tools if t.folder is not None})
    if len(folders) > 1:
        raise StudyError(
            f"an image carries one folder of programs, and the study has {', '.join(folders)}",
            hint="build an image for each part of the study",
        )
    found = {i.data.filesystem for i in instances if i.data is not None}
    filesystems = tuple(name for name in MAKERS if name in found)
    programs = [*(p for t in tools for p in t.programs), *(MAKERS[name][0] for name in filesystems)]
    if not tools and not programs:
        return Needs(None, filesystems)
    return Needs(ToolsPlan(tuple(dict.fromkeys(programs)), folders[0] if folders else None), filesystems)


def write_image(layout: Path, guest: Guest, tools: Tools | None) -> str:
    """Write the image as an OCI layout, in place of one that is there, and give its digest.

    Raises HostError for a folder that holds something else, or cannot be written.
    """
    _check_replaceable(layout)
    try:
        layout.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=layout.parent, prefix=".freepage-image-") as scratch:
            made = Path(scratch) / "layout"
            digest = _write_layout(made, guest, tools)
            shutil.rmtree(layout, ignore_errors=True)
            made.rename(layout)
    except OSError as error:
        raise HostError(f"cannot write the image to {layout}: {error.strerror}") from error
    return digest


def read_digest(layout: Path) -> str:
    """Give the digest of the image in a layout; HostError where there is none."""
    try:
        index = json.loads((layout / "index.json").read_text(encoding="utf-8"))
        return str(index["manifests"][0]["digest"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise HostError(f"{layout} holds no image", hint="freepage image build writes one") from error


def _check_replaceable(layout: Path) -> None:
    if layout.exists() and not (layout / "oci-layout").exists() and not _is_empty(layout):
        raise HostError(
            f"{layout} is there, and no image that could be replaced", hint="choose another --out"
        )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def _write_layout(layout: Path, guest: Guest, tools: Tools | None) -> str:
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    contents = [_list_base(guest), *([] if tools is None else [_list_root(tools), _list_disk(tools)])]
    layers, raw_digests = zip(*(_write_layer(blobs, files) for files in contents), strict=True)
    config = _write_json(blobs, _CONFIG, _describe_config(guest, list(raw_digests)))
    content = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": list(layers)}
    manifest = _write_json(blobs, _MANIFEST, content)
    named = manifest | {"annotations": {"org.opencontainers.image.ref.name": TAG}}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]}
    for name, value in (("index.json", index), ("oci-layout", _LAYOUT)):
        (layout / name).write_bytes(_encode(value))
    return str(manifest["digest"])


def _describe_config(guest: Guest, raw_digests: list[str]) -> dict[str, Any]:
    return {
        "created": _LONG_AGO,
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "User": _NOBODY,
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"],
            "Entrypoint": ["/worker"],
            "Labels": {
                "org.opencontainers.image.title": "freepage",
                "org.opencontainers.image.version": __version__,
                "freepage.kernel": guest.kernel_version,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": raw_digests},
    }


def _list_base(guest: Guest) -> list[_File]:
    return [
        _File("boot", 0o755),
        _File("boot/initramfs", 0o644, guest.initramfs),
        _File("boot/vmlinuz", 0o644, guest.kernel),
        _File("data", 0o777),
        _File("tmp", 0o1777),
        _File("worker", 0o755, build_worker()),
    ]


def _list_root(tools: Tools) -> list[_File]:
    """Give the tools as the root itself, where /tools, at which VMs have them, leads back to."""
    found = [_describe(path, tools.folder) for path in sorted(tools.folder.rglob("*"))]
    return [*found, _File("tools", 0o777, target=".")]


def _describe(path: Path, top: Path) -> _File:
    name = str(path.relative_to(top))
    if path.is_symlink():
        return _File(name, 0o777, target=str(path.readlink()))
    mode = 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644
    return _File(name, mode, source=None if path.is_dir() else path)


def _list_disk(tools: Tools) -> list[_File]:
    """Give the tools as the one disk that KubeVirt looks for."""
    return [
        _File("disk", 0o755, owner=QEMU_USER),
        _File("disk/tools.img", 0o440, tools.image, owner=QEMU_USER),
    ]


def _write_layer(blobs: Path, files: list[_File]) -> tuple[dict[str, Any], str]:
    """Write a layer; give its descriptor, and the digest of its bytes before compression."""
    path = blobs / "layer"
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry in files:
            _add(archive, entry)
    with path.open("rb") as made, gzip.open(path) as unpacked:
        digest = hashlib.file_digest(made, "sha256").hexdigest()
        raw_digest = hashlib.file_digest(unpacked, "sha256").hexdigest()
    descriptor = {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": path.stat().st_size}
    path.rename(blobs / digest)
    return descriptor, f"sha256:{raw_digest}"


def _add(archive: tarfile.TarFile, entry: _File) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.uid, info.gid = entry.mode, entry.owner, entry.owner
    if entry.target is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
    elif entry.source is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = entry.source.stat().st_size
        with entry.source.open("rb") as content:
            archive.addfile(info, content)
        return
    archive.addfile(info)


def _write_json(blobs: Path, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    data = _encode(value)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

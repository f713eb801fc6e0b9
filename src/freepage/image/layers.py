"""The layers of the image for clusters: the guest and the worker, the tools for pods, the tools as a disk for VMs."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freepage.image.architecture import read_architecture
from freepage.image.tools import USR_MERGED_FOLDERS
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.image.guest import Guest
    from freepage.image.tools import Tools

# The file that says which architecture an image is built for.
ARCHITECTURE_PATH = "/boot/architecture"
# KubeVirt's QEMU runs as this user.
QEMU_USER = 107
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_COMPRESSION = 6


@dataclass(frozen=True)
class LayerFile:
    """One entry of a layer: a folder, a link (`target`), or a file (`source`, or its `content` itself)."""

    path: str
    mode: int
    source: Path | None = None
    content: bytes | None = None
    target: str | None = None
    owner: int = 0


def list_base(guest: Guest) -> list[LayerFile]:
    """Return the guest and the worker, and the name of the architecture that both are built for."""
    worker = build_worker()
    architecture = read_architecture(worker)
    name = "unknown" if architecture is None else architecture.name
    return [
        LayerFile("boot", 0o755),
        LayerFile(ARCHITECTURE_PATH.strip("/"), 0o644, content=name.encode()),
        LayerFile("boot/initramfs", 0o644, guest.initramfs),
        LayerFile("boot/vmlinuz", 0o644, guest.kernel),
        LayerFile("worker", 0o755, worker),
    ]


def list_tools(tools: Tools) -> list[LayerFile]:
    """Return the tools as local pods and VMs have them: at /tools, and where programs look for programs."""
    found = [_describe(path, tools.folder) for path in sorted(tools.folder.rglob("*"))]
    links = [LayerFile(name, 0o777, target=f"tools/{name}") for name in sorted((*USR_MERGED_FOLDERS, "usr"))]
    return [LayerFile("tools", 0o755), *found, *links]


def _describe(path: Path, top: Path) -> LayerFile:
    name = str("tools" / path.relative_to(top))
    if path.is_symlink():
        return LayerFile(name, 0o777, target=str(path.readlink()))
    mode = 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644
    return LayerFile(name, mode, source=None if path.is_dir() else path)


def list_disk(tools: Tools) -> list[LayerFile]:
    """Return the tools as a disk for KubeVirt's containerDisk."""
    return [
        LayerFile("disk", 0o755, owner=QEMU_USER),
        LayerFile("disk/tools.img", 0o644, tools.image, owner=QEMU_USER),
    ]


def write_layer(blobs: Path, files: list[LayerFile]) -> tuple[dict[str, Any], str]:
    """Write a layer; return its descriptor, and the digest of its bytes before compression."""
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


def _add(archive: tarfile.TarFile, entry: LayerFile) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.uid, info.gid = entry.mode, entry.owner, entry.owner
    if entry.target is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
    elif entry.content is not None:
        info.size = len(entry.content)
        archive.addfile(info, io.BytesIO(entry.content))
        return
    elif entry.source is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = entry.source.stat().st_size
        with entry.source.open("rb") as content:
            archive.addfile(info, content)
        return
    archive.addfile(info)

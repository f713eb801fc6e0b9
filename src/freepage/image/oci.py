"""The image that a cluster's VMs and pods start from, as an OCI layout: the same bytes for the same inputs.

VMs boot its kernel and initramfs (KubeVirt's kernelBoot) and have its tools as a disk (a containerDisk); pods find the
same tools where VMs mount them: docs/decisions/010-image-for-clusters.md.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage import __version__
from freepage.errors import HostError
from freepage.image.architecture import read_architecture
from freepage.image.layers import list_base, list_disk, list_tools, write_layer
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from freepage.image.guest import Guest
    from freepage.image.tools import Tools

TAG = "latest"
TITLE = "freepage"
_TITLE_KEY = "org.opencontainers.image.title"
_VERSION_KEY = "org.opencontainers.image.version"
_NAME_KEY = "org.opencontainers.image.ref.name"
_LAYOUT = {"imageLayoutVersion": "1.0.0"}
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_NOBODY = "65534:65534"
_LONG_AGO = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Image:
    """The image of a layout: the digest of its manifest, and how large each layer is to push and to pull."""

    digest: str
    layers_bytes: tuple[int, ...]


def write_image(layout: Path, guest: Guest, tools: Tools, *, force: bool = False) -> Image:
    """Write the image as an OCI layout, replacing an earlier one, or with `force` anybody's.

    Raises HostError for a folder that holds something else, or cannot be written.
    """
    _check_replaceable(layout, force=force)
    try:
        layout.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=layout.parent, prefix=".freepage-image-") as scratch:
            made = Path(scratch) / "layout"
            _write_layout(made, guest, tools)
            shutil.rmtree(layout, ignore_errors=True)
            made.rename(layout)
    except OSError as error:
        raise HostError(f"cannot write the image to {layout}: {error.strerror}") from error
    return read_image(layout)


def read_image(layout: Path) -> Image:
    """Return the image of a layout; HostError where there is none."""
    try:
        digest = _read_names(layout)[0]["digest"]
        manifest = json.loads((layout / "blobs" / digest.replace(":", "/")).read_text(encoding="utf-8"))
        return Image(digest, tuple(layer["size"] for layer in manifest["layers"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise HostError(f"{layout} holds no image", hint="freepage image build writes one") from error


def _check_replaceable(layout: Path, *, force: bool) -> None:
    if not layout.exists() or _is_empty(layout) or _is_ours(layout):
        return
    if not (layout / "oci-layout").exists():
        raise HostError(
            f"{layout} is there, and no image that could be replaced", hint="choose another --out"
        )
    if not force:
        raise HostError(
            f"{layout} holds an image that freepage did not write",
            hint="choose another --out, or replace it with --force",
        )


def _is_ours(layout: Path) -> bool:
    try:
        return all(named["annotations"][_TITLE_KEY] == TITLE for named in _read_names(layout))
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _read_names(layout: Path) -> list[dict[str, Any]]:
    """Return the descriptors of what is named in a layout's index."""
    found: list[dict[str, Any]] = json.loads((layout / "index.json").read_text(encoding="utf-8"))["manifests"]
    return found


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def _write_layout(layout: Path, guest: Guest, tools: Tools) -> None:
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    contents = (list_base(guest), list_tools(tools), list_disk(tools))
    layers, raw_digests = zip(*(write_layer(blobs, files) for files in contents), strict=True)
    config = _write_json(blobs, _CONFIG, _describe_config(guest, list(raw_digests)))
    content = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": list(layers)}
    manifest = _write_json(blobs, _MANIFEST, content)
    named = manifest | {"annotations": {_NAME_KEY: TAG, _TITLE_KEY: TITLE}}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]}
    for name, value in (("index.json", index), ("oci-layout", _LAYOUT)):
        (layout / name).write_bytes(_encode(value))


def _describe_config(guest: Guest, raw_digests: list[str]) -> dict[str, Any]:
    architecture = read_architecture(build_worker())
    return {
        "created": _LONG_AGO,
        "architecture": platform.machine() if architecture is None else architecture.name,
        "os": "linux",
        "config": {
            "User": _NOBODY,
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"],
            "Entrypoint": ["/worker"],
            "Labels": {
                _TITLE_KEY: TITLE,
                _VERSION_KEY: __version__,
                "freepage.guest": guest.digest,
                "freepage.kernel": guest.kernel_version,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": raw_digests},
    }


def _write_json(blobs: Path, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    data = _encode(value)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

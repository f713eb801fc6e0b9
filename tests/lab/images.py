"""A node's images: pulled from the test registry by skopeo, unpacked once per digest."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freepage.worker.build import compile_static

# An image with nothing in it, which every node has.
SMALL_IMAGE = "localhost/small:1"
# virt-launcher's, which every node has as well. Its file system is this host's own, where libvirt and QEMU are.
LAUNCHER_IMAGE = "quay.io/kubevirt/virt-launcher:v1.9.0"
# Its program that is started in other images; in KubeVirt an init container copies it out of virt-launcher's.
CONTAINER_DISK_IMAGE = "quay.io/kubevirt/container-disk:v1.9.0"

CONTAINER_DISK = Path(__file__).with_name("launcher") / "container-disk.c"


class PullError(Exception):
    """An image could not be had; `reason` as in a container's status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Image:
    """An unpacked image: its digest, its root file system (None: the host's), the defaults of its config, OCI mounts."""

    digest: str
    root: Path | None
    config: dict[str, Any] = field(default_factory=dict)
    mounts: list[dict[str, Any]] = field(default_factory=list)


class Images:
    """The images of all nodes, in one folder; `registry` is the only one that can be reached."""

    def __init__(self, folder: Path, registry: str, launcher: Image) -> None:
        self._folder = folder
        self._registry = registry
        self._known = {
            SMALL_IMAGE: Image("sha256:" + "0" * 64, folder / "small"),
            CONTAINER_DISK_IMAGE: Image("sha256:" + "2" * 64, folder / "container-disk"),
            LAUNCHER_IMAGE: launcher,
        }
        self._present = frozenset(self._known)
        self._turn = asyncio.Lock()
        for name in ("small", "container-disk"):
            (folder / name).mkdir(parents=True)
        shutil.copy(compile_static(CONTAINER_DISK), folder / "container-disk")

    async def pull(self, reference: str, policy: str | None) -> Image:
        """Return an image as imagePullPolicy asks for it; PullError when it cannot be had."""
        always = (policy or default_policy(reference)) == "Always"
        if reference in self._known and (not always or reference in self._present):
            return self._known[reference]
        if policy == "Never":
            raise PullError(
                "ErrImageNeverPull", f'Container image "{reference}" is not present with pull policy of Never'
            )
        async with self._turn:
            if not (reference in self._known and not always):
                self._known[reference] = await self._fetch(reference)
        return self._known[reference]

    async def _fetch(self, reference: str) -> Image:
        host, slash, _ = reference.partition("/")
        if not slash or host != self._registry:
            asked = host if slash and re.search(r"[.:]", host) else "registry-1.docker.io"
            raise PullError(
                "ErrImagePull", _pull_failed(reference, f"dial tcp: lookup {asked}: no such host")
            )
        layout = self._folder / "layout"
        command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
        try:
            await _run(*command, f"docker://{reference}", f"oci:{layout}:pulled")
            return await self._unpack(layout)
        except OSError as error:
            reason = "InvalidImageName" if "invalid reference format" in str(error) else "ErrImagePull"
            raise PullError(reason, _pull_failed(reference, str(error))) from error

    async def _unpack(self, layout: Path) -> Image:
        digest = find_manifest(_read_json(layout / "index.json"), "pulled")
        manifest = _read_json(blob(layout, digest))
        config = _read_json(blob(layout, manifest["config"]["digest"])).get("config") or {}
        root = self._folder / digest.replace(":", "-")
        if not root.exists():
            partial = root.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for layer in manifest["layers"]:
                await _unpack_layer(blob(layout, layer["digest"]), partial)
            partial.rename(root)
        return Image(digest, root, config)


def default_policy(reference: str) -> str:
    """Return what imagePullPolicy is when it is not said."""
    name = reference.rpartition("/")[2]
    return "Always" if "@" not in name and (":" not in name or name.endswith(":latest")) else "IfNotPresent"


def find_manifest(index: dict[str, Any], name: str) -> str:
    """Return the digest of what an OCI layout's index calls `name`."""
    annotation = "org.opencontainers.image.ref.name"
    return next(m["digest"] for m in index["manifests"] if m.get("annotations", {}).get(annotation) == name)


def blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _pull_failed(reference: str, said: str) -> str:
    return f'failed to pull and unpack image "{reference}": {said}'


async def _unpack_layer(layer: Path, root: Path) -> None:
    """Unpack a layer over those below it, removing first what its white-outs hide."""
    for name in (await _run("tar", "-tf", str(layer))).splitlines():
        folder, _, mark = name.rpartition("/")
        if mark == ".wh..wh..opq":
            shutil.rmtree(root / folder, ignore_errors=True)
        elif mark.startswith(".wh."):
            _remove(root / folder / mark.removeprefix(".wh."))
    await _run("tar", "-xp", "--numeric-owner", "--exclude=.wh.*", "-f", str(layer), "-C", str(root))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


async def _run(*command: str) -> str:
    """Run a program and return what it printed; OSError with its last words when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode != 0:
        raise OSError(errors.decode(errors="replace").strip().rpartition("\n")[2])
    return output.decode(errors="replace")

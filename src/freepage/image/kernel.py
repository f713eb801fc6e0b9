"""The guest's kernel: installed, given, or fetched from the distribution."""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cache import cache_folder
from freepage.errors import HostError
from freepage.image.architecture import parse_kernel_architecture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.image.architecture import Architecture

_CLOUD_PACKAGES = {"x86_64": "linux-image-cloud-amd64", "aarch64": "linux-image-cloud-arm64"}
INSTALL_KERNEL = "apt-get install linux-image-cloud-amd64, or give a kernel with --kernel PATH (its modules in /lib/modules/VERSION)"


@dataclass(frozen=True)
class Kernel:
    """A guest kernel: its image, its version, and the folder lib/modules/VERSION (None where all is built in).

    architecture: None where the image does not say it.
    """

    image: Path
    version: str
    modules: Path | None
    architecture: Architecture | None = None


def find_kernel(image: Path | None = None) -> Kernel:
    """Find the guest's kernel.

    In order: the one given, the distribution's cloud kernel in /boot, the same fetched as a package and unpacked into
    the cache (nothing is installed), any other readable kernel in /boot. Raises HostError when there is none.
    """
    if image is not None:
        return _kernel_at(image, _modules_roots(image))
    installed = _newest(Path("/boot").glob("vmlinuz-*-cloud-*"))
    if installed is not None:
        return _kernel_at(installed, [Path("/lib/modules")])
    fetched = fetch_cloud_kernel()
    if fetched is not None:
        return fetched
    other = _newest(Path("/boot").glob("vmlinuz-*"))
    if other is not None:
        return _kernel_at(other, [Path("/lib/modules")])
    raise HostError("there is no kernel for guests in /boot, and none could be fetched", hint=INSTALL_KERNEL)


def fetch_cloud_kernel() -> Kernel | None:
    """Unpack the newest cloud kernel package of the distribution into the cache; None where apt-get cannot fetch it."""
    meta = _CLOUD_PACKAGES.get(platform.machine())
    if meta is None or shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    package = _newest_package(meta)
    if package is None:
        return _newest_fetched()
    home = cache_folder() / package
    if not home.exists() and not unpack_package(package, home):
        return _newest_fetched()
    return _kernel_in(home)


def parse_version(image: bytes) -> str | None:
    """Return the version in an x86 bzImage header, or in the banner inside an arm64 Image; None if neither."""
    if image[0x202:0x206] == b"HdrS":
        (offset,) = struct.unpack_from("<H", image, 0x20E)
        return image[offset + 0x200 : offset + 0x300].split(b" ")[0].split(b"\0")[0].decode(errors="replace")
    banner = re.search(rb"Linux version (\S+)", image)
    return banner[1].decode() if banner else None


def _kernel_at(image: Path, roots: list[Path]) -> Kernel:
    try:
        content = image.read_bytes()
    except OSError as error:
        raise HostError(f"cannot read the kernel {image}: {error.strerror}", hint=INSTALL_KERNEL) from error
    version = parse_version(content)
    if version is None:
        raise HostError(
            f"{image} is no kernel that can be booted directly", hint="give a bzImage (x86) or Image (arm64)"
        )
    modules = next((root / version for root in roots if (root / version).is_dir()), None)
    return Kernel(image, version, modules, parse_kernel_architecture(content))


def _modules_roots(image: Path) -> list[Path]:
    """Look for modules beside a kernel that was unpacked from a package, then on this host."""
    tree = image.resolve().parent.parent
    return [tree / "lib/modules", tree / "usr/lib/modules", Path("/lib/modules")]


def _newest(images: Iterable[Path]) -> Path | None:
    readable = [p for p in images if os.access(p, os.R_OK)]
    return max(readable, key=lambda p: _version_key(p.name), default=None)


def _version_key(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _newest_package(meta: str) -> str | None:
    outcome = subprocess.run(["apt-cache", "depends", meta], capture_output=True, text=True, check=False)
    found = re.findall(r"Depends: (linux-image-\S+)", outcome.stdout)
    return found[0] if found else None


def unpack_package(package: str, home: Path) -> bool:
    """Fetch a package of the distribution and unpack it into `home`, installing nothing; False where apt-get cannot."""
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        fetched = subprocess.run(
            ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        archive = next(Path(scratch).glob("*.deb"), None)
        if fetched.returncode != 0 or archive is None:
            return False
        tree = Path(scratch) / "tree"
        subprocess.run(["dpkg", "-x", str(archive), str(tree)], capture_output=True, check=True)
        tree.rename(home)
    return True


def _newest_fetched() -> Kernel | None:
    homes = [p for p in cache_folder().glob("linux-image-*") if p.is_dir()]
    newest = max(homes, key=lambda p: _version_key(p.name), default=None)
    return _kernel_in(newest) if newest is not None else None


def _kernel_in(home: Path) -> Kernel:
    image = _newest((home / "boot").glob("vmlinuz-*"))
    if image is None:
        raise HostError(f"{home} holds no kernel", hint=f"remove {home}; it will be fetched again")
    return _kernel_at(image, [home / "lib/modules", home / "usr/lib/modules"])

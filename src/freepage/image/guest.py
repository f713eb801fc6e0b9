"""The guest that a VM boots: the distribution's kernel and an initramfs of our own, cached by digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from freepage.cache import keep
from freepage.errors import HostError
from freepage.image import cpio
from freepage.image.architecture import read_architecture
from freepage.image.disk import MKFS_COMMANDS
from freepage.image.kernel import Kernel, find_kernel
from freepage.image.modules import NEEDED_MODULES, find_modules, read_module
from freepage.worker.build import build_worker, compile_static

# A guest's init, the file with its main() first; each of the others has a header of its name.
INIT_PARTS = ("init", "disks", "streams")


@dataclass(frozen=True)
class Guest:
    """A kernel and an initramfs that boots it to the worker's ready; `digest` names both."""

    kernel: Path
    initramfs: Path
    kernel_version: str
    digest: str


def build_guest(kernel_image: Path | None = None, modules: tuple[str, ...] = ()) -> Guest:
    """Build what VMs boot, or take it from the cache; `modules` are loaded beside those every guest needs.

    Raises HostError when a kernel, module or compiler is missing, or the kernel is of another architecture.
    """
    kernel = find_kernel(kernel_image)
    _check_architecture(kernel)
    archive = build_initramfs(kernel, modules)
    digest = hashlib.sha256(archive)
    digest.update(kernel.image.read_bytes())
    name = digest.hexdigest()[:16]
    return Guest(kernel.image, keep(f"initramfs-{name}", archive), kernel.version, name)


def _check_architecture(kernel: Kernel) -> None:
    """Raise HostError where a kernel is known to be of another architecture than the programs that it would start."""
    built = read_architecture(build_worker())
    if None not in {kernel.architecture, built} and kernel.architecture != built:
        raise HostError(
            f"{kernel.image} is a kernel for {kernel.architecture}, and what guests start is built here for {built}",
            hint=f"give a kernel for {built} with --kernel, or set CC to a compiler for {kernel.architecture}",
        )


def disk_modules(*filesystems: str | None) -> tuple[str, ...]:
    """Return the modules a guest needs for its disks: the driver, and the file systems of tools and of any others."""
    return tuple(dict.fromkeys(("virtio_blk", "ext4", *(name for name in filesystems if name is not None))))


def build_initramfs(kernel: Kernel, extra: tuple[str, ...] = ()) -> bytes:
    """Return the archive: init, the worker, a console, commands that make file systems, the modules and their order."""
    modules = find_modules(kernel, (*NEEDED_MODULES, *extra))
    init = compile_static(*(Path(__file__).with_name(f"{part}.c") for part in INIT_PARTS))
    names = [path.name.split(".ko")[0] + ".ko" for path in modules]
    return cpio.build_archive(
        [
            *(cpio.folder(path) for path in ("dev", "proc", "sys", "tmp")),
            cpio.character_device("dev/console", 5, 1),
            cpio.file("init", init.read_bytes(), executable=True),
            cpio.file("worker", build_worker().read_bytes(), executable=True),
            *(
                cpio.file(f"mkfs/{name}", "\n".join((program, *options)).encode())
                for name, (program, options) in MKFS_COMMANDS.items()
            ),
            cpio.file("modules/order", "".join(f"/modules/{name}\n" for name in names).encode()),
            *(cpio.file(f"modules/{n}", read_module(path)) for n, path in zip(names, modules, strict=True)),
        ]
    )

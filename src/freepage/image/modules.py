"""The kernel modules that a guest needs, as files of its kernel's package."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.errors import HostError

if TYPE_CHECKING:
    from freepage.image.kernel import Kernel

# What the guest needs beyond what may be built in: a balloon, a serial port, and the bus they are on.
NEEDED_MODULES = ("virtio_pci", "virtio_console", "virtio_balloon")
_SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")


def find_modules(kernel: Kernel, names: tuple[str, ...] = NEEDED_MODULES) -> list[Path]:
    """Return the module files for `names` and what they depend on, in the order to load them.

    Modules that are built in are left out; HostError names one that is nowhere.
    """
    if kernel.modules is None:
        return []
    files = _module_files(kernel.modules)
    builtin = _builtin_modules(kernel)
    order: dict[str, Path] = {}
    for name in names:
        _add_module(name, files, builtin, order, kernel)
    return list(order.values())


def read_module(path: Path) -> bytes:
    """Read a module as the plain ELF file that every kernel loads."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix in {".zst", ".gz"}:
        program = "zstd" if path.suffix == ".zst" else "gzip"
        if shutil.which(program) is None:
            raise HostError(
                f"{path.name} is compressed and there is no {program}", hint=f"apt-get install {program}"
            )
        return subprocess.run([program, "-dc"], input=data, capture_output=True, check=True).stdout
    return data


def parse_dependencies(module: bytes) -> list[str]:
    """Return the names a module depends on, from its own .modinfo ("depends=a,b")."""
    match = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name for name in match[1].decode().split(",") if name] if match else []


def _module_files(modules: Path) -> dict[str, Path]:
    files = (p for p in (modules / "kernel").rglob("*.ko*") if p.name.endswith(_SUFFIXES))
    return {p.name.split(".ko")[0].replace("-", "_"): p for p in files}


def _builtin_modules(kernel: Kernel) -> set[str]:
    """Read what is built in from modules.builtin; where a package lacks it, from the kernel's configuration."""
    assert kernel.modules is not None  # noqa: S101 - the caller has looked
    listing = kernel.modules / "modules.builtin"
    if listing.exists():
        names = listing.read_text(encoding="utf-8").split()
        return {Path(name).name.split(".ko")[0].replace("-", "_") for name in names}
    config = kernel.image.with_name(f"config-{kernel.version}")
    options = (
        re.findall(r"^CONFIG_(\w+)=y", config.read_text(encoding="utf-8"), re.MULTILINE)
        if config.exists()
        else []
    )
    return {option.lower() for option in options}


def _add_module(
    name: str, files: dict[str, Path], builtin: set[str], order: dict[str, Path], kernel: Kernel
) -> None:
    if name in order or (name in builtin and name not in files):
        return
    if name not in files:
        raise HostError(
            f"the guest kernel {kernel.version} has no module {name}, and it is not built in",
            hint="choose a kernel that has it, such as the distribution's cloud kernel",
        )
    for dependency in parse_dependencies(read_module(files[name])):
        _add_module(dependency, files, builtin, order, kernel)
    order[name] = files[name]

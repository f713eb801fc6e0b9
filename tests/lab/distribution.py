"""A real distribution's disk for VMs: Debian 12 with its own kernel, systemd and cloud-init, from the mirrors apt has.

By hand, where it is and with more in it: PYTHONPATH=tests python tests/lab/distribution.py [PACKAGE...]
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cache import cache_folder
from freepage.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = "bookworm"
PACKAGES = ("systemd-sysv", "cloud-init", "linux-image-cloud-amd64")
DISK_BYTES = 1024 * MIB
PARTITION_OFFSET_BYTES = MIB
SECTOR_BYTES = 512
MASTER_BOOT_RECORD = Path("/usr/lib/syslinux/mbr/mbr.bin")
# As images for clouds have it: the serial console is the one that counts, and nothing is quiet.
BOOT = """DEFAULT linux
LABEL linux
LINUX /vmlinuz
INITRD /initrd.img
APPEND root=LABEL=system console=tty0 console=ttyS0,115200 consoleblank=0
"""
FILES = {
    "boot/extlinux/extlinux.conf": BOOT,
    "etc/fstab": "LABEL=system / ext4 defaults 0 1\n",
    "etc/cloud/cloud.cfg.d/90_datasource.cfg": "datasource_list: [NoCloud]\n",
}
# The building machine's own, which mmdebstrap leaves.
FOREIGN = ("etc/hostname", "etc/resolv.conf")


def build_distribution(*packages: str) -> Path:
    """Return a raw disk that a BIOS starts, with `packages` beside the usual; made once for the same inputs."""
    sources = read_sources()
    inputs = "\n".join([Path(__file__).read_text(encoding="utf-8"), sources, *packages])
    disk = cache_folder() / f"distribution-{hashlib.sha256(inputs.encode()).hexdigest()[:16]}"
    if not disk.exists():
        for old in cache_folder().glob("distribution-*"):
            old.unlink()
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            tree, made = Path(scratch) / "tree", Path(scratch) / "disk"
            _install(tree, sources, (*PACKAGES, *packages))
            _write_disk(made, tree)
            made.rename(disk)
    return disk


def read_sources() -> str:
    """Return where this machine's apt has Debian 12 from, as lines of a sources.list."""
    line = "deb $(SITE) $(RELEASE) $(COMPONENT)"
    chosen = ("Created-By: Packages", "Origin: Debian")
    found = _run("apt-get", "indextargets", "--format", line, *chosen).splitlines()
    lines = sorted({line for line in found if line.split()[2].startswith(SUITE)})
    if not lines:
        raise RuntimeError(f"this machine's apt knows no mirror of Debian {SUITE}")
    return "".join(f"{line}\n" for line in lines)


def _install(tree: Path, sources: str, packages: tuple[str, ...]) -> None:
    include = f"--include={','.join(packages)}"
    command = ("mmdebstrap", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io", include)
    _run(*command, SUITE, str(tree), "-", text=sources)
    for name in FOREIGN:
        (tree / name).unlink(missing_ok=True)
    for name, content in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _write_disk(disk: Path, tree: Path) -> None:
    """Write a disk of one partition, its file system filled from a folder, and what starts it."""
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    offset = ("-E", f"offset={PARTITION_OFFSET_BYTES}")
    size = f"{(DISK_BYTES - PARTITION_OFFSET_BYTES) // 1024}K"
    # extlinux reads no file system with 64-bit block numbers.
    _run(
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-O",
        "^64bit",
        "-L",
        "system",
        "-d",
        str(tree),
        *offset,
        str(disk),
        size,
    )
    with _mounted(disk) as root:
        _run("extlinux", "--install", str(root / "boot/extlinux"))
    with disk.open("r+b") as file:
        file.write(MASTER_BOOT_RECORD.read_bytes()[:440])
        file.seek(446)
        file.write(_describe_partition())
        file.seek(510)
        file.write(b"\x55\xaa")


def _describe_partition() -> bytes:
    """Return the partition table's only entry: active, Linux, the rest of the disk."""
    first = PARTITION_OFFSET_BYTES // SECTOR_BYTES
    by_geometry = b"\xff\xff\xff"  # too large for it
    return struct.pack(
        "<B3sB3sII", 0x80, by_geometry, 0x83, by_geometry, first, DISK_BYTES // SECTOR_BYTES - first
    )


@contextmanager
def _mounted(disk: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        _run("mount", "-o", f"loop,offset={PARTITION_OFFSET_BYTES}", str(disk), folder)
        try:
            yield Path(folder)
        finally:
            _run("umount", folder)


def _run(*command: str, text: str = "") -> str:
    """Run a program and return what it printed; RuntimeError with its last words when it fails."""
    outcome = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {outcome.stderr.strip()[-2000:]}")
    return outcome.stdout


if __name__ == "__main__":
    sys.stdout.write(f"{build_distribution(*sys.argv[1:])}\n")

"""The processor architectures of guests and nodes, by each name they go by, and their serial consoles."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    name: that of OCI images, Kubernetes' label kubernetes.io/arch and KubeVirt. machine: that of uname. elf: e_machine of its
    binaries. console: the device of the first serial port that KubeVirt gives its guests.
    """

    name: str
    machine: str
    elf: int
    console: str

    def __str__(self) -> str:
        return self.name


AMD64 = Architecture("amd64", "x86_64", 62, "ttyS0")
# KubeVirt's machine is QEMU's "virt" there, whose port is a PL011.
ARM64 = Architecture("arm64", "aarch64", 183, "ttyAMA0")
S390X = Architecture("s390x", "s390x", 22, "ttysclp0")
ARCHITECTURES = (AMD64, ARM64, S390X)


def find_host_architecture() -> Architecture | None:
    """Return the architecture of this host; None for one that freepage does not know."""
    return next((a for a in ARCHITECTURES if a.machine == platform.machine()), None)


def read_architecture(binary: Path) -> Architecture | None:
    """Read which architecture an ELF binary is for, which a cross compiler makes another than the host's.

    None for one that freepage does not know, or what is no ELF binary. Raises OSError.
    """
    with binary.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or not head.startswith(b"\x7fELF"):
        return None
    # EI_DATA, the sixth byte: 2 is big-endian, as s390x is.
    number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    return next((a for a in ARCHITECTURES if a.elf == number), None)


def parse_kernel_architecture(image: bytes) -> Architecture | None:
    """Read which architecture a kernel's image is for, by its boot header; None for an image that does not say.

    Sources: Linux' Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst, arch/s390/boot/head.S.
    """
    if image[0x202:0x206] == b"HdrS":
        return AMD64
    if image[0x38:0x3C] == b"ARM\x64":
        return ARM64
    return S390X if image[0x10008:0x1000E] == b"S390EP" else None

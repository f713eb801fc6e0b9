"""Architectures of programs and kernels, by what their own headers say."""

from __future__ import annotations

import pytest

from freepage.errors import HostError
from freepage.image.architecture import (
    AMD64,
    ARM64,
    S390X,
    find_host_architecture,
    parse_kernel_architecture,
    read_architecture,
)
from freepage.image.guest import build_guest
from freepage.worker.build import build_worker


def elf(machine, order="little"):
    data = 1 if order == "little" else 2
    return b"\x7fELF\x02" + bytes([data]) + bytes(10) + (2).to_bytes(2, order) + machine.to_bytes(2, order)


@pytest.mark.parametrize(
    ("head", "architecture"),
    [
        (elf(62), AMD64),
        (elf(183), ARM64),
        (elf(22, "big"), S390X),
        (elf(243), None),
        (elf(22), S390X),
        (elf(62)[:19], None),
        (b"#!/bin/sh\nexec true\n # and more", None),
        (b"", None),
    ],
    ids=["amd64", "arm64", "s390x", "riscv", "little-endian", "cut off", "script", "empty"],
)
def test_a_programs_architecture_is_read_from_its_header_in_its_own_byte_order(tmp_path, head, architecture):
    path = tmp_path / "program"
    path.write_bytes(head)
    assert read_architecture(path) == architecture


@pytest.mark.skipif(
    find_host_architecture() is None, reason="a host of an architecture freepage does not know"
)
def test_the_worker_is_built_for_this_host_where_no_other_compiler_is_chosen(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    assert read_architecture(build_worker()) == find_host_architecture()


def kernel(offset, magic):
    image = bytearray(0x10100)
    image[offset : offset + len(magic)] = magic
    return bytes(image)


@pytest.mark.parametrize(
    ("image", "architecture"),
    [
        (kernel(0x202, b"HdrS"), AMD64),
        (kernel(0x38, b"ARM\x64"), ARM64),
        (kernel(0x10008, b"S390EP"), S390X),
        (kernel(0, b"\x7fELF"), None),
        (b"", None),
    ],
)
def test_a_kernels_architecture_is_read_from_its_boot_header(image, architecture):
    assert parse_kernel_architecture(image) == architecture


def test_a_kernel_of_another_architecture_is_refused_before_a_guest_is_made_of_it(tmp_path):
    other = ARM64 if read_architecture(build_worker()) != ARM64 else S390X
    offset, magic = (0x38, b"ARM\x64") if other == ARM64 else (0x10008, b"S390EP")
    image = tmp_path / "vmlinuz"
    image.write_bytes(kernel(offset, magic) + b"Linux version 6.6.1 (gcc)")
    with pytest.raises(HostError, match=f"is a kernel for {other}, and what guests start is built here for"):
        build_guest(image)

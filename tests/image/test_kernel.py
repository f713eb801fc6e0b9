"""The guest's kernel."""

from __future__ import annotations

import pytest

from freepage.errors import HostError
from freepage.image.kernel import find_kernel, parse_version


def test_the_version_of_a_kernel_is_read_from_its_image():
    image = bytearray(0x1000)
    image[0x202:0x206] = b"HdrS"
    image[0x20E:0x210] = (0x300).to_bytes(2, "little")
    image[0x500:0x520] = b"6.1.0-56-cloud-amd64 (debian) x\0"
    assert parse_version(bytes(image)) == "6.1.0-56-cloud-amd64"
    assert parse_version(b"...Linux version 6.6.1-arm64 (gcc)...") == "6.6.1-arm64"
    assert parse_version(b"not a kernel") is None


def test_a_file_that_is_no_kernel_is_refused(tmp_path):
    (tmp_path / "vmlinuz").write_bytes(b"hello")
    with pytest.raises(HostError, match="no kernel that can be booted"):
        find_kernel(tmp_path / "vmlinuz")
    with pytest.raises(HostError, match="cannot read the kernel"):
        find_kernel(tmp_path / "nothing")

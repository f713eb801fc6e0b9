from __future__ import annotations

import stat
import subprocess

import pytest

from freepage.errors import HostError
from freepage.image import cpio
from freepage.image.kernel import Kernel, find_kernel, parse_version
from freepage.image.modules import find_modules, parse_dependencies, read_module


def read_archive(data):
    """Read a newc archive: (path, mode, content) of each entry."""
    at = 0
    while True:
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        assert data[at : at + 6] == b"070701"
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        start = -(-(at + 110 + name_size) // 4) * 4
        if name == "TRAILER!!!":
            return
        yield name, mode, data[start : start + size]
        at = -(-(start + size) // 4) * 4


ENTRIES = [
    cpio.file("modules/virtio.ko", b"abc"),
    cpio.file("init", b"#!", executable=True),
    cpio.character_device("dev/console", 5, 1),
    cpio.folder("proc"),
]


def test_an_archive_holds_what_was_put_in_and_every_folder_above():
    found = {name: (mode, content) for name, mode, content in read_archive(cpio.build_archive(ENTRIES))}
    assert list(found) == sorted(found)
    assert found["modules/virtio.ko"] == (stat.S_IFREG | 0o644, b"abc")
    assert found["init"] == (stat.S_IFREG | 0o755, b"#!")
    assert stat.S_ISDIR(found["modules"][0])
    assert stat.S_ISDIR(found["dev"][0])
    assert stat.S_ISCHR(found["dev/console"][0])


def test_the_same_entries_in_any_order_give_the_same_bytes():
    assert cpio.build_archive(ENTRIES) == cpio.build_archive(reversed(ENTRIES))


def test_two_entries_of_one_path_are_refused():
    with pytest.raises(ValueError, match="init"):
        cpio.build_archive([cpio.file("init", b"1"), cpio.file("init", b"2")])


def test_the_cpio_program_reads_the_archive():
    listed = subprocess.run(
        ["cpio", "-t"], input=cpio.build_archive(ENTRIES), capture_output=True, check=True
    )
    assert "modules/virtio.ko" in listed.stdout.decode().split()


def module(*depends):
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0name=x\0"


@pytest.fixture
def kernel(tmp_path):
    """A kernel whose balloon needs two modules, one of them shared, and whose console is built in."""
    folder = tmp_path / "lib/modules/6.1.0"
    (folder / "kernel/drivers").mkdir(parents=True)
    files = {
        "virtio_balloon": module("virtio", "virtio_ring"),
        "virtio_ring": module("virtio"),
        "virtio": module(),
        "virtio_pci": module("virtio_ring"),
    }
    for name, content in files.items():
        (folder / f"kernel/drivers/{name.replace('_ring', '-ring')}.ko").write_bytes(content)
    (folder / "modules.builtin").write_text("kernel/drivers/char/virtio_console.ko\n")
    return Kernel(tmp_path / "vmlinuz", "6.1.0", folder)


def test_modules_come_after_what_they_depend_on_and_built_in_ones_are_left_out(kernel):
    names = [p.name for p in find_modules(kernel)]
    assert names == ["virtio.ko", "virtio-ring.ko", "virtio_pci.ko", "virtio_balloon.ko"]


def test_a_module_that_is_nowhere_is_named(kernel):
    (kernel.modules / "modules.builtin").write_text("")
    with pytest.raises(HostError, match="virtio_console"):
        find_modules(kernel)


def test_what_is_built_in_is_read_from_the_configuration_where_there_is_no_list(kernel):
    (kernel.modules / "modules.builtin").unlink()
    kernel.image.with_name("config-6.1.0").write_text("CONFIG_VIRTIO_CONSOLE=y\nCONFIG_FOO=m\n")
    assert len(find_modules(kernel)) == 4


def test_compressed_modules_are_read_as_they_load(tmp_path):
    import lzma

    path = tmp_path / "virtio.ko.xz"
    path.write_bytes(lzma.compress(module("virtio_ring")))
    assert parse_dependencies(read_module(path)) == ["virtio_ring"]


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

"""The modules of a guest's kernel, in the order to load them."""

from __future__ import annotations

import pytest

from freepage.errors import HostError
from freepage.image.kernel import Kernel
from freepage.image.modules import find_modules, parse_dependencies, read_module


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

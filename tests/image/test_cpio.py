"""Archives: the same bytes for the same entries, read by the cpio program."""

from __future__ import annotations

import stat
import subprocess

import pytest

from freepage.image import cpio


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

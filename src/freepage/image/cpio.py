"""Writes initramfs archives (cpio "newc"): no root, no program, the same bytes for the same entries."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAGIC = "070701"
_TRAILER = "TRAILER!!!"
_ALIGNMENT = 4


@dataclass(frozen=True)
class Entry:
    """One file, folder, link or device of an archive; `device` is (major, minor)."""

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(path: str) -> Entry:
    return Entry(path, stat.S_IFDIR | 0o755)


def file(path: str, content: bytes, *, executable: bool = False) -> Entry:
    return Entry(path, stat.S_IFREG | (0o755 if executable else 0o644), content)


def character_device(path: str, major: int, minor: int) -> Entry:
    return Entry(path, stat.S_IFCHR | 0o600, device=(major, minor))


def build_archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive of these entries, ordered by path, with every folder above them and all times 0.

    Raises ValueError for two entries of one path.
    """
    by_path: dict[str, Entry] = {}
    for entry in entries:
        if entry.path in by_path:
            raise ValueError(f"two entries are called {entry.path}")
        by_path[entry.path] = entry
    for path in list(by_path):
        for above in _folders_above(path):
            by_path.setdefault(above, folder(above))
    ordered = [by_path[path] for path in sorted(by_path)]
    parts = [_encode(entry, number) for number, entry in enumerate(ordered, 1)]
    return b"".join([*parts, _encode(Entry(_TRAILER, 0), 0)])


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _encode(entry: Entry, inode: int) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    numbers = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    header = (_MAGIC + "".join(f"{number:08X}" for number in numbers)).encode()
    return _pad(header + name) + _pad(entry.content)


def _pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGNMENT)

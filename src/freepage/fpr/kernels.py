"""The terms in which a kernel reports its free pages: its page size, its lists of free blocks, its reporting order and delay.

No number here is one of x86-64 alone: what the machine itself does not show comes from its architecture, or is not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from freepage.units import KIB

# The names of Kubernetes and of Go for what the kernel (uname) calls otherwise.
_ALIASES = {"amd64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64"}
# The page size of architectures that have one.
_PAGE_BYTES = {"x86_64": 4 * KIB, "s390x": 4 * KIB, "riscv64": 4 * KIB}
# How many lists of free blocks the kernel's own configuration gives by architecture and page size (each architecture's
# Kconfig: ARCH_FORCE_MAX_ORDER, until 6.3 FORCE_MAX_ZONEORDER, which is one more). A distribution may choose otherwise.
_FREE_LISTS = {
    ("x86_64", 4 * KIB): 11,
    ("aarch64", 4 * KIB): 11,
    ("aarch64", 16 * KIB): 12,
    ("aarch64", 64 * KIB): 14,
    ("s390x", 4 * KIB): 9,
    ("ppc64le", 64 * KIB): 9,
    ("riscv64", 4 * KIB): 11,
}
# The smallest order that a guest reports where nobody chose another, by architecture and page size: that of a pageblock, and of arm64
# with pages of 64 KiB what its balloon driver asks for (drivers/virtio/virtio_balloon.c).
_REPORTING_ORDERS = {
    ("x86_64", 4 * KIB): 9,
    ("aarch64", 4 * KIB): 9,
    ("aarch64", 16 * KIB): 11,
    ("aarch64", 64 * KIB): 5,
    ("s390x", 4 * KIB): 8,
    ("riscv64", 4 * KIB): 9,
}
# An order that nobody registered is -1 since this release; from 5.14 on it was the number of free lists, one beyond
# the largest order (mm/page_reporting.c).
_FIRST_WITH_MINUS_ONE = (6, 2)
# Page reporting is older (5.7, and 4.18 of some distributions), the parameter is not.
_FIRST_WITH_PARAMETER = (5, 14)
# The fewest free lists that any architecture's kernel has: a lower order can only be one that a driver registered.
_FEWEST_FREE_LISTS = 9
# Page sizes of all architectures here.
PAGE_SIZES = (4 * KIB, 16 * KIB, 64 * KIB)


@dataclass(frozen=True)
class RunningKernel:
    """One kernel as far as its reporting depends on it; None is not known.

    release: as `uname -r`. architecture: as `uname -m` or Kubernetes' name. page_bytes: of one page. free_lists: the
    columns of /proc/buddyinfo, so that the largest free block has 2^(free_lists - 1) pages.
    """

    release: str | None = None
    architecture: str | None = None
    page_bytes: int | None = None
    free_lists: int | None = None

    @property
    def known_page_bytes(self) -> int | None:
        """Return the page size, by the architecture where it has only one."""
        return self.page_bytes or _PAGE_BYTES.get(self._name)

    @property
    def known_free_lists(self) -> int | None:
        """Return how many free lists there are: as counted, else by architecture and page size."""
        return self.free_lists or _FREE_LISTS.get((self._name, self.known_page_bytes or 0))

    @property
    def largest_block_bytes(self) -> int | None:
        """Return the size of the largest free block there can be."""
        page_bytes, lists = self.known_page_bytes, self.known_free_lists
        return None if page_bytes is None or lists is None else page_bytes << (lists - 1)

    @property
    def usual_reporting_order(self) -> int | None:
        """Return the smallest order it reports where nobody chose another, by architecture and page size."""
        return _REPORTING_ORDERS.get((self._name, self.known_page_bytes or 0))

    @property
    def version(self) -> tuple[int, int] | None:
        """Return the first two numbers of the release."""
        found = re.match(r"(\d{1,4})\.(\d{1,4})", self.release or "")
        return (int(found[1]), int(found[2])) if found else None

    @property
    def _name(self) -> str:
        name = (self.architecture or "").lower()
        return _ALIASES.get(name, name)


def is_reporting_registered(text: str | None, kernel: RunningKernel) -> bool | None:
    """Return whether a driver has registered with page reporting, by the text of page_reporting_order; None is not known.

    Without the parameter a kernel from 5.14 on has no page reporting; an older one may have it and not show it.
    """
    value, version = _whole(text), kernel.version or (0, 0)
    if value is None:
        return False if not (text or "").strip() and version >= _FIRST_WITH_PARAMETER else None
    if value < _FEWEST_FREE_LISTS:
        return value >= 0
    if kernel.free_lists is None and version >= _FIRST_WITH_MINUS_ONE:
        return True
    lists = kernel.known_free_lists
    return None if lists is None else value < lists


def parse_reporting_order(text: str | None, kernel: RunningKernel | None = None) -> int | None:
    """Read page_reporting_order: the smallest order that is reported; None where nobody registered, or that is not known.

    The same number means different things: 11 is an order of 32 MiB on arm64 with pages of 16 KiB, and nobody on x86-64
    before 6.2. The kernel's own free lists tell, else its release, architecture and page size.
    """
    return _whole(text) if is_reporting_registered(text, kernel or RunningKernel()) else None


def parse_reporting_delay_s(text: str | None) -> float | None:
    """Read page_reporting_delay_ms, which kernels have since 7.3: seconds before each pass; None without it."""
    value = _whole(text)
    return None if value is None or value < 0 else value / 1000


def _whole(text: str | None) -> int | None:
    word = (text or "").strip()
    return int(word) if re.fullmatch(r"-?[0-9]{1,9}", word) else None


def find_page_bytes(free_pages: float, free_bytes: float) -> int | None:
    """Return the page size of a kernel from all its free blocks, in pages, and its MemFree; None where none fits.

    The kernel counts both from the same lists, but they were read one after the other: a page size is told where it lies within
    a third of their ratio.
    """
    ratio = free_bytes / free_pages if free_pages > 0 else 0.0
    return next((size for size in PAGE_SIZES if size / 1.5 <= ratio <= size * 1.5), None)

"""File systems in files: what instances have at /data."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from freepage.errors import CapacityError, HostError
from freepage.image.tools import find_program
from freepage.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.plan import DataPlan

_MAKERS = {
    "ext4": ("mke2fs", ["-q", "-F", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
    "xfs": ("mkfs.xfs", ["-q", "-f"]),
}
_PACKAGES = {"mke2fs": "e2fsprogs", "mkfs.xfs": "xfsprogs"}


def make_disk(path: Path, plan: DataPlan) -> None:
    """Make the file `path` a sparse disk with a file system.

    Raises CapacityError where it does not fit, HostError when the program that makes it is missing or fails.
    """
    free = shutil.disk_usage(path.parent).free
    if plan.bytes > free:
        raise CapacityError(
            f"a disk of {format_bytes(plan.bytes)} does not fit: {path.parent} has {format_bytes(free)} free",
            hint="choose an --out on a larger disk, or a smaller --scale",
        )
    command = find_maker(plan.filesystem)
    with path.open("wb") as stream:
        stream.truncate(plan.bytes)
    outcome = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise HostError(f"{command[0]} failed: {outcome.stderr.strip()[-500:]}")


def find_maker(filesystem: str) -> list[str]:
    """Give the command that makes a file system; HostError names the package it comes in."""
    program, options = _MAKERS[filesystem]
    try:
        return [str(find_program(program)), *options]
    except HostError as error:
        raise HostError(
            f"{program} is not installed, so there is no {filesystem}",
            hint=f"apt-get install {_PACKAGES[program]}",
        ) from error


def takes_direct_io(path: Path) -> bool:
    """Say whether a file can be opened past the host's page cache (tmpfs, for one, may refuse)."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError:
        return False
    return True

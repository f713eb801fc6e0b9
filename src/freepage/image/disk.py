"""File systems in files: what instances have at /data (docs/decisions/005-programs-and-disks.md)."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

from freepage.errors import CapacityError, HostError
from freepage.image.programs import find_program
from freepage.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from freepage.study.plan import DataPlan

# By file system: the program that makes one, and its options. A guest's init has them too, for blank disks
# (docs/decisions/009-connections-that-break.md).
MKFS_COMMANDS = {
    "ext4": ("mke2fs", ["-q", "-F", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
    "xfs": ("mkfs.xfs", ["-q", "-f"]),
}
_PACKAGES = {"mke2fs": "e2fsprogs", "mkfs.xfs": "xfsprogs"}


def open_disk(folder: Path, plan: DataPlan) -> BinaryIO:
    """Make a sparse disk with a file system, as an open file without a name: it is gone with the last that has it open.

    Raises CapacityError where it does not fit, HostError when the program that makes it is missing or fails.
    """
    free = shutil.disk_usage(folder).free
    if plan.bytes > free:
        raise CapacityError(
            f"a disk of {format_bytes(plan.bytes)} does not fit: {folder} has {format_bytes(free)} free",
            hint="choose an --out on a larger disk, or a smaller --scale",
        )
    command = find_mkfs(plan.filesystem)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))
        file.truncate(plan.bytes)
        run_on_disk(command, file)
        stack.pop_all()
    return file


def run_on_disk(command: list[str], file: BinaryIO) -> str:
    """Run a program on an open disk, given to it as a path, and return what it prints; HostError when it fails."""
    fd = file.fileno()
    outcome = subprocess.run(
        [*command, f"/proc/self/fd/{fd}"], pass_fds=(fd,), capture_output=True, text=True, check=False
    )
    if outcome.returncode != 0:
        raise HostError(f"{command[0]} failed: {outcome.stderr.strip()[-500:]}")
    return outcome.stdout.strip()


def find_mkfs(filesystem: str) -> list[str]:
    """Return the command that makes a file system; HostError names the package it comes in."""
    program, options = MKFS_COMMANDS[filesystem]
    try:
        return [str(find_program(program)), *options]
    except HostError as error:
        raise HostError(
            f"{program} is not installed, so there is no {filesystem}",
            hint=f"apt-get install {_PACKAGES[program]}",
        ) from error


def takes_direct_io(file: BinaryIO) -> bool:
    """Return whether an open disk can be used past the host's page cache (tmpfs, for one, may refuse)."""
    try:
        os.close(os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDWR | os.O_DIRECT))
    except OSError:
        return False
    return True

"""The content of /tools in instances: programs of this host and a user's folder (docs/decisions/005-programs-and-disks.md)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cache import cache_folder
from freepage.errors import HostError, StudyError
from freepage.image.programs import find_program, gather_folder, gather_programs
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.study.plan import ToolsPlan

# Folders of a root file system that are links into usr, as on every distribution of these years.
USR_MERGED_FOLDERS = ("bin", "sbin", "lib", "lib64")
USER_FOLDER = "opt"
_SLACK_BYTES = 16 * MIB
_BLOCK_BYTES = 4096
_SPARE_INODES = 100
# The same files make the same image (docs/decisions/010-image-for-clusters.md): mke2fs would draw these at random, and
# take times from the clock and from the files.
_IDENTITY = "66726565-7061-6765-8000-000000000001"
_FIRST_INODE = 11
_FIXED_CLOCK = {"E2FSPROGS_FAKE_TIME": "1"}


@dataclass(frozen=True)
class Tools:
    """A small root file system: as a folder for pods, and as an ext4 image for VMs."""

    folder: Path
    image: Path


def build_tools(plan: ToolsPlan) -> Tools:
    """Gather what the plan names, or take it from the cache; it is made again when a source has changed.

    Raises HostError for a program that is not installed, StudyError for a folder that is not there.
    """
    folder = None if plan.folder is None else _check_folder(Path(plan.folder))
    programs = (*plan.programs, "sh") if folder is not None else plan.programs
    files = gather_programs([find_program(name) for name in dict.fromkeys(programs)])
    if folder is not None:
        files = gather_folder(folder) | files
    home = cache_folder() / f"tools-{_digest(files, folder)}"
    if not home.exists():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            made = Path(scratch) / "made"
            _copy(files, folder, made / "root")
            _make_image(made / "root", made / "image")
            _keep(made, home)
    return Tools(home / "root", home / "image")


def _check_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise StudyError(
            f"the folder {folder} is not there", hint="folder = is taken as seen from the study's file"
        )
    return folder


def _digest(files: dict[str, Path], folder: Path | None) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    known = [(name, path.stat()) for name, path in sorted(files.items())]
    if folder is not None:
        known += [(str(path), path.lstat()) for path in sorted(folder.rglob("*"))]
    for name, status in known:
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode}\n".encode())
    return digest.hexdigest()[:16]


def _copy(files: dict[str, Path], folder: Path | None, root: Path) -> None:
    for name in USR_MERGED_FOLDERS:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name, path in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    _link_libraries(files, root)
    if folder is not None:
        _copy_folder(folder, root / USER_FOLDER)
    for path in [root, *root.rglob("*")]:
        os.utime(path, (0, 0), follow_symlinks=False)


def _link_libraries(files: dict[str, Path], root: Path) -> None:
    """Make every library known where the C library is: the loader looks there when it has no cache and no run path."""
    home = next((Path(name).parent for name in files if Path(name).name == "libc.so.6"), None)
    for name in (n for n in files if home is not None and ".so" in Path(n).name):
        link = root / str(home) / Path(name).name
        if not link.exists():
            link.symlink_to(os.path.relpath(root / name, link.parent))


def _copy_folder(folder: Path, target: Path) -> None:
    try:
        shutil.copytree(folder, target, symlinks=True)
    except shutil.Error as error:
        path, _, reason = error.args[0][0]
        raise StudyError(f"{path} cannot be copied for the instances: {reason}") from error


def _make_image(root: Path, image: Path) -> None:
    paths = list(root.rglob("*"))
    blocks = sum(1 + -(-path.lstat().st_size // _BLOCK_BYTES) for path in paths)
    size = round(blocks * _BLOCK_BYTES * 1.1) + _SLACK_BYTES
    identity = ["-U", _IDENTITY, "-E", f"hash_seed={_IDENTITY},root_owner=0:0"]
    options = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-b", str(_BLOCK_BYTES), *identity]
    content = ["-N", str(len(paths) + _SPARE_INODES), "-d", str(root)]
    _run_on_image(["mke2fs", *options, *content, str(image), f"{size // 1024}k"])
    inodes = range(_FIRST_INODE, _FIRST_INODE + len(paths) + 1)
    fields = [f"set_inode_field <{n}> {time} 19700101" for n in inodes for time in ("atime", "ctime")]
    _run_on_image(["debugfs", "-w", "-f", "/dev/stdin", str(image)], "\n".join(fields))


def _run_on_image(command: list[str], script: str = "") -> None:
    program = str(find_program(command[0]))
    outcome = subprocess.run(
        [program, *command[1:]],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | _FIXED_CLOCK,
    )
    if outcome.returncode != 0:
        raise HostError(f"{command[0]} cannot make the tools disk: {outcome.stderr.strip()[-500:]}")


def _keep(made: Path, home: Path) -> None:
    """Move what was made into the cache, where another freepage may have put the same meanwhile."""
    try:
        made.rename(home)
    except OSError:
        if not home.exists():
            raise

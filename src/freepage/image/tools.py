"""What instances find at /tools: programs of this host with all their libraries, and a user's folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cache import cache_folder
from freepage.errors import HostError, StudyError
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.plan import ToolsPlan

# Where they are for an ordinary user too.
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
# Folders of a root file system that are links into usr, as on every distribution of these years.
MERGED = ("bin", "sbin", "lib", "lib64")
USER_FOLDER = "opt"
_SLACK_BYTES = 16 * MIB


@dataclass(frozen=True)
class Tools:
    """A small root file system: as a folder for pods, and as an ext4 image for VMs."""

    folder: Path
    image: Path


def build_tools(plan: ToolsPlan) -> Tools:
    """Gather what the plan names, or take it from the cache; it is made again when a source has changed.

    Raises HostError for a program that is not installed, StudyError for a folder that is not there.
    """
    programs = (*plan.programs, "sh") if plan.folder is not None else plan.programs
    files = _gather([find_program(name) for name in dict.fromkeys(programs)])
    folder = None if plan.folder is None else _check_folder(Path(plan.folder))
    home = cache_folder() / f"tools-{_digest(files, folder)}"
    if not home.exists():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            made = Path(scratch) / "made"
            _copy(files, folder, made / "root")
            _make_image(made / "root", made / "image")
            made.rename(home)
    return Tools(home / "root", home / "image")


def find_program(name: str) -> Path:
    """Find a program of this host; HostError names what installs it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}")
    if found is None:
        raise HostError(f"{name} is not installed", hint=f"apt-get install {name}")
    return Path(found)


def parse_ldd(text: str) -> list[Path]:
    """Read the paths of libraries and of the loader from what ldd prints; HostError names a library that is missing."""
    lost = re.search(r"^\s*(\S+) => not found", text, re.MULTILINE)
    if lost:
        raise HostError(f"a program needs {lost[1]}, which is not installed")
    return [Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", text, re.MULTILINE)]


def _gather(programs: list[Path]) -> dict[str, Path]:
    """Give the files programs need, by their place in the root file system: themselves, libraries, interpreters."""
    files: dict[str, Path] = {}
    for program in programs:
        files[f"usr/bin/{program.name}"] = program
        with program.open("rb") as stream:
            head = stream.read(256)
        if head.startswith(b"#!"):
            words = head[2:].split(b"\n")[0].decode(errors="replace").split()
            name = words[1] if words[0].endswith("/env") and len(words) > 1 else words[0]
            files |= _gather([find_program(name)])
            continue
        said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
        files |= {_place(path): path for path in parse_ldd(said.stdout)}
    return files


def _place(path: Path) -> str:
    """Give a library's place below usr, where the folders it is looked for in lead."""
    parts = path.parts[1:]
    return str(Path(*parts)) if parts[0] == "usr" else str(Path("usr", *parts))


def _check_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise StudyError(
            f"the folder {folder} is not there", hint="folder = is taken as seen from the study's file"
        )
    return folder


def _digest(files: dict[str, Path], folder: Path | None) -> str:
    digest = hashlib.sha256()
    inner = [] if folder is None else sorted(p for p in folder.rglob("*") if p.is_file())
    for name, path in [*sorted(files.items()), *((str(p), p) for p in inner)]:
        status = path.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode}\n".encode())
    return digest.hexdigest()[:16]


def _copy(files: dict[str, Path], folder: Path | None, root: Path) -> None:
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name, path in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    if folder is not None:
        shutil.copytree(folder, root / USER_FOLDER, symlinks=True)


def _make_image(root: Path, image: Path) -> None:
    used = sum(p.lstat().st_size for p in root.rglob("*") if p.is_file())
    size = round(used * 1.1) + _SLACK_BYTES
    mke2fs = find_program("mke2fs")
    options = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", str(root)]
    outcome = subprocess.run(
        [str(mke2fs), *options, str(image), f"{size // 1024}k"], capture_output=True, text=True, check=False
    )
    if outcome.returncode != 0:
        raise HostError(f"mke2fs cannot make the tools disk: {outcome.stderr.strip()[-500:]}")

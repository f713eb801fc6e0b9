"""Programs of this host, with the libraries and interpreters they need."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from freepage.errors import HostError

# Where they are for an ordinary user too.
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def find_program(name: str) -> Path:
    """Return the path of a program of this host; HostError names what installs it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}")
    if found is None:
        raise HostError(f"{name} is not installed", hint=f"apt-get install {name}")
    return Path(found)


def parse_ldd(text: str) -> list[Path]:
    """Return the paths of libraries and of the loader in what ldd prints; HostError names a library that is missing."""
    missing = re.search(r"^\s*(\S+) => not found", text, re.MULTILINE)
    if missing:
        raise HostError(f"a program needs {missing[1]}, which is not installed")
    return [Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", text, re.MULTILINE)]


def parse_shebang(head: bytes) -> list[str]:
    """Return the programs that a script's first bytes name: its interpreter, and what /usr/bin/env runs; [] for no script."""
    words = head[2:].split(b"\n")[0].decode(errors="replace").split() if head.startswith(b"#!") else []
    if words and Path(words[0]).name == "env":
        run = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        return [words[0], *run[:1]]
    return words[:1]


def gather_programs(programs: list[Path]) -> dict[str, Path]:
    """Return the files that programs need, by name in the root file system: themselves, libraries, interpreters."""
    files: dict[str, Path] = {}
    for program in programs:
        files[f"usr/bin/{program.name}"] = program
        files |= _find_dependencies(program)
    return files


def gather_folder(folder: Path) -> dict[str, Path]:
    """Return what the programs in a folder need of this host, by name; what cannot be found shows when they run."""
    files: dict[str, Path] = {}
    inside = folder.resolve()
    for program in sorted(p for p in folder.rglob("*") if p.is_file() and os.access(p, os.X_OK)):
        with contextlib.suppress(HostError):
            files |= _find_dependencies(program)
    return {name: path for name, path in files.items() if not path.resolve().is_relative_to(inside)}


def _find_dependencies(program: Path) -> dict[str, Path]:
    """Return the libraries of a binary, or the interpreters of a script with what these need."""
    with program.open("rb") as stream:
        head = stream.read(256)
    if head.startswith(b"\x7fELF"):
        listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
        return {_name_below_usr(path): path for path in parse_ldd(listed.stdout)}
    interpreters = [find_program(word) for word in parse_shebang(head)]
    return {_name_below_usr(path): path for path in interpreters} | gather_programs(interpreters)


def _name_below_usr(path: Path) -> str:
    """Return a file's name below usr, where the folders of a merged root lead."""
    parts = path.parts[1:]
    return str(Path(*parts)) if parts[0] == "usr" else str(Path("usr", *parts))

"""Builds the static C programs (the worker, the guest's init) with the system's compiler, cached by digest."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from freepage.cache import cache_folder
from freepage.errors import HostError

FLAGS = ("-std=gnu11", "-O2", "-static", "-s", "-Wall", "-Wextra", "-Wshadow", "-Werror")
# Files compiled apart would have the worker touch memory some 5 % slower than a bare loop: bench/worker_allocation.py.
# Clang needs a linker of its own for it.
WHOLE_PROGRAM = "-flto"
# The worker in parts, the file with its main() first; each has a header of its name.
WORKER_PARTS = ("worker", "commands", "process", "program", "step", "node", "file", "lines", "json")
INSTALL_COMPILER = "apt-get install gcc libc6-dev   (Fedora, RHEL: dnf install gcc glibc-static)"


def build_worker() -> Path:
    """Return the path of the worker's static binary, built if the cache lacks it.

    Raises HostError when there is no compiler or no static C library.
    """
    return compile_static(*list_worker_sources())


def list_worker_sources() -> list[Path]:
    """Return the worker's C files."""
    return [Path(__file__).with_name(f"{part}.c") for part in WORKER_PARTS]


def compile_static(main: Path, *others: Path) -> Path:
    """Compile C files into one static binary called after the first; HostError if that fails.

    It is compiled once per compiler, flags, sources and headers beside the first of them.
    """
    compiler = find_compiler()
    version = _describe_compiler(compiler)
    flags = choose_flags(version)
    sources = [main, *others]
    digest = hashlib.sha256()
    for part in (
        *(path.read_text(encoding="utf-8") for path in (*sources, *sorted(main.parent.glob("*.h")))),
        version,
        *flags,
        platform.machine(),
    ):
        digest.update(part.encode() + b"\0")
    binary = cache_folder() / f"{main.stem}-{digest.hexdigest()[:16]}" / main.stem
    if not binary.exists():
        _compile(compiler, flags, sources, binary)
    return binary


def choose_flags(version: str) -> tuple[str, ...]:
    """Return the flags for a compiler that describes itself with `version`."""
    return FLAGS if "clang" in version else (*FLAGS, WHOLE_PROGRAM)


def find_compiler() -> list[str]:
    """Find $CC (a program, maybe with arguments), else cc, gcc or clang; HostError names what installs one."""
    chosen = shlex.split(os.environ.get("CC", ""))
    if chosen and shutil.which(chosen[0]) is None:
        raise HostError(
            f"$CC names {chosen[0]!r}, which cannot be run", hint="unset CC, or set it to a C compiler"
        )
    for command in (chosen, ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    raise HostError("there is no C compiler (looked for $CC, cc, gcc, clang)", hint=INSTALL_COMPILER)


def _compile(compiler: list[str], flags: tuple[str, ...], sources: list[Path], binary: Path) -> None:
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent) as scratch:
        made = Path(scratch) / binary.name
        outcome = _run_compiler(compiler, flags, sources, made)
        if outcome.returncode != 0 and WHOLE_PROGRAM in flags:
            # A compiler may have been built without it; then the worker is a little slower, and right.
            plain = tuple(flag for flag in flags if flag != WHOLE_PROGRAM)
            outcome = _run_compiler(compiler, plain, sources, made)
        if outcome.returncode != 0:
            raise HostError(
                f"{shlex.join(compiler)} cannot build {sources[0].name}:\n{outcome.stderr[-2000:]}",
                hint=INSTALL_COMPILER,
            )
        made.replace(binary)


def _describe_compiler(compiler: list[str]) -> str:
    outcome = subprocess.run(
        [*compiler, "--version"], capture_output=True, text=True, errors="replace", check=False
    )
    return shlex.join(compiler) + outcome.stdout


def _run_compiler(
    compiler: list[str], flags: tuple[str, ...], sources: list[Path], made: Path
) -> subprocess.CompletedProcess[str]:
    command = [*compiler, *flags, "-o", str(made), *map(str, sources)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

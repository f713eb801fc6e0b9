"""Servers of the distribution that are not installed: fetched as packages, unpacked into freepage's cache, and run."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cache import cache_folder
from freepage.image.kernel import unpack_package
from freepage.sampling.procfs import read_text
from freepage.targets.local.process import end_process, read_tail, start_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVERS = ("docker-registry", "prometheus", "prometheus-node-exporter")
START_DEADLINE_S = 30.0


def fetch_program(package: str) -> Path:
    """Return the program of a package's name, installed or else from the cache; nothing is installed, no service started."""
    installed = shutil.which(package)
    if installed:
        return Path(installed)
    home = cache_folder() / f"package-{package}"
    if not (home / "usr/bin" / package).exists():
        # Whole or not at all, whoever else does the same just now.
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            if not unpack_package(package, Path(scratch) / "tree"):
                raise RuntimeError(f"apt-get cannot download {package}")
            shutil.rmtree(home, ignore_errors=True)
            (Path(scratch) / "tree").rename(home)
    return home / "usr/bin" / package


def write_config(path: Path, content: dict) -> Path:
    """Write a server's configuration in a folder of its own (JSON, which is YAML)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


@asynccontextmanager
async def open_server(command: list[str], log: Path, listening: str) -> AsyncIterator[str]:
    """Run a server to the end; return what the pattern `listening` finds in its log (host:port)."""
    await asyncio.to_thread(log.parent.mkdir, parents=True, exist_ok=True)
    process = await start_process(command, None, errors=log)
    try:
        address = await asyncio.wait_for(_find_address(process, log, listening), START_DEADLINE_S)
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        await end_process(process)


async def _find_address(process: asyncio.subprocess.Process, log: Path, listening: str) -> str:
    while not (found := re.search(listening, read_text(log))):
        if process.returncode is not None:
            raise RuntimeError(f"{log.stem} ended with status {process.returncode}: {read_tail(log)}")
        await asyncio.sleep(0.02)
    return found[1]

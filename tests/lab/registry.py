"""A real registry for images, on loopback."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lab.packages import fetch_program, open_server, write_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def open_registry(folder: Path) -> AsyncIterator[str]:
    """Run Debian's docker-registry, with its images in a folder; return its address (127.0.0.1:PORT), plain HTTP."""
    program = await asyncio.to_thread(fetch_program, "docker-registry")
    config = write_config(folder / "config.yml", build_config(folder))
    command = [str(program), "serve", str(config)]
    async with open_server(command, folder / "registry.log", r"listening on (127\.0\.0\.1:\d+)") as address:
        yield address


def build_config(folder: Path) -> dict:
    return {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
    }
